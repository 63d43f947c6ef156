"""Our own answers: what any HTTP/1.1 client reads in them."""

from __future__ import annotations

import h11
import pytest

from lbjwt.http1.answers import CONTINUE, REASONS, answer


def read(wire: bytes, method: str = "GET") -> tuple[h11.Response, bytes, h11.Connection]:
    """Response, body and the connection after them, as h11 reads them."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(wire)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    return response, body, client


@pytest.mark.parametrize("status", [400, 401, 403, 405, 408, 413, 414, 417, 421, 429, 431, 500, 501, 502, 503, 504, 505])
def test_an_answer_is_one_complete_response(status):
    """Status, reason, fields, request id and body arrive; the connection closes."""
    wire = answer(status, b"Retry-After: 1\r\n", b"No.\n", request_id=b"r-1")
    response, body, client = read(wire)
    assert (response.status_code, response.reason, body) == (status, REASONS[status], b"No.\n")
    assert list(response.headers) == [
        (b"retry-after", b"1"),
        (b"x-request-id", b"r-1"),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"4"),
        (b"connection", b"close"),
    ]
    assert client.their_state is h11.MUST_CLOSE


def test_an_answer_may_keep_the_connection():
    """keep_alive leaves the connection open for the next request."""
    response, body, client = read(answer(401, b'WWW-Authenticate: Bearer realm="a"\r\n', b"", keep_alive=True))
    assert (body, client.their_state) == (b"", h11.DONE)
    assert list(response.headers) == [(b"www-authenticate", b'Bearer realm="a"'), (b"content-length", b"0")]


def test_an_answer_to_head_has_no_body():
    """HEAD gets the length and no byte of the body (RFC 9110 section 9.3.2)."""
    wire = answer(403, b"", b"No.\n", keep_alive=True, to_head=True)
    assert wire.endswith(b"Content-Length: 4\r\n\r\n")
    assert read(wire, "HEAD")[1] == b""


def test_statuses_without_content_announce_no_length():
    """204 and 304 carry no Content-Length (RFC 9110 section 8.6)."""
    assert answer(204, keep_alive=True) == b"HTTP/1.1 204 No Content\r\n\r\n"
    assert b"Content-Length" not in answer(304)


def test_continue_is_an_interim_response():
    """The ready-made 100 is one whole interim head."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="POST", target="/", headers=[("Host", "a"), ("Content-Length", "1"), ("Expect", "100-continue")]))
    client.receive_data(CONTINUE)
    assert isinstance(client.next_event(), h11.InformationalResponse)
    assert client.next_event() is h11.NEED_DATA
