"""What every relayed response carries, and requests that are harmless and go on without a part of theirs."""

import re

import pytest

from tests.playbooks.stage import Stage, request, response

DATE = rb"\r\nDate: [A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT\r\n"
ID = rb"\r\nX-Request-Id: ([^\r]*)\r\n"
WEBSOCKET = (
    *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def relayed(stage: Stage, answer: bytes, *fields: str) -> tuple[bytes, bytes]:
    """The request id that the endpoint saw, and what the client of it got for the endpoint's answer."""
    client = stage.client()
    client.sends(request("GET", "/", *fields))
    (seen,) = re.findall(ID, stage.server().take())
    stage.server().sends(answer)
    return seen, client.take_raw()


@pytest.mark.parametrize(
    "fields", [(), ("X-Request-Id: of-the-endpoint",), ("x-request-id: a", "X-REQUEST-ID: b")], ids=["no", "one", "two"]
)
def test_every_relayed_response_has_the_request_id_of_the_log_once(pieces: int | None, fields: tuple[str, ...]) -> None:
    """The id that endpoint and log have takes the place of whatever the endpoint sends; an interim response has none."""
    stage = Stage(pieces)
    early = response("103 Early Hints", *fields)
    seen, got = relayed(stage, early + response("200 OK", "Content-Length: 2", *fields, body=b"ok"))
    interim, separator, final = got.partition(b"\r\n\r\n")
    assert re.findall(ID, separator + final) == [seen] and len(seen) == 32
    assert b"-id" not in interim.lower() and final.lower().count(b"x-request-id") == 1
    assert final.endswith(b"\r\n\r\nok")


def test_a_trusted_id_comes_back(pieces: int | None) -> None:
    """The id that a trusted proxy gave is the one that the response has."""
    seen, got = relayed(Stage(pieces, trusts=lambda peer: True), response("204 No Content"), "X-Request-Id: theirs")
    assert (seen, re.findall(ID, got)) == (b"theirs", [b"theirs"])


def test_an_upgraded_connection_has_the_request_id_too(pieces: int | None) -> None:
    """The 101 is the answer that the log line of a tunnel is about."""
    switch = response("101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket", "X-Request-Id: own")
    seen, got = relayed(Stage(pieces), switch, *WEBSOCKET)
    assert re.findall(ID, got) == [seen] and got.startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    ("status", "fields", "ours"),
    [
        ("200 OK", ("Content-Length: 0",), 1),
        ("404 Not Found", ("Content-Length: 0",), 1),
        ("304 Not Modified", (), 1),
        ("200 OK", ("Content-Length: 0", "dAtE: Thu, 01 Jan 1970 00:00:00 GMT"), 0),
        ("200 OK", ("Content-Length: 0", "Date:"), 0),
        ("200 OK", ("Content-Length: 0", "Data: x", "Dated: y"), 1),
        ("200 OK", ("Content-Length: 0", "Connection: Date", "Date: of-this-hop"), 1),
    ],
)
def test_a_response_without_date_gets_one(pieces: int | None, status: str, fields: tuple[str, ...], ours: int) -> None:
    """RFC 9110 section 6.6.1; one that has a date keeps it, and a date that ends at this hop counts as none."""
    _, got = relayed(Stage(pieces), response(status, *fields))
    assert len(re.findall(DATE, got)) == ours
    assert len(re.findall(rb"\r\ndate:", got, re.IGNORECASE)) == 1
    assert b"of-this-hop" not in got


H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAA")


@pytest.mark.parametrize(
    ("fields", "body", "sent"),
    [
        ((), b"", b""),
        (("Content-Length: 5",), b"hello", b"hello"),
        (("Transfer-Encoding: chunked",), b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    ],
    ids=["no body", "length", "chunked"],
)
def test_an_upgrade_to_another_protocol_is_ignored_and_its_request_goes_on(
    pieces: int | None, fields: tuple[str, ...], body: bytes, sent: bytes
) -> None:
    """Java's HttpClient offers h2c with its first request: the endpoint sees none of it, the connection serves on (RFC 9110 section 7.8)."""
    stage = Stage(pieces)
    client = stage.client()
    for _ in range(2):
        client.sends(request("POST", "/form", *H2C, *fields, body=body))
        seen = stage.server().take()
        assert seen.startswith(b"POST /form HTTP/1.1\r\n") and not set(sent) - set(seen.partition(b"\r\n\r\n")[2])
        for name in (b"upgrade", b"http2-settings", b"\r\nconnection", b"h2c"):
            assert name not in seen.lower()
        stage.server().sends(response("200 OK", "Content-Length: 2", body=b"ok"))
        assert client.take().endswith(b"\r\n\r\nok") and not client.is_gone()


def test_an_endpoint_cannot_accept_an_upgrade_that_was_ignored(pieces: int | None) -> None:
    """A 101 to a request whose Upgrade was dropped is a broken response: nothing becomes a tunnel (THREATS H11)."""
    switch = response("101 Switching Protocols", "Connection: Upgrade", "Upgrade: h2c")
    _, got = relayed(Stage(pieces), switch, *H2C)
    assert got.startswith(b"HTTP/1.1 502 ")
