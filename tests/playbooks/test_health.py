"""Health checks on the traffic port: answered by lbjwt, seen by no endpoint, asked for no token."""

from pathlib import Path

import pytest

from lbjwt.observe._board import DRAINING, READY
from tests.playbooks.stage import Client, Stage, request, response


def stage(pieces: int | None = None, **options: object) -> Stage:
    """A worker that serves, with keys."""
    made = Stage(pieces, health="/up", **options)  # type: ignore[arg-type]
    made.board.set_keys(1, 1.0)
    made.board.set_state(READY)
    return made


def check(target: str = "/up", method: str = "GET", *fields: str, version: str = "1.1", body: bytes = b"") -> bytes:
    """A health check: no token, and an address as its Host."""
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"{method} {target} HTTP/{version}\r\nHost: 10.0.0.7:8080\r\n{lines}\r\n".encode() + body


def status(client: Client) -> int:
    """Of the one answer that came."""
    sent = client.take()
    assert sent.count(b"HTTP/1.1 ") == 1
    return int(sent[9:12])


@pytest.mark.parametrize("pieces", [None, 1])
def test_the_answer_is_that_of_readyz(pieces: int | None):
    """200 while a worker serves with keys; 503 before there are keys, and when it drains, on a connection that was kept."""
    play = Stage(pieces, health="/up")
    client = play.client()
    for keys, state, expected in ((0, READY, 503), (1, READY, 200), (1, DRAINING, 503), (1, READY, 200)):
        play.board.set_keys(keys, 1.0)
        play.board.set_state(state)
        client.sends(check())
        assert status(client) == expected == (200 if play.board.ready else 503)
    play.board.start_draining()
    client.sends(check())
    sent = client.take()
    assert sent.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1\r\n" in sent and sent.endswith(b"\r\n\r\nnot ready\n")
    assert not play.opened and not client.is_gone()


@pytest.mark.parametrize("pieces", [None, 1])
def test_checks_and_requests_share_a_connection(pieces: int | None):
    """Pipelined or in turn: each check is answered in its place, and what is no check goes to the endpoint."""
    play = stage(pieces)
    client = play.client()
    client.sends(check() + check(method="HEAD") + request(target="/up/") + check())
    sent = client.take()
    assert sent.count(b"HTTP/1.1 200 OK") == 2 and sent.count(b"\r\n\r\nready\n") == 1 and b"Connection" not in sent
    server = play.server()
    assert server.take().startswith(b"GET /up/ HTTP/1.1\r\n")
    server.sends(response("200 OK", "Content-Length: 0"))
    assert client.take().endswith(b"\r\n\r\nready\n")
    assert len(play.opened) == 1


@pytest.mark.parametrize(
    "target", ["/up", "/up?", "/up?a=/x", "//up", "/./up", "/a/../up", "/%75p", "http://10.0.0.7:8080/up"]
)
def test_every_spelling_of_the_path_is_ours(target: str):
    """The path is matched as routes are: in its one spelling, whatever the query."""
    play = stage()
    client = play.client()
    client.sends(check(target))
    assert status(client) == 200 and not play.opened


@pytest.mark.parametrize("target", ["/", "/u", "/up/", "/upp", "/UP", "/up;x", "/up%2f", "/up%20", "/x?/up"])
def test_another_path_is_a_request_like_any(target: str):
    """The path is matched exactly; what is not it needs a token, and a spelling that backends differ on is not taken for it."""
    play = stage()
    client = play.client()
    client.sends(check(target))
    assert status(client) == 401 and not play.opened


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
def test_the_path_is_ours_for_every_method(method: str):
    """Only GET and HEAD ask for something; the rest gets 405 with Allow (RFC 9110 section 15.5.6), with the best of tokens too."""
    play = stage()
    client = play.client()
    client.sends(request(method, "/up"))
    sent = client.take()
    assert sent.startswith(b"HTTP/1.1 405 ") and b"Allow: GET, HEAD\r\n" in sent and not play.opened


@pytest.mark.parametrize(
    ("fields", "body"),
    [(("Content-Length: 5",), b"GET /"), (("Transfer-Encoding: chunked",), b"3\r\nGET\r\n0\r\n\r\n")],
)
def test_the_body_of_a_check_is_no_request(fields: tuple[str, ...], body: bytes):
    """Nobody reads it, so that the connection ends with the answer."""
    play = stage()
    client = play.client()
    client.sends(check("/up", "GET", *fields, body=body + check()))
    sent = client.take()
    assert sent.startswith(b"HTTP/1.1 200 ") and sent.count(b"HTTP/1.1") == 1 and b"Connection: close\r\n" in sent
    assert client.transport.ended and not play.opened


def test_the_shapes_that_balancers_send():
    """HTTP/1.0 without Host, as HAProxy asks; a name or an address as Host; HTTP/1.1 without Host is what RFC 9112 section 3.2 says."""
    for head, code, kept in (
        (b"GET /up HTTP/1.0\r\n\r\n", 200, False),
        (b"HEAD /up HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, True),
        (b"GET /up HTTP/1.1\r\nHost: [::1]:8080\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n", 200, True),
        (b"GET /up HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n", 200, False),
        (b"GET /up HTTP/1.1\r\n\r\n", 400, False),
    ):
        client = stage().client()
        client.sends(head)
        assert status(client) == code
        assert client.transport.ended is not kept


@pytest.mark.parametrize("state", [READY, DRAINING])
def test_checks_are_neither_counted_nor_logged(tmp_path: Path, state: int):
    """Not as requests, bad requests or refusals, whatever the answer; the request after them is."""
    play = stage(log=tmp_path / "log")
    play.board.set_state(state)
    client = play.client()
    before = play.totals
    client.sends(check() + check(method="POST") + check())
    assert play.totals == before and client.take().count(b"HTTP/1.1 ") == 3 and play.records() == []
    client.sends(check("/other"))
    assert sum(play.totals["requests"]) == sum(before["requests"]) + 1
    assert [record["path"] for record in play.records()] == ["/other"]
