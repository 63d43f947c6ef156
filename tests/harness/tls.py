"""A TLS client whose records and TCP segments are the test's to arrange: an `ssl` object over memory, and a socket beside it."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from types import TracebackType
from typing import Self


class TlsWire:
    """
    One connection with the handshake done (unless told otherwise).

    Reading is strict: an end of the stream without close_notify raises `ssl.SSLEOFError`, a reset `ConnectionResetError`.

    Args:
        segment: Bytes of each TCP segment of the handshake; 0 sends them as they come.
        receive_buffer: Of the socket, in bytes; 0 leaves it alone.
    """

    def __init__(
        self,
        port: int,
        context: ssl.SSLContext,
        *,
        segment: int = 0,
        receive_buffer: int = 0,
        handshake: bool = True,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost", session=session)
        try:
            self.socket.settimeout(30.0)
            self.socket.connect(("127.0.0.1", port))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if handshake:
                self._handshake(segment)
        except BaseException:
            self.socket.close()
            raise

    def _handshake(self, segment: int) -> None:
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.push(self._outgoing.read(), segment)
                self._receive()
        self.push(self._outgoing.read(), segment)

    def hello(self) -> bytes:
        """The first flight of a handshake that was not begun."""
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self._outgoing.read()

    def seal(self, data: bytes, record: int = 16384) -> bytes:
        """The records that carry these bytes, each with at most `record` of them."""
        for at in range(0, len(data), record):
            self.tls.write(data[at : at + record])
        return self._outgoing.read()

    def push(self, data: bytes, segment: int = 0) -> None:
        """Bytes onto the wire as they are, in segments of that size."""
        for at in range(0, len(data), segment or max(len(data), 1)):
            self.socket.sendall(data[at : at + (segment or len(data))])

    def send(self, data: bytes) -> None:
        """Seal and push."""
        for at in range(0, len(data), 1 << 20):
            self.push(self.seal(data[at : at + (1 << 20)]))

    def goodbye(self) -> None:
        """Push a close_notify."""
        with suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.push(self._outgoing.read())

    def half_close(self) -> None:
        """FIN, with no close_notify of its own."""
        self.socket.shutdown(socket.SHUT_WR)

    def _receive(self) -> None:
        data = self.socket.recv(65536)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def read(self) -> bytes:
        """Some plaintext; b"" at a close_notify."""
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                self._receive()
            except ssl.SSLZeroReturnError:
                return b""

    def read_until(self, end: bytes) -> bytes:
        """Plaintext up to these bytes, which must be the last that came."""
        got = b""
        while not got.endswith(end):
            piece = self.read()
            assert piece, f"close_notify behind {got[-200:]!r}"
            got += piece
        return got

    def read_all(self) -> bytes:
        """Plaintext up to the close_notify."""
        got = []
        while piece := self.read():
            got.append(piece)
        return b"".join(got)

    def raw_end(self) -> bytes:
        """What is left on the wire up to the end of the stream, not decrypted."""
        got = b""
        while piece := self.socket.recv(65536):
            got += piece
        return got

    def abort(self) -> None:
        """Close with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()
