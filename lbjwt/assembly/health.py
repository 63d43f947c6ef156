"""
From a configuration to the health checks of a service, and what follows from their results: whether the service is ready.

The control process checks for all workers (`HealthChecks`); a worker only waits for the first results (`FirstChecks`). A balancer that is embedded in
another program has both in its one loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from lbjwt.assembly.backend_tls import checked_backend_tls
from lbjwt.upstream._availability import may_serve
from lbjwt.upstream.health.probe import Target
from lbjwt.upstream.health.prober import Prober

if TYPE_CHECKING:
    from lbjwt.config.model import Cluster, Configuration
    from lbjwt.net.certificate import BackendTls
    from lbjwt.observe._board import Board
    from lbjwt.observe._endpoint_states import EndpointStates
    from lbjwt.observe.rows import RowNumbers

FIRST_CHECKS: Final = 3.0
"""Seconds that a start or a reload waits at most for the first checks of new endpoints: they start within one second, and end within two by default.
Then it goes on, and an endpoint that is not checked yet gets requests."""

NO_TLS: Final[Mapping[str, BackendTls]] = MappingProxyType({})


def checks_configured(configuration: Configuration) -> bool:
    """True when some cluster has a health check."""
    return any(cluster.health_check is not None for cluster in configuration.clusters.values())


def check_targets(
    name: str, cluster: Cluster, rows: Mapping[tuple[str, str], int], tls: BackendTls | None = None
) -> Iterator[Target]:
    """
    What is checked of one cluster; nothing without a health check.

    Args:
        rows: Of the shared state, by the name of the cluster and the text of the address.
        tls: For those that are checked over TLS.
    """
    if cluster.health_check is None:
        return
    check = cluster.health_check.check
    for endpoint in cluster.endpoints:
        row, address = rows[name, str(endpoint.address)], endpoint.address
        over_tls = check.is_over_tls(https=address.https)
        yield Target(row, name, address, check, tls if over_tls else None, cluster.protocol)


def all_targets(configuration: Configuration, rows: RowNumbers, tls: Mapping[str, BackendTls] = NO_TLS) -> list[Target]:
    """What is checked of a configuration. tls: of its clusters, where it matters."""
    return [
        target
        for name, cluster in configuration.clusters.items()
        for target in check_targets(name, cluster, rows.endpoints, tls.get(name))
    ]


class HealthChecks:
    """
    The health checks of a whole service.

    Args:
        notify: Wakes the workers: an endpoint was checked for the first time, or its health changed.
    """

    def __init__(self, board: Board, notify: Callable[[], None]) -> None:
        self._board = board
        self._notify = notify
        self._prober = Prober(board.endpoint_states, self._changed)
        self._tls: dict[str, BackendTls] = {}
        self._clusters: list[list[tuple[int, int]]] = []
        """Of each cluster, the rows and the configured weights of its endpoints."""

    def use(self, configuration: Configuration, rows: RowNumbers, *, at_start: bool = False) -> None:
        """
        Check the endpoints of this configuration from now on; those that are checked already go on undisturbed. A file for TLS that cannot be used
        raises nothing.
        """
        self._clusters = [
            [(rows.endpoints[name, str(endpoint.address)], endpoint.weight) for endpoint in cluster.endpoints]
            for name, cluster in configuration.clusters.items()
        ]
        checked = {
            name: cluster for name, cluster in configuration.clusters.items() if cluster.health_check is not None
        }
        self._tls = checked_backend_tls(checked, self._tls)
        self._prober.use(all_targets(configuration, rows, self._tls), at_start=at_start)
        self.look()

    def look(self) -> None:
        """
        Tell the board whether any cluster has an endpoint that can be used: the service is not ready without one, unless it forwards nothing.
        """
        states = self._board.endpoint_states
        self._board.set_usable(
            not self._clusters
            or any(may_serve(states, row, weight) for endpoints in self._clusters for row, weight in endpoints)
        )

    def _changed(self) -> None:
        self.look()
        self._notify()

    def failure(self, row: int) -> str:
        """Why the last check of an endpoint failed; "" when it passed, or there was none."""
        return self._prober.failure(row)

    async def stop(self) -> None:
        """End every check under way."""
        await self._prober.stop()


class FirstChecks:
    """Waits for the first results of endpoints that this balancer does not use yet. `notified` when there may be more of them."""

    def __init__(self, states: EndpointStates) -> None:
        self._states = states
        self._more = asyncio.Event()

    def notified(self) -> None:
        self._more.set()

    async def wait(self, configuration: Configuration, rows: RowNumbers, seconds: float = FIRST_CHECKS) -> None:
        """Return when every endpoint of the configuration that has a health check was checked, or the time is over."""
        waiting = [target.row for target in all_targets(configuration, rows)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while waiting := [row for row in waiting if self._states.read(row)["checked_at"] == 0.0]:
                    self._more.clear()
                    await self._more.wait()
