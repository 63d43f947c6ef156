"""A cluster without connections, of which tests ask where a request would go."""

from collections import Counter
from collections.abc import Set as AbstractSet
from typing import Any

from lbjwt.observe._board import Board
from lbjwt.upstream._cluster import Cluster
from lbjwt.upstream._ejection import EjectionRules
from lbjwt.upstream._endpoint import Endpoint
from lbjwt.upstream._pending import PendingQueue
from lbjwt.upstream._request import UpstreamRequest
from lbjwt.upstream.balancing.rules import balancing_rule

NOW = 100.0  # monotonic seconds
LIMITS = {
    "connect_timeout": 1.0,
    "response_timeout": 1.0,
    "idle_timeout": 1.0,
    "max_idle": 1,
    "max_connections": 1,
    "max_pending": 1,
    "pending_timeout": 1.0,
    "retries": 0,
    "retry_budget": 0.2,
    "ejection": EjectionRules.off(),
    "panic_threshold": 0.5,
}


class Scene:
    """
    A cluster of endpoints with these weights, and the board that counts what each has in flight.

    Args:
        backups: Numbers of the endpoints that are backups.
        slow_start: Seconds.
        rule: For `balancing_rule`.
    """

    def __init__(
        self,
        weights: list[int],
        method: str = "least_requests",
        *,
        backups: AbstractSet[int] = frozenset(),
        slow_start: float = 0.0,
        **rule: Any,
    ) -> None:
        self.board = Board(1, len(weights))
        self.states = self.board.endpoint_states
        self._limits = LIMITS | {"slow_start": slow_start}
        self._method, self._rule = method, rule
        self._backups = backups
        self.cluster = Cluster("main", self.board, PendingQueue(self.board, lambda callback: None))
        self.use(dict(enumerate(weights)))

    def use(self, weights: dict[int, int]) -> None:
        """A reload: from now on these are the members, by number, with these weights."""
        self.cluster.configure(
            [
                Endpoint(at, f"10.0.0.{at}:80", f"10.0.0.{at}", 80, "", weight, backup=at in self._backups)
                for at, weight in weights.items()
            ],
            balancing=balancing_rule(self._method, **self._rule),
            **self._limits,
        )
        self.endpoints: dict[int, Endpoint] = {endpoint.row: endpoint for endpoint in self.cluster.endpoints}

    def pick(self, tried: set[int] | None = None, now: float = NOW, request: UpstreamRequest | None = None) -> int:
        """The number of the endpoint for the next request; -1: none."""
        excluded = None if tried is None else {self.endpoints[at] for at in tried}
        endpoint = self.cluster.pick(UpstreamRequest() if request is None else request, excluded, now)
        return -1 if endpoint is None else endpoint.row

    def shares(self, requests: int, tried: set[int] | None = None, now: float = NOW) -> Counter[int]:
        """What each endpoint gets of requests that come one after another, so that none is ever in flight."""
        counts: Counter[int] = Counter()
        for _ in range(requests):
            at = self.pick(tried, now)
            self.cluster.take(self.endpoints[at])
            counts[at] += 1
        return counts

    def fill(self, requests: int) -> list[int]:
        """Load of each endpoint after so many requests of which none ends."""
        for _ in range(requests):
            at = self.pick()
            self.cluster.take(self.endpoints[at])
            self.states.add(at, "in_flight")
        return [self.states.read(at)["in_flight"] for at in self.endpoints]
