"""`max_connections` of an HTTP/2 cluster holds over all workers: they take turns, and a connection counts until its last request has ended."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import ngh2

from tests.harness.balancer import Balancer
from tests.harness.client import Client, request
from tests.harness.http2_endpoint import EndpointConnection, Http2Endpoint
from tests.harness.tokens import TokenFactory


def test_two_workers_share_one_connection_at_a_time(tmp_path: Path) -> None:
    """Clients of both workers, each with three requests, and room for one connection: all are answered, and never are two connections open."""
    open_now: set[int] = set()
    most: list[int] = []

    def script(connection: EndpointConnection) -> None:
        open_now.add(id(connection))
        most.append(len(open_now))
        try:
            while True:
                asked = connection.request()
                if any(isinstance(event, ngh2.GoAwayReceived) for event in connection.events):
                    open_now.discard(id(connection))
                connection.respond(asked.stream, asked.path.encode())
        finally:
            open_now.discard(id(connection))

    tokens = TokenFactory()
    with Http2Endpoint(script) as endpoint:
        cluster = {"protocol": "http2", "max_connections": 1}
        with (
            Balancer(tmp_path, tokens, [endpoint.address], clusters={"main": cluster}, workers=2) as balancer,
            ExitStack() as stack,
        ):
            token = tokens.mint()
            clients = [stack.enter_context(Client(balancer.port)) for _ in range(12)]
            for turn in range(3):
                for at, client in enumerate(clients):
                    client.send(request(f"/{at}/{turn}", token=token))
                bodies = [client.response().body.decode() for client in clients]
                assert bodies == [f"/{at}/{turn}" for at in range(12)]
        assert not endpoint.faults
    assert len(endpoint.connections) > 1  # both workers had clients
    assert max(most) <= 2  # one that has closed its side may be read to its end while the next one opens
