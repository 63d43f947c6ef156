"""The stage of the playbooks with a client that speaks TLS: an `ssl` client over memory wraps what it sends and takes."""

from __future__ import annotations

import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from lbjwt.net._tls import TlsPeer
from lbjwt.net.tls import server_context
from lbjwt.proxy._accept import accepted
from lbjwt.proxy._client_connection import ClientConnection
from lbjwt.upstream._endpoint import Endpoint
from tests.playbooks.stage import Client, Peer, Server, Stage


class Turns:
    """In the loop's place: what was put off until its next turn."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], Any]] = []
        self.later: list[Callable[[], Any]] = []
        """What was put off for a time."""

    def call_soon(self, callback: Callable[[], Any]) -> None:
        self._waiting.append(callback)

    def call_later(self, delay: float, callback: Callable[[], Any]) -> None:
        self.later.append(callback)

    def turn(self) -> None:
        while self._waiting:
            self._waiting.pop(0)()


class TlsClient(Client):
    """A client whose bytes are one record each call, or one a byte."""

    def __init__(self, stage: TlsStage) -> None:
        super().__init__(stage, accepted(stage.context, stage.listener))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = stage.client_side.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.turns = stage.turns
        self.small_records = stage.small_records
        self._ended = False

    def handshake(self) -> None:
        """The whole handshake, the session tickets of TLS 1.3 included."""
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._exchange()
        self._exchange()
        assert self.take_raw() == b""

    def _exchange(self) -> None:
        super().sends(self.outgoing.read())
        self.incoming.write(super().take_raw())

    def seal(self, data: bytes) -> bytes:
        """The records that carry these bytes."""
        for piece in [data[at : at + 1] for at in range(len(data))] if self.small_records else [data] if data else []:
            self.tls.write(piece)
        return self.outgoing.read()

    def sends(self, data: bytes) -> None:
        self.turns.turn()
        super().sends(self.seal(data))

    def sends_raw(self, data: bytes) -> None:
        """Bytes as they stand on the wire."""
        super().sends(data)

    def take_raw(self) -> bytes:
        self.turns.turn()
        self.incoming.write(super().take_raw())
        got = b""
        while not self._ended:
            try:
                piece = self.tls.read(65536)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                piece = b""
            self._ended = not piece
            got += piece
        return got

    def got_goodbye(self) -> bool:
        """The proxy's close_notify was among what was taken."""
        return self._ended

    def says_goodbye(self) -> None:
        """close_notify, without the end of the stream."""
        with suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        super().sends(self.outgoing.read())

    def ends(self) -> None:
        self.says_goodbye()
        self.cuts()

    def cuts(self) -> None:
        """The end of the stream, without a close_notify of its own."""
        if not self.transport.closed:
            super().ends()


class Forge:
    """
    Writes the client's records of a TLS 1.3 connection in place of its `ssl` object, which cannot ask for new keys.

    Args:
        key_log: Of the client's context, with this one connection in it; its suite is TLS_AES_256_GCM_SHA384.
    """

    def __init__(self, key_log: Path) -> None:
        lines = [line.split() for line in key_log.read_text().splitlines()]
        self._use(bytes.fromhex(next(words[2] for words in lines if words[0] == "CLIENT_TRAFFIC_SECRET_0")))

    def _expand(self, label: bytes, size: int) -> bytes:
        """HKDF-Expand-Label without context (RFC 8446 section 7.1)."""
        info = struct.pack("!HB", size, len(label) + 6) + b"tls13 " + label + b"\0"
        return HKDFExpand(SHA384(), size, info).derive(self._secret)

    def _use(self, secret: bytes) -> None:
        self._secret = secret
        self._cipher = AESGCM(self._expand(b"key", 32))
        self._iv = int.from_bytes(self._expand(b"iv", 12), "big")
        self._number = 0

    def record(self, kind: int, content: bytes) -> bytes:
        """One record; kind: 22 handshake, 23 application data."""
        head = b"\x17\x03\x03" + struct.pack("!H", len(content) + 17)
        nonce = (self._iv ^ self._number).to_bytes(12, "big")
        self._number += 1
        return head + self._cipher.encrypt(nonce, content + bytes([kind]), head)

    def new_keys(self, *parts: slice) -> bytes:
        """A KeyUpdate that asks for one in return, its message cut into these parts, one record each."""
        message = b"\x18\x00\x00\x01\x01"
        records = b"".join(self.record(22, message[part]) for part in parts or (slice(None),))
        self._use(self._expand(b"traffic upd", 48))
        return records


class TlsStage(Stage):
    """`Stage` with TLS clients. small_records: every byte of a client travels in a record of its own."""

    def __init__(
        self, turns: Turns, files: Path, pieces: int | None = None, *, small_records: bool = False, **options: Any
    ) -> None:
        super().__init__(pieces, **options)
        self.turns = turns
        self.small_records = small_records
        self.listener.tls = server_context(files / "cert.pem", files / "key.pem", key="tls")
        self.client_side = ssl.create_default_context(cafile=str(files / "cert.pem"))

    def client(self) -> TlsClient:
        client = TlsClient(self)
        client.side.connection_made(client.transport)
        client.handshake()
        return client

    def server(self, number: int = -1) -> Server:
        self.turns.turn()
        return super().server(number)


class TlsServer(Server):
    """An endpoint that speaks TLS: what it takes and sends is the plaintext."""

    def __init__(self, stage: TlsBackendStage, stream: ClientConnection) -> None:
        Peer.__init__(self, stage, stream.protocol())
        self.stream = stream
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = stage.server_side.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def connects(self) -> Server:
        super().connects()
        while True:
            self.incoming.write(Peer.take(self))
            with suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
                super().sends(self.outgoing.read())
                return self
            super().sends(self.outgoing.read())

    def take(self) -> bytes:
        self.incoming.write(super().take())
        got = b""
        with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while piece := self.tls.read(65536):
                got += piece
        return got

    def sends(self, data: bytes) -> None:
        if data:
            self.tls.write(data)
        super().sends(self.outgoing.read())

    def says_goodbye(self) -> None:
        """close_notify, without the end of the stream."""
        unread = self.incoming.read()  # else unwrap takes it for data behind the other side's close_notify
        with suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.incoming.write(unread)
        super().sends(self.outgoing.read())

    def cuts(self) -> None:
        """The end of the stream, without a close_notify of its own."""
        super().ends()

    def ends(self) -> None:
        self.says_goodbye()
        self.cuts()


class TlsBackendStage(Stage):
    """`Stage` with endpoints that speak TLS."""

    def __init__(self, turns: Turns, files: Path, pieces: int | None = None, **options: Any) -> None:
        trusted = ssl.create_default_context(cafile=str(files / "cert.pem"))
        self.client_side = SimpleNamespace(context=trusted, settings=None)
        peer = TlsPeer(self.client_side, "localhost")
        numbers = range(options.pop("endpoints", 1))
        secure = [Endpoint(at, f"https://10.0.0.{at}:443", f"10.0.0.{at}", 443, "", 1, tls=peer) for at in numbers]
        super().__init__(pieces, secure, **options)
        self.turns = turns
        self.server_side = server_context(files / "cert.pem", files / "key.pem", key="tls")

    def new_server(self, stream: ClientConnection) -> Server:
        return TlsServer(self, stream)

    def server(self, number: int = -1) -> Server:
        self.turns.turn()
        return super().server(number)
