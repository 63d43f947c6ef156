"""
An HTTP/2 client for tests: `Peer` is bytes in, replies out (by ngh2), `Http2Client` puts it on a socket. `frame` and `block` write what no client
library sends.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import ngh2

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
CANCEL, ENHANCE_YOUR_CALM = 8, 11
Fields = list[tuple[bytes, bytes]]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """One frame as it stands on the wire (RFC 9113 section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _text(data: bytes) -> bytes:
    """A string literal without Huffman coding (RFC 7541 section 5.2)."""
    if len(data) < 127:
        return bytes([len(data)]) + data
    left, out = len(data) - 127, bytearray([127])
    while left >= 128:
        out.append(left % 128 + 128)
        left //= 128
    return bytes(out) + bytes([left]) + data


def block(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A field block of literals that no table keeps (RFC 7541 section 6.2.2): any bytes may be in names and values."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields)


def frames(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """(type, flags, stream, payload) of each whole frame."""
    found = []
    while len(data) >= 9:
        size = int.from_bytes(data[:3])
        found.append((data[3], data[4], int.from_bytes(data[5:9]), data[9 : 9 + size]))
        data = data[9 + size :]
    return found


def head(
    method: str = "GET",
    path: str = "/",
    *,
    host: str = "api.test",
    token: str | bytes | None = None,
    more: Iterable[tuple[bytes, bytes]] = (),
) -> Fields:
    """The fields of a request."""
    fields = [
        (b":method", method.encode()),
        (b":scheme", b"https"),
        (b":authority", host.encode()),
        (b":path", path.encode()),
    ]
    if token is not None:
        fields.append((b"authorization", b"Bearer " + (token.encode() if isinstance(token, str) else token)))
    return [*fields, *more]


def from_http1(data: bytes) -> tuple[Fields, bytes]:
    """The same request as fields and body. Framing and fields of the connection, which HTTP/2 does not have, are left out."""
    text, _, body = data.partition(b"\r\n\r\n")
    line, *lines = text.split(b"\r\n")
    method, target, _ = line.split(b" ", 2)
    fields = [(name.lower(), value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines)]
    named = {name.strip().lower() for known, value in fields if known == b"connection" for name in value.split(b",")}
    left_out = named | {b"connection", b"transfer-encoding", b"keep-alive", b"proxy-connection", b"upgrade", b"host"}
    chunked = any(name == b"transfer-encoding" for name, _ in fields)
    host = next((value for name, value in fields if name == b"host"), b"")
    pseudo = [(b":method", method), (b":scheme", b"http"), (b":authority", host), (b":path", target)]
    if chunked:
        pieces = body
        body = b""
        while size := int(pieces.partition(b"\r\n")[0].partition(b";")[0], 16):
            pieces = pieces.partition(b"\r\n")[2]
            body += pieces[:size]
            pieces = pieces[size + 2 :]
    return pseudo + [field for field in fields if field[0] not in left_out], body


@dataclass(slots=True)
class Reply:
    """What came back on one stream."""

    fields: Fields = field(default_factory=list)
    body: bytes = b""
    trailers: Fields | None = None
    interim: list[Fields] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None
    """Code of the RST_STREAM that ended it."""

    @property
    def status(self) -> int:
        """0 when no head came."""
        return int(self.fields[0][1]) if self.fields else 0

    def field(self, name: str) -> str:
        """The first value of a field, "" when absent."""
        return next((value.decode("latin-1") for known, value in self.fields if known == name.encode()), "")

    @property
    def is_over(self) -> bool:
        """Nothing more will come."""
        return self.ended or self.reset is not None


class Peer:
    """
    The client's side of a connection, without its socket.

    Args:
        window: Bytes of one response that may come unasked. None: as many as come.
    """

    def __init__(self, *, window: int | None = None, settings: dict[int, int] | None = None) -> None:
        self.engine = ngh2.Connection(
            ngh2.Role.CLIENT, ngh2.Configuration(auto_window_update=window is None, peer_max_concurrent_streams=1000)
        )
        self.engine.initiate_connection({**({} if window is None else {4: window}), **(settings or {})})
        if window is None:
            self.engine.set_local_window_size(1 << 30)
        self.replies: dict[int, Reply] = {}
        self.goaways: list[tuple[int, int]] = []
        """(last stream, code) of each."""
        self.settings: dict[int, int] = {}

    def request(self, fields: Fields, body: bytes | None = b"", trailers: Fields | None = None) -> int:
        """Queue a request; body None: it is sent later. The number of its stream."""
        number: int = self.engine.send_request(fields, end_stream=body == b"" and trailers is None)
        self.replies[number] = Reply()
        if body:
            self.engine.send_data(number, body, end_stream=trailers is None)
        if trailers is not None:
            self.engine.send_trailers(number, trailers)
        return number

    def take(self, data: bytes) -> None:
        """Bytes of the server."""
        try:
            self.engine.receive_data(data)
        except ngh2.ConnectionStateError:  # it has seen a GOAWAY, and counts on nothing more
            pass
        finally:
            for event in self.engine.events():
                self._note(event)

    def _note(self, event: Any) -> None:
        reply = self.replies.setdefault(getattr(event, "stream_id", 0), Reply())
        if isinstance(event, ngh2.ResponseReceived):
            reply.fields = list(event.headers)
            reply.ended = event.end_stream
        elif isinstance(event, ngh2.InformationalResponseReceived):
            reply.interim.append(list(event.headers))
        elif isinstance(event, ngh2.DataReceived):
            reply.body += event.data
            reply.ended = event.end_stream
        elif isinstance(event, ngh2.TrailersReceived):
            reply.trailers = list(event.headers)
            reply.ended = True
        elif isinstance(event, ngh2.StreamReset):
            reply.reset = event.error_code
        elif isinstance(event, ngh2.GoAwayReceived):
            self.goaways.append((event.last_stream_id, event.error_code))
        elif isinstance(event, ngh2.SettingsReceived):
            self.settings.update(event.settings)

    def output(self) -> bytes:
        """Bytes for the server."""
        out = b""
        while data := self.engine.data_to_send():
            out += data
        return out


class Http2Client:
    """One connection to the balancer; TLS with ALPN, or by prior knowledge."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None, timeout: float = 20.0, **options: Any) -> None:
        raw = socket.create_connection(("127.0.0.1", port), timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
        self.socket: socket.socket = tls.wrap_socket(raw, server_hostname="localhost") if tls else raw
        self.timeout = timeout
        self.peer = Peer(**options)
        try:
            self.flush()
        except OSError:
            self.socket.close()
            raise

    def flush(self) -> None:
        """Send what is queued. A peer that has closed may have sent something before, which is still to be read."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(self.peer.output())

    def receive(self) -> bool:
        """Take what comes next. False: the connection has ended."""
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError:
            return False
        if data:
            self.peer.take(data)
            self.flush()
        return bool(data)

    def until(self, done: Callable[[], bool]) -> None:
        """Read until it is done. Raises AssertionError when the connection ends or the time is over."""
        end = time.monotonic() + self.timeout
        while not done():
            assert time.monotonic() < end, "nothing more came"
            assert self.receive(), "the connection ended"

    def begin(self, fields: Fields, body: bytes | None = b"", trailers: Fields | None = None) -> int:
        """Send a request; the number of its stream."""
        number = self.peer.request(fields, body, trailers)
        self.flush()
        return number

    def reply(self, number: int) -> Reply:
        """The whole reply, or what came of it until its stream was reset."""
        self.until(lambda: self.peer.replies[number].is_over)
        return self.peer.replies[number]

    def ask(self, path: str = "/r/x", *, body: bytes = b"", **options: Any) -> Reply:
        """Send one request (see `head`) and read its reply."""
        return self.reply(self.begin(head(options.pop("method", "GET"), path, **options), body))

    def is_closed(self) -> bool:
        """The balancer ends the connection, whatever else it says before."""
        try:
            while self.receive():
                pass
        except TimeoutError:
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()
