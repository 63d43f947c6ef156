"""
HTTP/1.1 message framing, strict and without I/O: bytes in, events out.

It shares no code with lbjwt and repairs nothing: what RFC 9112 does not allow raises `WireError`. Backends read requests with it, clients
read responses with it, so that neither side forgives a fault of the proxy between them.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(;[^\x00-\x08\x0a-\x1f\x7f]*)?")
REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP/1\.([01])")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9]) ([^\x00-\x08\x0a-\x1f\x7f]*)")
MAX_HEAD = 1 << 20


class WireError(Exception):
    """Bytes that are not HTTP/1.1 as RFC 9112 has it. `where` says on which side they were read."""


class Framing(Enum):
    """How a body ends (RFC 9112 section 6.3)."""

    NONE = 0
    LENGTH = 1
    CHUNKED = 2
    UNTIL_CLOSE = 3
    TUNNEL = 4


@dataclass(slots=True)
class Head:
    """One message head: start line without CRLF, fields in order, and the exact bytes they came from."""

    start: bytes
    fields: list[tuple[bytes, bytes]]
    raw: bytes

    def get_all(self, name: bytes) -> list[bytes]:
        """Every value of the field, in order; `name` in lower case."""
        return [value for key, value in self.fields if key.lower() == name]

    def get(self, name: bytes) -> bytes | None:
        """The first value of the field, or None."""
        for key, value in self.fields:
            if key.lower() == name:
                return value
        return None

    @property
    def status(self) -> int:
        """Status code of a response head."""
        return int(self.start[9:12])

    @property
    def method(self) -> bytes:
        """Method of a request head."""
        return self.start.split(b" ", 1)[0]

    @property
    def target(self) -> bytes:
        """Request target of a request head."""
        return self.start.split(b" ")[1]


def parse_head(raw: bytes) -> Head:
    """Parse one whole head, from its start line to the empty line. Raises WireError."""
    lines = raw.split(b"\r\n")
    fields = []
    for line in lines[1:-2]:
        match = FIELD.fullmatch(line)
        if match is None:
            raise WireError(f"not a field line: {line[:60]!r}")
        fields.append((match[1], match[2]))
    return Head(lines[0], fields, raw)


def content_length(head: Head) -> int | None:
    """The one Content-Length, or None. Raises WireError for a second one or for anything but digits (RFC 9112 section 6.3)."""
    values = head.get_all(b"content-length")
    if not values:
        return None
    if len(values) > 1 or not values[0].isdigit():
        raise WireError(f"Content-Length {values!r}")
    return int(values[0])


def is_chunked(head: Head) -> bool:
    """Whether the body is chunked. Raises WireError for any other transfer coding, and for one beside Content-Length."""
    values = head.get_all(b"transfer-encoding")
    if not values:
        return False
    if len(values) > 1 or values[0].lower() != b"chunked":
        raise WireError(f"Transfer-Encoding {values!r}")
    if head.get(b"content-length") is not None:
        raise WireError("Transfer-Encoding beside Content-Length")
    return True


def request_framing(head: Head) -> tuple[Framing, int]:
    """Framing of a request body (RFC 9112 section 6.3, rules 4 to 7)."""
    match = REQUEST_LINE.fullmatch(head.start)
    if match is None:
        raise WireError(f"not a request line: {head.start[:60]!r}")
    if len(head.get_all(b"host")) != 1:
        raise WireError("not exactly one Host")
    if is_chunked(head):
        if match[3] == b"0":
            raise WireError("Transfer-Encoding in HTTP/1.0")
        return Framing.CHUNKED, 0
    length = content_length(head)
    return (Framing.LENGTH, length) if length else (Framing.NONE, 0)


def response_framing(head: Head, method: bytes) -> tuple[Framing, int]:
    """Framing of a response body (RFC 9112 section 6.3, all rules)."""
    match = STATUS_LINE.fullmatch(head.start)
    if match is None:
        raise WireError(f"not a status line: {head.start[:60]!r}")
    status = int(match[2])
    if status == 101:
        return Framing.TUNNEL, 0
    if method == b"HEAD" or status < 200 or status in (204, 304):
        return Framing.NONE, 0
    if is_chunked(head):
        return Framing.CHUNKED, 0
    length = content_length(head)
    if length is None:
        return Framing.UNTIL_CLOSE, 0
    return (Framing.LENGTH, length) if length else (Framing.NONE, 0)


HEAD, DATA, END = "head", "data", "end"
Event = tuple[str, Head | bytes | None]


class MessageReader:
    """
    Messages of one direction of one connection.

    `feed` yields (HEAD, Head), then (DATA, bytes) pieces, then (END, None) for each message. Bytes that nobody asked for stay in
    `pending`; `is_midway` tells whether the stream may not end here.
    """

    def __init__(self, framing_of: Callable[[Head], tuple[Framing, int]]) -> None:
        self._framing_of = framing_of
        self.pending = b""
        self.framing: Framing | None = None  # of the message whose body is being read; None between messages
        self._left = 0  # bytes left of the length or of the chunk
        self._in_chunk = False
        self._in_trailer = False
        self.paused = False  # set by the consumer: keep what follows in pending

    @property
    def is_midway(self) -> bool:
        """True when an end of stream here cuts a message."""
        if self.framing is None:
            return bool(self.pending)
        return self.framing not in (Framing.UNTIL_CLOSE, Framing.TUNNEL)

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take bytes, yield what they complete. Raises WireError."""
        self.pending = self.pending + data if self.pending else data
        while self.pending and not self.paused:
            if self.framing is None:
                end = self.pending.find(b"\r\n\r\n")
                if end < 0:
                    if len(self.pending) > MAX_HEAD:
                        raise WireError("head without end")
                    return
                head = parse_head(self.pending[: end + 4])
                self.pending = self.pending[end + 4 :]
                self.framing, self._left = self._framing_of(head)
                yield HEAD, head
                if self.framing is Framing.NONE:
                    self.framing = None
                    yield END, None
            elif self.framing in (Framing.UNTIL_CLOSE, Framing.TUNNEL):
                piece, self.pending = self.pending, b""
                yield DATA, piece
            elif self.framing is Framing.LENGTH:
                piece, self.pending = self.pending[: self._left], self.pending[self._left :]
                self._left -= len(piece)
                yield DATA, piece
                if not self._left:
                    self.framing = None
                    yield END, None
            else:
                progress = False
                for event in self._feed_chunked():
                    progress = True
                    yield event
                if not progress:
                    return

    def _feed_chunked(self) -> Iterator[Event]:
        """One step of a chunked body (RFC 9112 section 7.1); yields nothing when more bytes are needed."""
        if self._in_chunk:
            if self._left:
                piece, self.pending = self.pending[: self._left], self.pending[self._left :]
                self._left -= len(piece)
                yield DATA, piece
            elif len(self.pending) >= 2:
                if self.pending[:2] != b"\r\n":
                    raise WireError("chunk without CRLF")
                self.pending = self.pending[2:]
                self._in_chunk = False
                yield DATA, b""
            return
        line, found, rest = self.pending.partition(b"\r\n")
        if not found:
            if len(line) > 4096:
                raise WireError("chunk line without end")
            return
        if self._in_trailer:
            self.pending = rest
            if line:
                if FIELD.fullmatch(line) is None:
                    raise WireError(f"not a trailer field: {line[:60]!r}")
                yield DATA, b""
                return
            self._in_trailer = False
            self.framing = None
            yield END, None
            return
        match = CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise WireError(f"not a chunk size: {line[:60]!r}")
        self.pending = rest
        self._left = int(match[1], 16)
        self._in_chunk = self._left > 0
        self._in_trailer = not self._in_chunk
        yield DATA, b""


class RequestReader(MessageReader):
    """Requests as a backend reads them."""

    def __init__(self) -> None:
        super().__init__(request_framing)


class ResponseReader(MessageReader):
    """Responses as a client reads them; `expect` says which methods they answer, in order."""

    def __init__(self) -> None:
        self._methods: deque[bytes] = deque()
        super().__init__(self._framing)

    def expect(self, method: bytes) -> None:
        """One more request was sent."""
        self._methods.append(method)

    def _framing(self, head: Head) -> tuple[Framing, int]:
        if not self._methods:
            raise WireError(f"a response nobody asked for: {head.start[:60]!r}")
        framing = response_framing(head, self._methods[0])
        if head.status >= 200 or head.status == 101:
            self._methods.popleft()
        return framing


def chunk(data: bytes, piece: int = 4096, trailer: bytes = b"") -> bytes:
    """`data` in the chunked coding, `piece` bytes a chunk; `trailer` is ready-made field lines."""
    parts = [b"%x\r\n%b\r\n" % (len(data[at : at + piece]), data[at : at + piece]) for at in range(0, len(data), piece)]
    return b"".join(parts) + b"0\r\n" + trailer + b"\r\n"
