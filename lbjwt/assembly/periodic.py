"""What a balancer does now and then, until it stops: one timer for each kind of work, not one for each connection or request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lbjwt.config.model import Configuration

EXPIRY = (0.05, 0.25)
"""Seconds between two walks over the deadlines of all connections, at least and at most: a timeout is late by no more, and a client that goes away
while nothing is read from it is noticed by then."""


class Periodic:
    """Timers in the running loop."""

    def __init__(self) -> None:
        self._seconds: dict[Callable[[], object], float] = {}
        self._timers: dict[Callable[[], object], asyncio.TimerHandle] = {}

    def every(self, seconds: float, work: Callable[[], object]) -> None:
        """Do the work that often from now on; for work that is done already, the next time on its old date."""
        known = work in self._seconds
        self._seconds[work] = seconds
        if not known:
            self._wait(work)

    def _wait(self, work: Callable[[], object]) -> None:
        self._timers[work] = asyncio.get_running_loop().call_later(self._seconds[work], self._turn, work)

    def _turn(self, work: Callable[[], object]) -> None:
        self._wait(work)
        work()

    def stop(self) -> None:
        """Do none of it any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers, self._seconds = {}, {}


def expiry_interval(configuration: Configuration) -> float:
    """Seconds between two walks over the deadlines, so that every timeout holds to 100 ms or a tenth of it, whichever is larger."""
    timeouts = configuration.timeouts
    least, most = EXPIRY
    shortest = min(
        timeouts.request_head,
        timeouts.keep_alive,
        timeouts.stream_idle,
        timeouts.tls_handshake,
        *(
            min(cluster.response_timeout, cluster.idle_timeout, cluster.pending_timeout)
            for cluster in configuration.clusters.values()
        ),
        *(cluster.connect_timeout for cluster in configuration.clusters.values() if cluster.uses_tls),
        *(
            timeout
            for route in configuration.routes
            for timeout in (route.timeout, route.retry.try_timeout)
            if timeout is not None
        ),
    )
    return min(most, max(least, shortest / 20))
