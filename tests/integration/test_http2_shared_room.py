"""`max_connections` of an HTTP/2 cluster holds over all workers: they take turns, and a connection counts until its last request has ended."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import ngh2

from tests.harness.balancer import Balancer
from tests.harness.client import Client, request
from tests.harness.http2_endpoint import EndpointConnection, Http2Endpoint
from tests.harness.tokens import TokenFactory

CLIENTS = 20
"""So many that the kernel gives all to one worker once in half a million times."""


def is_open(connection: EndpointConnection) -> bool:
    """Whether the balancer has it open, as the kernel knows it: our thread may not have been told yet that it was closed."""
    try:
        return connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x01"  # TCP_ESTABLISHED
    except OSError:
        return False


def test_two_workers_share_one_connection_at_a_time(tmp_path: Path) -> None:
    """Clients of both workers, each with three requests, and room for one connection: all are answered, and never are two connections open."""
    open_now: set[EndpointConnection] = set()
    most: list[int] = []

    def script(connection: EndpointConnection) -> None:
        open_now.add(connection)
        most.append(sum(map(is_open, list(open_now))))
        try:
            while True:
                asked = connection.request()
                if any(isinstance(event, ngh2.GoAwayReceived) for event in connection.events):
                    open_now.discard(connection)
                connection.respond(asked.stream, asked.path.encode())
        finally:
            open_now.discard(connection)

    tokens = TokenFactory()
    with Http2Endpoint(script) as endpoint:
        cluster = {"protocol": "http2", "max_connections": 1}
        with (
            Balancer(tmp_path, tokens, [endpoint.address], clusters={"main": cluster}, workers=2) as balancer,
            ExitStack() as stack,
        ):
            token = tokens.mint()
            clients = [stack.enter_context(Client(balancer.port)) for _ in range(CLIENTS)]
            for turn in range(3):
                for at, client in enumerate(clients):
                    client.send(request(f"/{at}/{turn}", token=token))
                bodies = [client.response().body.decode() for client in clients]
                assert bodies == [f"/{at}/{turn}" for at in range(CLIENTS)]
        assert not endpoint.faults
    assert len(endpoint.connections) > 1  # both workers had clients
    assert max(most) <= 2  # one that has closed its side may be read to its end while the next one opens
