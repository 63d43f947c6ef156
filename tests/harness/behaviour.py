"""
What backends answer, chosen by the request's path: the good behaviours here, the bad ones in `evil`.

Paths: /r/… (the ordinary answer), /bytes/N, /chunked/N, /eof/N, /drip/N/MS (N bytes spread over that time), /status/CODE, /slow/MS,
/head (echoes the head it saw), /interim/N, /tunnel (WebSocket handshake, then an echo), /upload (answers at the end of the body),
/evil/NAME?… . Anything else is ordinary.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

from tests.harness.record import Seen
from tests.harness.script import Close, Drip, Hang, Reset, Script, Send, Stream, Tunnel, Wait, pattern

WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def tags(seen: Seen) -> bytes:
    """The fields that say which request, on which connection, a response answers."""
    return b"X-Echo-Id: %b\r\nX-Echo-Conn: %b\r\nX-Echo-Ordinal: %d\r\n" % (
        seen.id.encode("latin-1"),
        seen.conn.encode("latin-1"),
        seen.ordinal,
    )


def ordinary(seen: Seen, status: bytes = b"200 OK", extra: bytes = b"") -> bytes:
    """A complete response that names the request it answers in its head and again in its body."""
    body = f"{seen.id} {seen.conn} {seen.ordinal} {seen.body_size} {seen.digest}\n".encode("latin-1")
    length = b"" if status[:3] in (b"204", b"304") else b"Content-Length: %d\r\n" % len(body)
    content = b"" if seen.method == "HEAD" or not length else body
    return b"HTTP/1.1 %b\r\n%b%b%b\r\n%b" % (status, tags(seen), length, extra, content)


def split_target(seen: Seen) -> tuple[list[str], dict[str, str]]:
    """Path segments and query of the request target."""
    path, _, query = seen.target.partition("?")
    return path.strip("/").split("/"), dict(parse_qsl(query))


def good(seen: Seen) -> bytes | Script:
    """The behaviour of an honest backend."""
    target = seen.target
    if target.startswith("/r/"):
        return ordinary(seen)
    segments, _ = split_target(seen)
    handler = HANDLERS.get(segments[0])
    return handler(seen, segments[1:]) if handler else ordinary(seen)


def _bytes(seen: Seen, rest: list[str]) -> Script:
    size = int(rest[0])
    head = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n" % (tags(seen), size)
    return Script((Send(head),) if seen.method == "HEAD" else (Send(head), Stream(size)))


def _chunked(seen: Seen, rest: list[str]) -> Script:
    head = b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n" % tags(seen)
    return Script((Send(head),) if seen.method == "HEAD" else (Send(head), Stream(int(rest[0]), chunked=True)))


def _eof(seen: Seen, rest: list[str]) -> Script:
    head = b"HTTP/1.1 200 OK\r\n%bConnection: close\r\n\r\n" % tags(seen)
    return Script((Send(head), Close()) if seen.method == "HEAD" else (Send(head), Stream(int(rest[0])), Close()))


def _drip(seen: Seen, rest: list[str]) -> Script:
    size, seconds = int(rest[0]), int(rest[1]) / 1000
    head = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n" % (tags(seen), size)
    piece = max(1, size // 20)
    return Script((Send(head), Drip(pattern(size), piece, seconds / (size / piece))))


def _status(seen: Seen, rest: list[str]) -> bytes:
    return ordinary(seen, rest[0].encode() + b" As Asked")


def _slow(seen: Seen, rest: list[str]) -> Script:
    return Script((Wait(int(rest[0]) / 1000), Send(ordinary(seen))))


def _head(seen: Seen, rest: list[str]) -> bytes:
    return b"HTTP/1.1 200 OK\r\n%bContent-Type: message/http\r\nContent-Length: %d\r\n\r\n%b" % (
        tags(seen),
        len(seen.head),
        seen.head,
    )


def _interim(seen: Seen, rest: list[str]) -> Script:
    return Script(
        (
            Send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n" * int(rest[0])),
            Send(ordinary(seen)),
        )
    )


def _tunnel(seen: Seen, rest: list[str]) -> bytes | Script:
    key = next(
        (
            line.split(b":", 1)[1].strip()
            for line in seen.head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key:")
        ),
        None,
    )
    if key is None:
        return ordinary(seen, b"400 Bad Request")
    accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET_GUID, usedforsecurity=False).digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\n%bUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
    return Script((Send(head % (tags(seen), accept)), Tunnel()))


def _evil(seen: Seen, rest: list[str]) -> bytes | Script:
    from tests.harness.evil import misbehave

    return misbehave(seen, rest[0], split_target(seen)[1])


HANDLERS: dict[str, Callable[[Seen, list[str]], bytes | Script]] = {
    "bytes": _bytes,
    "chunked": _chunked,
    "eof": _eof,
    "drip": _drip,
    "status": _status,
    "slow": _slow,
    "head": _head,
    "interim": _interim,
    "tunnel": _tunnel,
    "evil": _evil,
}


def slowed(milliseconds: int) -> Callable[[Seen], bytes | Script]:
    """An honest backend that takes its time."""

    def behave(seen: Seen) -> bytes | Script:
        return Script((Wait(milliseconds / 1000), Send(ordinary(seen))))

    return behave


def switched(mode: Path, otherwise: Callable[[Seen], bytes | Script]) -> Callable[[Seen], bytes | Script]:
    """A backend that misbehaves while that file names a misbehaviour: "hang", "reset" or "error", which is a 500 at once."""

    def behave(seen: Seen) -> bytes | Script:
        try:
            word = mode.read_text()
        except FileNotFoundError:
            word = ""
        if word == "error":
            return ordinary(seen, b"500 Internal Server Error")
        if word:
            return Script((Hang() if word == "hang" else Reset(),), whole=False)
        return otherwise(seen)

    return behave
