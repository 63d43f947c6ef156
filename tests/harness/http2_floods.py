"""Floods of HTTP/2: frames that cost their sender nothing and a server something, as functions of the number of the step."""

from __future__ import annotations

from collections.abc import Callable

from tests.harness.http2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    block,
    frame,
    head,
)

STEPS = 1500
"""So many steps are more than any limit allows by default."""

ALL = END_STREAM | END_HEADERS


def floods(token: str | bytes) -> dict[str, Callable[[int], bytes]]:
    """Name -> (number of the step, from 0) -> what is sent, behind a preface and SETTINGS."""
    get = block(head(token=token))
    post = block(head("POST", token=token))
    bomb = block(head(token=token, more=[(b"x-%d" % at, b"y" * 1000) for at in range(14)]))

    def upload(data: bytes) -> Callable[[int], bytes]:
        """One request whose body is that, again and again."""
        return lambda at: (frame(HEADERS, END_HEADERS, 1, post) if at == 0 else b"") + data

    return {
        "rapid reset (CVE-2023-44487)": lambda at: frame(HEADERS, ALL, 2 * at + 1, get) + frame(RST_STREAM, 0, 2 * at + 1, b"\0\0\0\x08"),
        "rapid reset of large heads": lambda at: frame(HEADERS, ALL, 2 * at + 1, bomb) + frame(RST_STREAM, 0, 2 * at + 1, b"\0\0\0\x08"),
        "heads that are malformed (CVE-2025-8671)": lambda at: frame(HEADERS, ALL, 2 * at + 1, block([*head(), (b"connection", b"close")])),
        "bodies of another length (CVE-2025-8671)": lambda at: frame(HEADERS, END_HEADERS, 2 * at + 1, block(head(more=[(b"content-length", b"5")])))
        + frame(DATA, END_STREAM, 2 * at + 1, b"x"),
        "CONTINUATION (CVE-2024-27316)": lambda at: frame(CONTINUATION, 0, 1, b"") if at else frame(HEADERS, 1, 1, get),
        "CONTINUATION of fields": lambda at: frame(CONTINUATION, 0, 1, block([(b"x", b"y")])) if at else frame(HEADERS, 1, 1, get),
        "a head without end": lambda at: frame(CONTINUATION, 0, 1, block([(b"x", b"y" * 9000)])) if at else frame(HEADERS, 1, 1, get),
        "fields without end": lambda at: frame(HEADERS, ALL, 2 * at + 1, get + block([(b"x", b"y")]) * 500),
        "PING": lambda at: frame(PING, 0, 0, b"12345678"),
        "PING answers": lambda at: frame(PING, 1, 0, b"12345678"),
        "SETTINGS": lambda at: frame(SETTINGS, 0, 0, b"\0\4\0\0\0" + bytes([at & 1])),
        "PRIORITY": lambda at: frame(PRIORITY, 0, 2 * at + 1, b"\0\0\0\0\x10"),
        "unknown frames": lambda at: frame(0xBE, 0, 0, b"x"),
        "empty DATA": upload(frame(DATA, 0, 1)),
        "DATA that is padding": upload(frame(DATA, PADDED, 1, b"\x05" + bytes(5))),
        "WINDOW_UPDATE": lambda at: frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
        "resets of the same stream": lambda at: (frame(HEADERS, ALL, 1, get) if at == 0 else b"") + frame(RST_STREAM, 0, 1, b"\0\0\0\x08"),
    }  # fmt: skip
