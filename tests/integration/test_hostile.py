"""Hostile peers on real sockets: what only a kernel can play."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.client import request
from tests.harness.stage import Stage


@contextmanager
def backend(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A listener that hands each connection to `serve` in a thread; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def one(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                serve(connection)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def in_flight(stage: Stage) -> int:
    return int(json.loads(stage.balancer.admin_get("/status")[1])["requests_in_flight"])


def settles(condition: Callable[[], bool], timeout: float = 30.0) -> bool:
    """Poll until true."""
    end = time.monotonic() + timeout
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def endless(connection: socket.socket) -> None:
    """An event stream that never ends."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"5\r\ntick\n\r\n")
        time.sleep(0.02)


def test_an_endless_response_ends_with_its_client(tmp_path: Path) -> None:
    """A client that closes (FIN first, RST for what comes after) lets go of the endpoint's connection, not only one that resets."""
    with backend(endless) as address, Stage(tmp_path, behaviours=(), endpoints=[address]) as stage:
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", stage.port)) as client:
                client.sendall(request(token=stage.token))
                assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        assert settles(lambda: in_flight(stage) == 0), f"{in_flight(stage)} streams go on for nobody"


def test_a_flood_of_requests_whose_answers_are_not_read_costs_no_memory(tmp_path: Path) -> None:
    """Refusals need no token: a client that pipelines them and never reads is stopped by back-pressure, not served from growing buffers."""
    with Stage(tmp_path) as stage:
        before = stage.balancer.usage().rss
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", stage.port))
            client.settimeout(0.5)
            flood = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 4000
            sent = 0
            with contextlib.suppress(TimeoutError):
                while sent < 40_000_000:
                    sent += client.send(flood)
            grown = stage.balancer.usage().rss - before
        assert grown < 8_000_000, f"grew by {grown / 1e6:.0f} MB for {sent / 1e6:.0f} MB of requests"
