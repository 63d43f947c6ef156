"""
What backends do wrong, by name. Each function builds the script of one misbehaviour from the request and the query of its path.

Every response carries the same tags as an honest one, so that the ledger can tell to whom a byte belongs. A response nobody asked for carries
`X-Stray: 1` and a body that begins with "stray".
"""

from __future__ import annotations

from collections.abc import Callable

from tests.harness.behaviour import ordinary, tags
from tests.harness.corpus import MALFORMED_RESPONSES
from tests.harness.record import Seen
from tests.harness.script import Close, Drip, Hang, Idle, Reset, Script, Send, Step, Stray, Tunnel, Wait, pattern
from tests.harness.wire import chunk

Query = dict[str, str]


def stray(seen: Seen) -> bytes:
    """A complete response that belongs to nobody."""
    body = b"stray of " + seen.id.encode("latin-1")
    victim = b"X-Echo-Conn: %b\r\nX-Echo-Ordinal: %d\r\n" % (
        seen.conn.encode("latin-1"),
        seen.ordinal + 1,
    )  # who would get it
    return b"HTTP/1.1 200 OK\r\nX-Stray: 1\r\nX-Echo-Id: stray\r\n%bContent-Length: %d\r\n\r\n%b" % (
        victim,
        len(body),
        body,
    )


def _truncate(seen: Seen, query: Query) -> Script:
    """Cut a response of `size` bytes `cut` bytes before its end: framing cl, chunked or eof; by close or (always for eof) by reset."""
    size, framing = int(query.get("size", "1000")), query.get("framing", "cl")
    body = pattern(size)
    head = b"HTTP/1.1 200 OK\r\n" + tags(seen)
    if framing == "cl":
        encoded, head = body, head + b"Content-Length: %d\r\n\r\n" % size
    elif framing == "chunked":
        encoded, head = chunk(body, 512), head + b"Transfer-Encoding: chunked\r\n\r\n"
    else:
        encoded, head = body, head + b"Connection: close\r\n\r\n"
    cut = max(1, min(int(query.get("cut", "1")), len(encoded)))
    # The reset waits for a moment: RST throws away what the peer has not read, and a lost head would be a different case.
    end: tuple[Step, ...] = (Wait(0.005), Reset()) if framing == "eof" or query.get("by") == "reset" else (Close(),)
    return Script((Send(head + encoded[:-cut]), *end), whole=False)


def _surplus(seen: Seen, query: Query) -> Script:
    """A good response and then more: `what` is bytes, response or crlf; `when` is same (one write), soon, or idle (after `ms`)."""
    extra = {"bytes": b"surplus", "response": stray(seen), "crlf": b"\r\n"}[query.get("what", "response")]
    when, answer = query.get("when", "same"), ordinary(seen)
    if when == "same":
        return Script((Send(answer + extra),))
    if when == "soon":
        return Script((Send(answer), Stray(extra)))
    return Script((Send(answer), Idle(float(query.get("ms", "5")) / 1000), Stray(extra)))


def _split(seen: Seen, query: Query) -> Script:
    """A good response in pieces of `size` bytes."""
    body = pattern(int(query.get("bytes", "300")))
    head = b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n" % tags(seen)
    return Script((Drip(head + chunk(body, 50), int(query.get("size", "1"))),))


def _early(seen: Seen, query: Query) -> Script:
    """The final response while the upload still runs; then close, or (`stay=1`) leave the connection open."""
    answer = ordinary(
        seen, query.get("status", "413").encode() + b" Early", b"" if query.get("stay") else b"Connection: close\r\n"
    )
    # Closing at once with unread upload bytes would be RST, which may destroy the response: linger as a good server does (RFC 9112 section 9.6).
    return Script((Send(answer),) if query.get("stay") else (Send(answer), Wait(0.5), Close()), at_head=True)


def _interim(seen: Seen, query: Query) -> Script:
    """`n` interim responses of `code`, then the final one."""
    code = query.get("code", "102").encode()
    return Script((Send(b"HTTP/1.1 %b Interim\r\n\r\n" % code * int(query.get("n", "1000"))), Send(ordinary(seen))))


def _switch(seen: Seen, query: Query) -> Script:
    """101 that nobody asked for, and bytes behind it."""
    return Script(
        (
            Send(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + stray(seen)
            ),
            Tunnel(),
        ),
        whole=False,
    )


def _bodied(seen: Seen, query: Query) -> Script:
    """A body on a response to HEAD, or with status 204 or 304. `framing` is cl, chunked or none; `when=soon`: in a write of its own."""
    status = query.get("status", "200").encode()
    body = stray(seen)
    framing = {"cl": b"Content-Length: %d\r\n" % len(body), "chunked": b"Transfer-Encoding: chunked\r\n", "none": b""}[
        query.get("framing", "cl")
    ]
    head = b"HTTP/1.1 %b Bodied\r\n%b%b\r\n" % (status, tags(seen), framing)
    body = chunk(body) if framing.startswith(b"T") else body
    return Script((Send(head), Stray(body)) if query.get("when") == "soon" else (Send(head + body),))


def _malformed(seen: Seen, query: Query) -> Script:
    """Case number `case` of the corpus of malformed responses. `stay=1` leaves the connection open."""
    _name, data = MALFORMED_RESPONSES[int(query["case"])]
    return Script((Send(data),) if query.get("stay") else (Send(data), Wait(0.05), Close()), whole=False)


def _bomb(seen: Seen, query: Query) -> Script:
    """A response head over every limit: `kind` is line, fields or endless."""
    start = b"HTTP/1.1 200 OK\r\n"
    if query.get("kind") == "fields":
        return Script((Send(start + b"".join(b"X-%d: y\r\n" % n for n in range(10_000)) + b"\r\n"),), whole=False)
    if query.get("kind") == "endless":
        return Script((Send(start), *[Send(b"X-Filler: " + b"f" * 4000 + b"\r\n")] * 2000), whole=False)
    return Script((Send(start + b"X-Long: " + b"l" * (1 << 20) + b"\r\n\r\n"),), whole=False)


def _reset(seen: Seen, query: Query) -> Script:
    """RST instead of an answer, or (`after=N`) after N bytes of one."""
    sent = ordinary(seen)[: int(query.get("after", "0"))]
    return Script((Send(sent), Wait(0.005), Reset()) if sent else (Reset(),), whole=False)


def _close(seen: Seen, query: Query) -> Script:
    """Close instead of an answer."""
    return Script((Close(),), whole=False)


def _hang(seen: Seen, query: Query) -> Script:
    """No answer ever."""
    return Script((Hang(),), whole=False)


def _linger(seen: Seen, query: Query) -> Script:
    """A good answer, and the connection closed `ms` after it when still idle."""
    return Script((Send(ordinary(seen)), Idle(int(query.get("ms", "5")) / 1000), Close()))


MISBEHAVIOURS: dict[str, Callable[[Seen, Query], Script]] = {
    "truncate": _truncate,
    "surplus": _surplus,
    "split": _split,
    "early": _early,
    "interim": _interim,
    "switch": _switch,
    "bodied": _bodied,
    "malformed": _malformed,
    "bomb": _bomb,
    "reset": _reset,
    "close": _close,
    "hang": _hang,
    "linger": _linger,
}


def misbehave(seen: Seen, name: str, query: Query) -> Script:
    """The script of one misbehaviour; KeyError for a name nobody wrote."""
    return MISBEHAVIOURS[name](seen, query)
