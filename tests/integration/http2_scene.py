"""Clusters of HTTP/2 endpoints behind one balancer, for the tests of a module."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.balancer import Balancer
from tests.harness.client import Client, Response, request
from tests.harness.http2_endpoint import Http2Endpoint
from tests.harness.tokens import TokenFactory


def eventually(done: Callable[[], bool], timeout: float = 30.0) -> None:
    """Wait for what no event tells. Raises AssertionError after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not done():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


@dataclass
class Http2Scene:
    """`ask` sends over HTTP/1.1; the first segment of the path names the cluster."""

    balancer: Balancer
    token: str
    one: Http2Endpoint
    two: Http2Endpoint

    def client(self) -> Client:
        return Client(self.balancer.port)

    def ask(self, target: str = "/main/x", **options: Any) -> Response:
        """One request on a connection of its own."""
        with self.client() as client:
            return client.ask(target, token=self.token, **options)

    def ask_at_once(self, number: int, target: str = "/main/{}") -> list[Response]:
        """So many requests before the first response is read."""
        with ExitStack() as stack:
            clients = [stack.enter_context(self.client()) for _ in range(number)]
            for at, client in enumerate(clients):
                client.send(request(target.format(at), token=self.token))
            return [client.response() for client in clients]

    def change(self, cluster: str, **keys: Any) -> None:
        """Reload the configuration with other settings of a cluster, and wait until they are in force in every worker."""
        document = json.loads(self.balancer.config_path.read_text("utf-8"))
        document["clusters"][cluster] |= keys
        self.balancer.config_path.write_text(json.dumps(document), encoding="utf-8")
        reloads = self.balancer.stderr.count("configuration reloaded")
        self.balancer.signal(signal.SIGHUP)
        eventually(lambda: self.balancer.stderr.count("configuration reloaded") > reloads)

    def move(self, cluster: str, endpoint: Http2Endpoint) -> None:
        """Have this one endpoint in a cluster."""
        self.change(cluster, endpoints=[{"address": endpoint.address}])


CLUSTERS: dict[str, dict[str, Any]] = {
    "main": {},
    "pair": {"retries": 2},
    "single": {"max_connections": 1, "max_pending": 1000, "pending_timeout": "60s"},
    "pinging": {"http2": {"ping_interval": "1s", "ping_timeout": "2s"}},
    "aging": {"http2": {"max_connection_age": "1s"}},
    "few": {"http2": {"max_streams": 2}, "max_connections": 2},
    "moving": {},
    "quick": {"connect_timeout": "1500ms", "response_timeout": "1500ms"},
    "opening": {"connect_timeout": "2s"},  # one that a busy machine keeps
}


@contextmanager
def http2_scene(directory: Path) -> Iterator[Http2Scene]:
    """Two endpoints, and a cluster for each way to use them."""
    tokens = TokenFactory()
    with Http2Endpoint() as one, Http2Endpoint() as two:
        clusters = {
            name: {
                "endpoints": [{"address": one.address}, *([{"address": two.address}] if name == "pair" else [])],
                "protocol": "http2",
                "ejection": False,
                **keys,
            }
            for name, keys in CLUSTERS.items()
        }
        routes = [{"name": name, "prefix": f"/{name}", "cluster": name} for name in clusters]
        with Balancer(directory, tokens, [], clusters=clusters, routes=routes, workers=1) as balancer:
            yield Http2Scene(balancer, tokens.mint(), one, two)
