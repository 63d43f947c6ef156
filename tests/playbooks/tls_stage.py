"""The stage of the playbooks with a client that speaks TLS: an `ssl` client over memory wraps what it sends and takes."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lbjwt.net.tls import server_context
from lbjwt.proxy._tls_client import TlsClientSide
from tests.playbooks.stage import Client, Server, Stage


class Turns:
    """In the loop's place: what was put off until its next turn."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], Any]] = []

    def call_soon(self, callback: Callable[[], Any]) -> None:
        self._waiting.append(callback)

    def turn(self) -> None:
        while self._waiting:
            self._waiting.pop(0)()


class TlsClient(Client):
    """A client whose bytes are one record each call, or one a byte; `ended`: the proxy said close_notify."""

    def __init__(self, stage: TlsStage) -> None:
        super().__init__(stage, TlsClientSide(stage.traffic, stage.policy, stage.server_side, 10.0))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = stage.client_side.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.turns = stage.turns
        self.small_records = stage.small_records
        self.ended = False

    def handshake(self) -> None:
        """The whole handshake, the session tickets of TLS 1.3 included."""
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._exchange()
        self._exchange()
        assert self.take() == b""

    def _exchange(self) -> None:
        super().sends(self.outgoing.read())
        self.incoming.write(super().take())

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

    def take(self) -> bytes:
        self.turns.turn()
        self.incoming.write(super().take())
        got = b""
        while not self.ended:
            try:
                piece = self.tls.read(65536)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                piece = b""
            self.ended = not piece
            got += piece
        return got

    def says_goodbye(self) -> None:
        """close_notify, without the end of the stream."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        super().sends(self.outgoing.read())

    def ends(self) -> None:
        self.says_goodbye()
        self.cuts()

    def cuts(self) -> None:
        """The end of the stream, without a close_notify of its own."""
        if not self.transport.closed:
            super().ends()


class TlsStage(Stage):
    """`Stage` with TLS clients. small_records: every byte of a client travels in a record of its own."""

    def __init__(
        self, turns: Turns, files: Path, pieces: int | None = None, *, small_records: bool = False, **options: Any
    ) -> None:
        super().__init__(pieces, **options)
        self.turns = turns
        self.small_records = small_records
        self.server_side = server_context(files / "cert.pem", files / "key.pem", key="tls")
        self.client_side = ssl.create_default_context(cafile=str(files / "cert.pem"))

    def client(self) -> TlsClient:
        client = TlsClient(self)
        client.side.connection_made(client.transport)
        client.handshake()
        return client

    def server(self, number: int = -1) -> Server:
        self.turns.turn()
        return super().server(number)
