"""The stage of the playbooks with endpoints that speak HTTP/2: what they say is up to the playbook, raw frames too."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from lbjwt.proxy._http2_client import Http2Client
from lbjwt.upstream._endpoint import Endpoint, Protocol
from tests.harness.http2_endpoint import MAX_STREAMS, Closed, EndpointConnection
from tests.playbooks.http2_stage import Http2Stage
from tests.playbooks.stage import Peer, Server
from tests.playbooks.tls_stage import Turns


class Http2Server(Server):
    """The far end of a connection to an endpoint. It stands where `EndpointConnection` has its socket."""

    peer: EndpointConnection

    def __init__(self, stage: Http2EndpointStage, client: Any) -> None:
        Peer.__init__(self, stage, client.protocol())
        self.stream = client
        self.turns = stage.turns
        self.settings = stage.settings
        self._looked = 0

    def connects(self) -> Http2Server:
        super().connects()
        self.peer = EndpointConnection(self, self.settings)  # type: ignore[arg-type]
        self.settle()
        return self

    def sendall(self, data: bytes) -> None:
        self.sends(data)

    def recv(self, size: int) -> bytes:
        self.turns.turn()
        if data := self.take():
            return data
        raise OSError("nothing more now")

    def settle(self) -> None:
        """Take in all that lbjwt has sent."""
        if self.settings is None:
            return
        with suppress(Closed):
            while True:
                self.peer.receive()

    def asked(self) -> list[tuple[int, str]]:
        """Stream and path of the requests that came since the last look, whole or not."""
        self.settle()
        streams, self._looked = self.peer.heads[self._looked :], len(self.peer.heads)
        return [(stream, self.peer.paths[stream]) for stream in streams]

    def raw(self, *frames: bytes) -> None:
        """Send these bytes, whatever they are."""
        self.settle()
        self.sends(b"".join(frames))
        self.turns.turn()


class Http2EndpointStage(Http2Stage):
    """`Http2Stage` whose endpoints speak HTTP/2 as well. settings: theirs; None: they send none by themselves."""

    def __init__(
        self,
        turns: Turns,
        pieces: int | None = None,
        endpoints: int = 1,
        settings: dict[int, int] | None = {MAX_STREAMS: 100},  # noqa: B006 - never changed
        **options: Any,
    ) -> None:
        self.settings = settings
        members = [
            Endpoint(at, f"10.0.0.{at}:80", f"10.0.0.{at}", 80, "", 1, protocol=Protocol.HTTP2)
            for at in range(endpoints)
        ]
        super().__init__(turns, pieces, members, **options)

    def _open(self, endpoint: Endpoint) -> Any:
        return self.opening(endpoint)

    def opening(self, endpoint: Endpoint) -> Any:
        """Begin a connection; a playbook may put something else in its place."""
        client = Http2Client(self.context, endpoint)
        server = Http2Server(self, client)
        server.endpoint = endpoint
        self.opened.append(server)
        return client.first_stream()

    def server(self, number: int = -1) -> Http2Server:
        server = super().server(number)
        assert isinstance(server, Http2Server)
        server.settle()
        return server
