"""Heads of HTTP/2 as HTTP/1: what is refused here, although the engine stops most of it before (RFC 9113 sections 8.2 and 8.3, RFC 8441)."""

from __future__ import annotations

import re

import pytest

from lbjwt._error_reason import ErrorReason
from lbjwt.http2._fields import request_text
from tests.harness.http2 import Fields

GET = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a.test"), (b":path", b"/x")]


def changed(**changes: bytes | None) -> Fields:
    """`GET` with other values of its pseudo-header fields; None leaves one out."""
    fields = [(name, changes.get(name[1:].decode(), value)) for name, value in GET]
    return [(name, value) for name, value in fields if value is not None]


def refused(fields: Fields, end: bool = True) -> str | None:
    """The reason, in lower case; None: it is not refused."""
    made = request_text(tuple(fields), end)
    return ErrorReason(made).name.lower() if isinstance(made, int) else None


REFUSED: list[tuple[str, Fields]] = [
    *(("pseudo_field", [*GET, (name, b"x")]) for name in (b":path", b":method", b":authority", b":scheme", b":status", b":foo", b":", b":path ")),
    ("pseudo_field", [*GET, (b"x", b"y"), (b":path", b"/x")]),
    ("target_character", [*GET[:3], (b"x", b"y"), GET[3]]),
    ("pseudo_field", changed(scheme=None)),
    ("pseudo_field", [(b":protocol", b"websocket"), *GET]),
    *(("pseudo_field", changed(scheme=value)) for value in (b"", b"ftp", b"HTTPS", b"https ", b"http://b", b"https\r\n")),
    *(("request_line", changed(method=value)) for value in (None, b"", b"GET /y HTTP/1.1\r\nX:", b"GET ", b"G\0", b"G\r\n", b"G(")),
    *(
        ("target_character", changed(path=value))
        for value in (None, b"", b"/a b", b"/ HTTP/1.1\r\nx: y", b"/\r", b"/\n", b"/\0", b"/\t", b"/\x7f", b"/\xe9")
    ),
    *(("target_form", changed(path=value)) for value in (b"x", b"*", b"http://a.test/", b"//a.test"[2:], b"?x")),
    *(("invalid_host", changed(authority=value)) for value in (b"", b"u@a", b"a b", b"a/b", b"a\r\nx: y", b"a,b", b"[::1", b"a:123456", b"a%41")),
    *(("field_line", [*GET, (name, b"y")]) for name in (b"X", b"xA", b"", b"a b", b"a ", b"a\r\nb", b"a\n", b"a\0", b"a:b", b"\xe9", b"(")),
    *(("field_line", [*GET, (b"x", value)]) for value in (b"a\rb", b"a\nb", b"a\r\nb: c", b"\0", b" a", b"a ", b"\ta", b"\x7f", b"\x01", b"a\r")),
    *(("field_line", [*GET, (b"cookie", value)]) for value in (b"a=b\r\nx: y", b"a\0", b" a")),
    *(("field_line", [*GET, (b"host", value)]) for value in (b"a.test\r\nx: y", b"a.test ")),
    *(("connection_field", [*GET, (name, b"x")]) for name in (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")),
    *(("connection_field", [*GET, (b"te", value)]) for value in (b"gzip", b"trailers, gzip", b"", b"chunked")),
    ("two_hosts", [*GET, (b"host", b"a.test"), (b"host", b"a.test")]),
    *(("target_not_host", [*GET, (b"host", value)]) for value in (b"b.test", b"a.test:80", b"a.test.")),
    ("invalid_host", [*GET, (b"host", b"")]),
    *(("method_not_allowed", [(b":protocol", value), *changed(method=b"CONNECT")]) for value in (b"connect-udp", b"", b"Websocket", b"h2c")),
    ("method_not_allowed", changed(method=b"CONNECT")),
    ("method_not_allowed", [(b":method", b"CONNECT"), (b":authority", b"a.test:443")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "fields"), REFUSED, ids=lambda value: value if isinstance(value, str) else repr(value)[-60:]
)
def test_refused(reason: str, fields: Fields) -> None:
    """With the reason that log and metrics name; nothing is repaired."""
    assert refused(fields) == reason


@pytest.mark.parametrize(
    "fields",
    [
        GET,
        [*GET, (b"host", b"A.test")],
        [*GET, (b"host", b"a.test:443")],
        [*GET, (b"te", b"trailers")],
        [*GET, (b"x", b"a\tb")],
        [*GET, (b"x", b"")],
        [*GET, (b"x", b"\xff")],
        [*changed(authority=None), (b"host", b"a.test")],
        changed(method=b"OPTIONS", path=b"*"),
        [(b":protocol", b"websocket"), *changed(method=b"CONNECT")],
    ],
)
def test_passed(fields: Fields) -> None:
    """One line each for request, host and fields, and an empty one."""
    text = request_text(tuple(fields), True)
    assert re.fullmatch(rb"[A-Z]+ \S+ HTTP/1\.1\r\n([a-z0-9-]+: [^\r\n\0]*\r\n)+\r\n", text)
    assert text.lower().count(b"\r\nhost: a.test\r\n") == 1


def test_cookies_are_joined() -> None:
    """They were cut for HPACK (RFC 9113 section 8.2.3); a backend that reads one field must see all."""
    text = request_text((*GET, (b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2; c=3")), True)
    assert b"\r\ncookie: a=1; b=2; c=3\r\n" in text and text.count(b"cookie") == 1


def test_the_framing_of_http_1_is_ours() -> None:
    """A body without a length is sent in chunks; a head that ended its stream has no body."""
    assert b"transfer-encoding: chunked" in request_text(tuple(GET), False)
    assert b"transfer-encoding" not in request_text(tuple(GET), True)
    assert b"transfer-encoding" not in request_text((*GET, (b"content-length", b"1")), False)


def test_the_handshake_of_a_websocket_is_ours() -> None:
    """The backend's answer is to a key that the client never saw (RFC 8441 section 5)."""
    fields = ((b":protocol", b"websocket"), *changed(method=b"CONNECT"))
    texts = [request_text(fields, False) for _ in range(2)]
    assert all(
        text.startswith(b"GET /x HTTP/1.1\r\n") and b"\r\nconnection: upgrade\r\nupgrade: websocket\r\n" in text
        for text in texts
    )
    keys = {re.findall(rb"sec-websocket-key: (\S{24})\r\n", text)[0] for text in texts}
    assert len(keys) == 2
