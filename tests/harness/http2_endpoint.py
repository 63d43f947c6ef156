"""
An endpoint that speaks HTTP/2, for tests: `Http2Endpoint` serves each connection in a thread by a script, which may say anything, raw frames too.
"""

from __future__ import annotations

import queue
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import ngh2

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL = 0, 1, 2, 7, 8
MAX_STREAMS, INITIAL_WINDOW, ENABLE_CONNECT = 3, 4, 8
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Fields = list[tuple[bytes, bytes]]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """One frame as it stands on the wire (RFC 9113 section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def goaway(last: int, code: int = NO_ERROR) -> bytes:
    """The frame that ends a connection for all streams above `last`."""
    return frame(GOAWAY, payload=struct.pack(">II", last, code))


def reset(stream: int, code: int) -> bytes:
    """The frame that takes a stream back."""
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def block(*fields: tuple[bytes, bytes]) -> bytes:
    """A field block of literals (RFC 7541 section 6.2.2), each shorter than 127 bytes: any bytes may be in names and values."""
    return b"".join(b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in fields)


@dataclass
class Request:
    """One request as the endpoint got it."""

    stream: int
    fields: Fields
    body: bytes = b""
    trailers: Fields = field(default_factory=list)

    def field(self, name: bytes) -> bytes:
        """Its first value; b"" without one."""
        return next((value for known, value in self.fields if known == name), b"")

    @property
    def path(self) -> str:
        return self.field(b":path").decode()


class Closed(Exception):
    """The other side has closed the connection."""


class EndpointConnection:
    """One connection, as a script sees it."""

    def __init__(self, connected: socket.socket, settings: dict[int, int] | None) -> None:
        self.socket = connected
        self.engine = ngh2.Connection(ngh2.Role.SERVER)
        self.events: list[Any] = []
        self.heads: list[int] = []
        """Streams whose request has begun."""
        self.paths: dict[int, str] = {}
        """Of their requests."""
        self._whole: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._partial: dict[int, Request] = {}
        if settings is not None:
            self.engine.initiate_connection(settings)
            self.flush()

    def flush(self) -> None:
        """Send what is queued."""
        while data := self.engine.data_to_send():
            self.socket.sendall(data)

    def raw(self, *frames: bytes) -> None:
        """Send these bytes behind what is queued."""
        self.flush()
        self.socket.sendall(b"".join(frames))

    def receive(self) -> list[Any]:
        """The next events. Raises Closed."""
        try:
            data = self.socket.recv(1 << 16)
        except OSError:
            raise Closed from None
        if not data:
            raise Closed
        self.engine.receive_data(data)
        events = self.engine.events()
        for event in events:
            self._note(event)
        self.events += events
        self.flush()
        return events

    def _note(self, event: Any) -> None:
        if isinstance(event, ngh2.RequestReceived):
            self.heads.append(event.stream_id)
            self.paths[event.stream_id] = dict(event.headers).get(b":path", b"").decode()
            self._partial[event.stream_id] = Request(event.stream_id, list(event.headers))
        elif isinstance(event, ngh2.DataReceived):
            self._partial[event.stream_id].body += event.data
        elif isinstance(event, ngh2.TrailersReceived):
            self._partial[event.stream_id].trailers = list(event.headers)
        if getattr(event, "end_stream", isinstance(event, ngh2.TrailersReceived)):
            self._whole.put(self._partial.pop(event.stream_id))

    def request(self) -> Request:
        """The next whole request. Raises Closed."""
        while self._whole.empty():
            self.receive()
        return self._whole.get()

    def head(self, number: int = 1) -> int:
        """The stream of the request with this number, from 1, once its head has come. Raises Closed."""
        while len(self.heads) < number:
            self.receive()
        return self.heads[number - 1]

    def until(self, *kinds: type) -> Any:
        """The first event of these kinds, from the beginning. Raises Closed."""
        while True:
            for event in self.events:
                if isinstance(event, kinds):
                    return event
            self.receive()

    def respond(
        self,
        stream: int,
        body: bytes = b"",
        *,
        status: int = 200,
        more: Fields | None = None,
        trailers: Fields | None = None,
    ) -> None:
        """Send a whole response."""
        head = [(b":status", b"%d" % status), *(more or [])]
        self.engine.send_response(stream, head, end_stream=not body and trailers is None)
        if body:
            self.engine.send_data(stream, body, end_stream=trailers is None)
        if trailers is not None:
            self.engine.send_trailers(stream, trailers)
        self.flush()

    def drain(self) -> None:
        """Read until the other side closes."""
        with suppress(Closed):
            while True:
                self.receive()


Script = Callable[[EndpointConnection], object]


def serving(answer: Callable[[EndpointConnection, Request], object]) -> Script:
    """The script that answers one request after the other."""

    def script(connection: EndpointConnection) -> None:
        while True:
            answer(connection, connection.request())

    return script


def echo(connection: EndpointConnection, request: Request) -> None:
    """200 with what came."""
    connection.respond(request.stream, request.body or request.path.encode())


ECHO: Final = serving(echo)


class Http2Endpoint:
    """
    `with Http2Endpoint() as endpoint: endpoint.address`.

    Args:
        script: What each connection does; see `serving`. May be replaced by `play`.
        tls: Its context, with ALPN.
    """

    def __init__(self, script: Script = ECHO, *, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.settings: dict[int, int] | None = {MAX_STREAMS: 100}
        self.connections: list[EndpointConnection] = []
        self.faults: list[BaseException] = []
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._threads: list[threading.Thread] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def address(self) -> str:
        """As a cluster names it."""
        return f"{'https://' if self._tls else ''}127.0.0.1:{self.port}"

    def play(self, script: Script, settings: dict[int, int] | None = {MAX_STREAMS: 100}) -> None:  # noqa: B006 - never changed
        """Close all connections; new ones do this. settings: that each begins with; None: the script sends them."""
        self.script, self.settings = script, settings
        self.close_connections()
        self.connections.clear()
        self.faults.clear()

    @property
    def begun(self) -> int:
        """Requests whose head has come since `play`."""
        return sum(len(connection.heads) for connection in self.connections)

    def close_connections(self) -> None:
        for connection in self.connections:
            with suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5.0)
        self._threads.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connected, _ = self._listener.accept()
                connected.settimeout(60.0)
                thread = threading.Thread(target=self._serve, args=(connected,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connected: socket.socket) -> None:
        try:
            if self._tls is not None:
                connected = self._tls.wrap_socket(connected, server_side=True)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = EndpointConnection(connected, self.settings)
            self.connections.append(connection)
            self.script(connection)
        except (Closed, OSError):
            pass
        except BaseException as fault:  # shown by the test that asks for it
            self.faults.append(fault)
        finally:
            connected.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.close_connections()
