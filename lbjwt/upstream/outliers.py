"""
Success rates: which endpoints of a cluster answer far fewer requests well than the others do.

An endpoint that fails every second request rarely fails five times in a row. So every few seconds one worker compares the share of good responses of
all endpoints, over all workers. An outlier is more than 1.9 standard deviations below the mean and also below an absolute floor: where all endpoints
fail alike, or all are nearly perfect, none stands out.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from lbjwt.upstream._cluster import Cluster

DEVIATIONS: Final = 1.9
"""Standard deviations below the mean. 1.9 is what Envoy uses."""

MIN_ENDPOINTS: Final = 5
"""With four endpoints none can be more than 1.73 standard deviations below the mean: one of n is √(n - 1) at most."""

MIN_REQUESTS: Final = 100
"""Requests of an endpoint within an interval, so that its rate means something."""


class Outlier(NamedTuple):
    at: int
    """Its index."""
    rate: float
    """Share of good responses, 0 to 1."""
    mean: float
    """Of all endpoints with enough requests."""


def outliers(results: Sequence[tuple[int, int]], *, floor: float) -> list[Outlier]:
    """
    Return the endpoints that should be ejected, the worst first.

    Args:
        results: For each endpoint its good responses and all of its requests within the interval.
        floor: Share of good responses, 0 to 1, from which on no endpoint is an outlier.
    """
    rates = {at: good / count for at, (good, count) in enumerate(results) if count >= MIN_REQUESTS}
    if len(rates) < MIN_ENDPOINTS:
        return []
    mean = statistics.fmean(rates.values())
    bound = min(mean - DEVIATIONS * statistics.pstdev(rates.values()), floor)
    return sorted((Outlier(at, rate, mean) for at, rate in rates.items() if rate < bound), key=lambda one: one.rate)


class SuccessRates:
    """Compares the endpoints of one cluster, and has outliers ejected. One worker of a service does this."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._before: dict[int, tuple[int, int]] = {}
        """By row of an endpoint, what stood there at the last comparison."""
        self._due = 0.0

    def look(self, now: float) -> None:
        """Compare, if it is time to. now: seconds on the monotonic clock."""
        ejector = self._cluster.ejector
        endpoints = self._cluster.endpoints
        if now < self._due or not ejector.rules.success_rate or len(endpoints) < MIN_ENDPOINTS:
            return
        self._due = now + ejector.rules.interval
        rows = [endpoint.row for endpoint in endpoints]
        found = dict(zip(rows, ejector.results(rows), strict=True))
        within = [
            (found[row][0] - self._before[row][0], found[row][1] - self._before[row][1])
            if row in self._before
            else (0, 0)
            for row in rows
        ]
        self._before = found
        for outlier in outliers(within, floor=ejector.rules.success_rate):
            ejector.eject_outlier(rows[outlier.at], endpoints[outlier.at].address, outlier.rate, outlier.mean, now)
