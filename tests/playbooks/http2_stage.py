"""The stage of the playbooks with clients that speak HTTP/2 by prior knowledge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lbjwt.http2._session import Limits
from lbjwt.proxy._accept import accepted
from lbjwt.upstream._endpoint import Endpoint
from tests.harness.http2 import PREFACE, SETTINGS, Fields, Peer, Reply, block, frame, head
from tests.playbooks.stage import TOKEN, Client, Server, Stage
from tests.playbooks.tls_stage import Turns

LIMITS: dict[str, Any] = {
    "max_streams": 100,
    "window": 65536,
    "max_fields": 100,
    "max_field_bytes": 32768,
    "max_resets": 200,
    "max_control_frames": 500,
}


class Http2Client(Client):
    """A client whose side of the connection is a `Peer`."""

    def __init__(self, stage: Http2Stage, **options: Any) -> None:
        super().__init__(stage, accepted(stage.context, stage.listener))
        self.turns = stage.turns
        self.peer = Peer(**options)
        self.side.connection_made(self.transport)
        self.flush()

    def flush(self) -> None:
        """Bytes to and fro until neither side has more."""
        while True:
            self.turns.turn()
            data = self.take_raw()
            if data:
                self.peer.take(data)
            out = self.peer.output()
            if out and not self.is_gone():
                self.sends(out)
            elif not data:
                return

    def begins(self, fields: Fields, body: bytes | None = b"", trailers: Fields | None = None) -> int:
        """Send a request; the number of its stream."""
        number = self.peer.request(fields, body, trailers)
        self.flush()
        return number

    def asks(
        self,
        method: str = "GET",
        path: str = "/",
        *,
        body: bytes | None = b"",
        token: bytes | None = TOKEN,
        **options: Any,
    ) -> int:
        """Send a request (see `harness.http2.head`); the number of its stream."""
        return self.begins(head(method, path, token=token, **options), body)

    def reply(self, number: int) -> Reply:
        """What came on a stream so far."""
        self.flush()
        return self.peer.replies[number]

    def takes_back(self, number: int, code: int = 8) -> None:
        self.peer.engine.reset_stream(number, code)
        self.flush()


class RawClient(Client):
    """A client that writes frames by hand, behind a preface and SETTINGS."""

    def __init__(self, stage: Http2Stage) -> None:
        super().__init__(stage, accepted(stage.context, stage.listener))
        self.turns = stage.turns
        self.side.connection_made(self.transport)
        self.sends(PREFACE + frame(SETTINGS))
        self.take_raw()

    def sends_head(self, fields: Fields, number: int = 1, flags: int = 5) -> None:
        self.sends(frame(1, flags, number, block(fields)))

    def take_raw(self) -> bytes:
        self.turns.turn()
        return super().take_raw()

    def take(self) -> bytes:
        return self.take_raw()


class Http2Stage(Stage):
    """`Stage` whose listener speaks HTTP/2. http2: limits other than `LIMITS`."""

    def __init__(
        self,
        turns: Turns,
        pieces: int | None = None,
        endpoints: int | Sequence[Endpoint] = 1,
        *,
        http2: dict[str, float] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(pieces, endpoints, **options)
        self.turns = turns
        self.listener.h2c = True
        self.listener.http2 = Limits(**(LIMITS | (http2 or {})))

    def client(self, **options: Any) -> Http2Client:
        return Http2Client(self, **options)

    def raw_client(self) -> RawClient:
        return RawClient(self)

    def plain_client(self) -> Client:
        """A client that speaks HTTP/1."""
        return super().client()

    def server(self, number: int = -1) -> Server:
        self.turns.turn()
        return super().server(number)

    def passes(self) -> None:
        """One look at all deadlines."""
        self.context.expire()
        self.turns.turn()
