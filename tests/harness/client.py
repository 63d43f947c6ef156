"""
A client on a raw socket, synchronous, for tests that care for every byte: pipelines, drips, stalls, half-closes, aborts.

Reading is strict. A response is COMPLETE, TRUNCATED (the stream ended inside it), RESET, TIMEOUT, NONE (no byte of it came) or GARBAGE.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Self

from tests.harness.wire import DATA, END, HEAD, Framing, Head, ResponseReader, WireError


class Outcome(Enum):
    """How reading one response ended."""

    COMPLETE = "complete"
    TRUNCATED = "truncated"
    RESET = "reset"
    TIMEOUT = "timeout"
    NONE = "none"
    GARBAGE = "garbage"


@dataclass(slots=True)
class Response:
    """One final response, with the interim ones before it."""

    outcome: Outcome = Outcome.NONE
    head: Head | None = None
    body: bytes = b""
    interim: list[Head] = field(default_factory=list)
    problem: str = ""

    @property
    def status(self) -> int:
        """Status code; 0 when no head came."""
        return self.head.status if self.head else 0

    def field(self, name: str) -> str:
        """The first value of a field, "" when absent."""
        value = self.head.get(name.lower().encode()) if self.head else None
        return value.decode("latin-1") if value is not None else ""

    @property
    def echo_id(self) -> str:
        """The request this response answers, in the backend's words."""
        return self.field("X-Echo-Id")

    @property
    def is_complete(self) -> bool:
        """True for a whole response."""
        return self.outcome is Outcome.COMPLETE


def request(
    target: str = "/r/x",
    *,
    method: str = "GET",
    token: str | None = None,
    id: str = "",
    body: bytes | None = None,
    fields: Iterable[str] = (),
    version: str = "1.1",
    host: str = "example.test",
) -> bytes:
    """One request as bytes. `body` is sent with Content-Length."""
    lines = [f"{method} {target} HTTP/{version}", f"Host: {host}"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if id:
        lines += [f"X-Test-Id: {id}", f"X-Request-Id: {id}"]
    lines += fields
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


class Client:
    """One connection to the balancer."""

    def __init__(
        self,
        port: int,
        *,
        timeout: float = 20.0,
        tls: ssl.SSLContext | None = None,
        receive_buffer: int = 0,
        source: str = "",
    ) -> None:
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            raw.bind((source, 0))
        raw.settimeout(timeout)
        try:
            raw.connect(("127.0.0.1", port))
        except OSError:
            raw.close()
            raise
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket: socket.socket = tls.wrap_socket(raw, server_hostname="localhost") if tls else raw
        self.timeout = timeout
        self.reader = ResponseReader()
        self._events: list[tuple[str, Head | bytes | None]] = []
        self._ended: Outcome | None = None
        self._problem = ""

    def send(self, data: bytes, methods: Iterable[str] | None = None) -> None:
        """Write bytes. `methods`: of the requests in them whose responses are to be read; by default the one at their start."""
        for method in [data.split(b" ", 1)[0].decode("latin-1").strip()] if methods is None else methods:
            self.reader.expect(method.encode())
        self.socket.sendall(data)

    def drip(self, data: bytes, *, size: int = 1, gap: float = 0.0, methods: Iterable[str] | None = None) -> None:
        """Write in pieces, one send each."""
        for method in [data.split(b" ", 1)[0].decode("latin-1").strip()] if methods is None else methods:
            self.reader.expect(method.encode())
        for at in range(0, len(data), size):
            self.socket.sendall(data[at : at + size])
            if gap:
                time.sleep(gap)

    def ask(self, target: str = "/r/x", **options: object) -> Response:
        """Send one request (see `request`) and read its response."""
        self.send(request(target, **options))  # type: ignore[arg-type]
        return self.response()

    def response(self, timeout: float | None = None) -> Response:
        """Read one final response, or as much of it as comes."""
        answer = Response()
        pieces: list[bytes] = []
        end = time.monotonic() + (timeout or self.timeout)
        while True:
            while self._events:
                kind, value = self._events.pop(0)
                if kind is HEAD:
                    assert isinstance(value, Head)
                    if value.status < 200 and value.status != 101:
                        answer.interim.append(value)
                    else:
                        answer.head = value
                        if value.status == 101:
                            answer.outcome = Outcome.COMPLETE
                            return answer
                elif kind is DATA:
                    assert isinstance(value, bytes)
                    pieces.append(value)
                elif kind is END and answer.head is not None:
                    answer.body, answer.outcome = b"".join(pieces), Outcome.COMPLETE
                    return answer
            if self._ended is None:
                self._read(end - time.monotonic())
                continue
            answer.body, answer.problem = b"".join(pieces), self._problem
            until_close = answer.head is not None and self.reader.framing is Framing.UNTIL_CLOSE
            if self._ended is Outcome.TRUNCATED and until_close:
                answer.outcome = Outcome.COMPLETE
            elif self._ended is Outcome.TRUNCATED and answer.head is None and not self.reader.pending:
                answer.outcome = Outcome.NONE
            else:
                answer.outcome = self._ended
            if self._ended is Outcome.TIMEOUT:
                self._ended = None
            return answer

    def _read(self, timeout: float) -> None:
        """One recv; events or the end of the stream become known."""
        try:
            self.socket.settimeout(max(timeout, 0.001))
            data = self.socket.recv(65536)
            if not data:
                self._ended = Outcome.TRUNCATED
                return
            self._events += self.reader.feed(data)
        except TimeoutError:
            self._ended = Outcome.TIMEOUT
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError) as problem:
            self._ended, self._problem = Outcome.RESET, str(problem)
        except WireError as problem:
            self._ended, self._problem = Outcome.GARBAGE, str(problem)

    def receive(self, size: int = 65536, timeout: float | None = None) -> bytes:
        """Raw bytes, as in a tunnel; b"" at the end of the stream."""
        if self.reader.pending:
            data, self.reader.pending = self.reader.pending, b""
            return data
        while self._events:
            kind, value = self._events.pop(0)
            if kind is DATA and isinstance(value, bytes) and value:
                return value
        self.socket.settimeout(timeout or self.timeout)
        return self.socket.recv(size)

    def is_closed(self, timeout: float = 30.0) -> bool:
        """Whether the peer ends the connection within `timeout` seconds without another byte. The default is for connections that must end."""
        self.socket.settimeout(timeout)
        try:
            return not self.reader.pending and not self._events and self.socket.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    def half_close(self) -> None:
        """End our direction, keep reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """Close with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        """Close in the ordinary way."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
