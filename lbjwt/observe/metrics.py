"""
The counters of the board in the words of Prometheus.

Reads the board when somebody scrapes and holds no number of its own. Labels come from closed sets (status classes, deny reasons,
worker states, configured endpoints), so no client can make a time series. Sums are over all workers: any worker may answer a scrape.
"""

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from lbjwt._fastverify import DenyReason
from lbjwt.observe._board import STATE_NAMES, Board

__all__ = ["BoardCollector", "exposition"]

STATUS_CLASSES: Final = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
"""Labels in the order of the counters; "none" is a request that ended without a response."""

REASONS: Final = {name.lower(): int(number) for name, number in DenyReason.__members__.items() if int(number)}
"""Every reason for a refusal by its name in logs and metrics."""


class BoardCollector(Collector):
    """
    What a scrape sees.

    Args:
        board: The counters.
        endpoints: Address text of every endpoint, in the order of the board.
        version: Of lbjwt, for the build information.
        clock: Seconds since the epoch.
    """

    def __init__(
        self, board: Board, endpoints: Sequence[str], version: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._board = board
        self._endpoints = endpoints
        self._version = version
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, also those that never moved: an alert on a counter that is absent would stay silent."""
        yield from self._requests()
        yield from self._cache()
        yield from self._keys()
        yield from self._processes()
        yield from self._endpoint_metrics()

    def _requests(self) -> Iterator[Metric]:
        totals = self._board.totals()
        yield _counter(
            "requests",
            "Requests answered, by class of the response status.",
            "status_class",
            zip(STATUS_CLASSES, totals["requests"], strict=True),
        )
        refusals = totals["refusals"]
        yield _counter(
            "refusals",
            "Requests refused at the gate, by reason.",
            "reason",
            ((name, refusals[index]) for name, index in REASONS.items()),
        )
        yield _counter(
            "bad_requests", "Requests refused before the gate: framing or limits.", value=totals["bad_requests"]
        )
        yield _counter("connections_accepted", "Client connections accepted.", value=totals["connections_total"])
        yield _counter(
            "retries", "Requests sent again after their connection ended unanswered.", value=totals["retries"]
        )
        yield _counter(
            "dropped_header_names", "Request fields dropped for their name.", value=totals["dropped_header_names"]
        )
        yield _counter(
            "access_log_dropped",
            "Access log records dropped because the log was not written out in time.",
            value=totals["access_log_dropped"],
        )
        yield _gauge("connections", "Client connections open.", value=totals["connections"])
        yield _gauge("requests_in_flight", "Requests begun and not finished.", value=totals["in_flight"])

    def _cache(self) -> Iterator[Metric]:
        totals = self._board.totals()
        yield _counter("cache_hits", "Tokens found among the verified ones.", value=totals["cache_hits"])
        yield _counter("cache_misses", "Tokens that had to be verified.", value=totals["cache_misses"])
        yield _counter("cache_evictions", "Verified tokens forgotten to make room.", value=totals["cache_evictions"])
        yield _gauge("cache_entries", "Verified tokens remembered.", value=totals["cache_entries"])
        yield _gauge("cache_bytes", "Memory of the verified tokens, in bytes.", value=totals["cache_bytes"])

    def _keys(self) -> Iterator[Metric]:
        totals = self._board.totals()
        fetched_at = totals["keys_fetched_at"]
        yield _gauge("keys", "Verification keys in force; the least of all workers.", value=totals["keys"])
        age = GaugeMetricFamily(
            "lbjwt_keys_age_seconds",
            "Seconds since the keys were last read well, the oldest of all workers; absent when never.",
        )
        if fetched_at > 0:
            age.add_metric([], max(0.0, self._clock() - fetched_at))
        yield age
        failures = totals["key_fetch_failures"]
        results = (("success", totals["key_fetches"] - failures), ("failure", failures))
        yield _counter("key_fetches", "Reads of the key source, by result.", "result", results)

    def _processes(self) -> Iterator[Metric]:
        board = self._board
        states = [board.state(slot) for slot in range(board.workers)]
        yield _gauge(
            "workers",
            "Worker processes by state.",
            "state",
            ((name, states.count(state)) for state, name in enumerate(STATE_NAMES)),
        )
        yield _counter("worker_restarts", "Workers that died and were replaced.", value=board.restarts)
        yield _gauge("ready", "1 when requests with a good token are let through, 0 otherwise.", value=int(board.ready))
        yield _gauge(
            "start_time_seconds", "When the service started, in seconds since the epoch.", value=board.started_at
        )
        build = GaugeMetricFamily(
            "lbjwt_build_info", "Versions; the value is always 1.", labels=["version", "python_version"]
        )
        build.add_metric([self._version, platform.python_version()], 1)
        yield build

    def _endpoint_metrics(self) -> Iterator[Metric]:
        names = self._endpoints
        totals = [self._board.endpoint_totals(index) for index in range(len(names))]

        def each(field: str) -> Iterator[tuple[str, float]]:
            return ((name, endpoint[field]) for name, endpoint in zip(names, totals, strict=True))

        yield _gauge(
            "endpoint_requests_in_flight", "Requests in flight to the endpoint.", "endpoint", each("in_flight")
        )
        yield _gauge(
            "endpoint_idle_connections", "Pooled connections to the endpoint.", "endpoint", each("idle_connections")
        )
        yield _counter("endpoint_requests", "Requests sent to the endpoint.", "endpoint", each("requests"))
        yield _counter("endpoint_connects", "Connections opened to the endpoint.", "endpoint", each("connects"))
        yield _counter(
            "endpoint_failures",
            "Connects that failed and responses that never came or broke.",
            "endpoint",
            each("failures"),
        )
        responses = CounterMetricFamily(
            "lbjwt_endpoint_responses",
            "Responses of the endpoint, by class of status.",
            labels=["endpoint", "status_class"],
        )
        for name, endpoint in zip(names, totals, strict=True):
            for status_class, count in list(zip(STATUS_CLASSES, endpoint["responses"], strict=True))[1:]:
                responses.add_metric([name, status_class], count)
        yield responses


def exposition(collector: Collector, accept: str = "") -> tuple[bytes, str]:
    """
    Return the metrics and their content type: OpenMetrics when the Accept value asks for it, else the Prometheus text format.

    Source: https://prometheus.io/docs/instrumenting/content_negotiation/
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


Samples = Iterable[tuple[str, float]]


def _counter(name: str, text: str, label: str = "", samples: Samples = (), value: float | None = None) -> Metric:
    return _fill(CounterMetricFamily(f"lbjwt_{name}", text, labels=[label] if label else []), samples, value)


def _gauge(name: str, text: str, label: str = "", samples: Samples = (), value: float | None = None) -> Metric:
    return _fill(GaugeMetricFamily(f"lbjwt_{name}", text, labels=[label] if label else []), samples, value)


def _fill(family: CounterMetricFamily | GaugeMetricFamily, samples: Samples, value: float | None) -> Metric:
    if value is not None:
        family.add_metric([], value)
    for name, number in samples:
        family.add_metric([name], number)
    return family
