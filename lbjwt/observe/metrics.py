"""
The counters of the board in the words of Prometheus.

Reads the board when somebody scrapes and holds no number of its own. Labels come from closed sets (status classes, deny reasons, worker states,
and what is configured: routes, clusters, endpoints, issuers), so no client can make a time series: no path, no subject, no key id, no address
(THREATS S13). Sums are over all workers: any process that has the board may answer a scrape.
"""

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from lbjwt._error_reason import ErrorReason, error_status
from lbjwt._fastverify import DenyReason
from lbjwt.observe._board import STATE_NAMES, Board
from lbjwt.observe._offenders import Offenders

__all__ = ["REASONS", "UNKNOWN_ISSUER", "BoardCollector", "exposition"]

STATUS_CLASSES: Final = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
"""Labels in the order of the counters; "none" is a request that ended without a response."""

REASONS: Final = {name.lower(): int(number) for name, number in DenyReason.__members__.items() if int(number)}
"""Every reason for a refusal by its name in logs and metrics."""

UNKNOWN_ISSUER: Final = "unknown"
"""The issuer label of what happened before an issuer was known: no token, no readable one, one of somebody else."""


class BoardCollector(Collector):
    """
    What a scrape sees.

    Args:
        board: The counters.
        endpoints: Label of the cluster and address text of every endpoint, in the order of the board.
        issuers: Label of every issuer, in the order of the board. Issuers under one label are told as one: their counts
            are added up, of their keys the least number and the greatest age is told.
        version: Of lbjwt, for the build information.
        routes: Name of every route, in the order of the board.
        offenders: Failures by address; None when nobody counts them.
        clock: Seconds since the epoch.
        monotonic: Seconds on the monotonic clock.
    """

    def __init__(
        self,
        board: Board,
        endpoints: Sequence[tuple[str, str]],
        issuers: Sequence[str],
        version: str,
        *,
        routes: Sequence[str] = (),
        offenders: Offenders | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._endpoints = endpoints
        self._labels: dict[str, list[int]] = {UNKNOWN_ISSUER: [-1]}
        for index, label in enumerate(issuers):
            self._labels.setdefault(label, []).append(index)
        self._version = version
        self._routes = routes
        self._offenders = offenders
        self._clock = clock
        self._monotonic = monotonic

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, also those that never moved: an alert on a counter that is absent would stay silent."""
        yield from self._requests()
        yield from self._judgements()
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
        by_route = CounterMetricFamily(
            "lbjwt_route_requests",
            "Requests answered, by route and class of the response status.",
            labels=["route", "status_class"],
        )
        for at, route in enumerate(self._routes):
            for status_class, count in zip(STATUS_CLASSES, self._board.route_totals(at), strict=True):
                by_route.add_metric([route, status_class], count)
        yield by_route
        yield _counter(
            "bad_requests", "Requests refused before the gate: framing or limits.", value=totals["bad_requests"]
        )
        errors = CounterMetricFamily(
            "lbjwt_errors",
            "Requests refused or failed for another reason than their token, by reason and its status.",
            labels=["reason", "status"],
        )
        for reason in ErrorReason:
            if reason:
                errors.add_metric([reason.name.lower(), str(error_status(reason))], totals["errors"][reason])
        yield errors
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
        yield _gauge("requests_pending", "Requests that wait for an endpoint with room.", value=totals["pending"])
        yield _counter(
            "endpoints_full",
            "Requests that found every endpoint full: they waited, or were refused.",
            value=totals["endpoints_full"],
        )
        yield _gauge("requests_waiting", "Requests that wait for keys.", value=totals["waiting"])
        yield _counter("requests_waited", "Requests that had to wait for keys.", value=totals["waited"])
        yield _counter(
            "streams_ended", "Long responses and tunnels closed with their token.", value=totals["streams_ended"]
        )
        yield _gauge("revocations", "Revocations in force; the least of all workers.", value=totals["revocations"])
        failing = self._offenders.count(self._monotonic()) if self._offenders is not None else 0
        yield _gauge("failing_addresses", "Client addresses with a refusal within the last window.", value=failing)

    def _judgements(self) -> Iterator[Metric]:
        rows = {label: self._issuers(indices) for label, indices in self._labels.items()}
        accepted = CounterMetricFamily(
            "lbjwt_requests_accepted", "Requests let through with a token, by its issuer.", labels=["issuer"]
        )
        for label, issuers in rows.items():
            accepted.add_metric([label], sum(issuer["accepted"] for issuer in issuers))
        yield accepted
        for field, name, text in (
            ("refusals", "refusals", "Requests refused at the gate, by issuer and reason."),
            (
                "reported",
                "reported_refusals",
                "Requests let through by report-only rules, by what would have refused them.",
            ),
        ):
            counts = CounterMetricFamily(f"lbjwt_{name}", text, labels=["issuer", "reason"])
            for label, issuers in rows.items():
                for reason, index in REASONS.items():
                    counts.add_metric([label, reason], sum(issuer[field][index] for issuer in issuers))
            yield counts

    def _issuers(self, indices: Iterable[int]) -> list[dict[str, Any]]:
        return [self._board.issuer_totals(index) for index in indices]

    def _cache(self) -> Iterator[Metric]:
        totals = self._board.totals()
        yield _counter("cache_hits", "Tokens found among the verified ones.", value=totals["cache_hits"])
        yield _counter("cache_misses", "Tokens that had to be verified.", value=totals["cache_misses"])
        yield _counter("cache_evictions", "Verified tokens forgotten to make room.", value=totals["cache_evictions"])
        yield _gauge("cache_entries", "Verified tokens remembered.", value=totals["cache_entries"])
        yield _gauge("cache_bytes", "Memory of the verified tokens, in bytes.", value=totals["cache_bytes"])

    def _keys(self) -> Iterator[Metric]:
        keys = GaugeMetricFamily(
            "lbjwt_keys", "Verification keys in force; the least of all workers.", labels=["issuer"]
        )
        age = GaugeMetricFamily(
            "lbjwt_keys_age_seconds",
            "Seconds since the keys were last confirmed, the oldest of all workers; absent when never.",
            labels=["issuer"],
        )
        success = GaugeMetricFamily(
            "lbjwt_keys_last_success_timestamp_seconds",
            "When the keys were last fetched or read well, in seconds since the epoch; absent when never.",
            labels=["issuer"],
        )
        fetches = CounterMetricFamily(
            "lbjwt_key_fetches",
            "Fetches of remote keys and reads of key files, by result.",
            labels=["issuer", "result"],
        )
        for label, found in self._labels.items():
            indices = [index for index in found if index >= 0]
            if not indices:  # tokens of nobody have nobody's keys
                continue
            issuers = self._issuers(indices)
            keys.add_metric([label], min(issuer["keys"] for issuer in issuers))
            confirmed = [issuer["keys_fetched_at"] for issuer in issuers]
            if min(confirmed) > 0:
                age.add_metric([label], max(0.0, self._clock() - min(confirmed)))
            successes = [
                self._board.source_words(index)["last_success"] or at
                for index, at in zip(indices, confirmed, strict=True)
            ]
            if min(successes) > 0:
                success.add_metric([label], min(successes))
            failures = sum(issuer["key_fetch_failures"] for issuer in issuers)
            fetches.add_metric([label, "success"], sum(issuer["key_fetches"] for issuer in issuers) - failures)
            fetches.add_metric([label, "failure"], failures)
        yield from (keys, age, success, fetches)

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
        yield _counter(
            "keeper_restarts",
            "Processes that keep keys and the admin door that died and were replaced.",
            value=board.keeper_restarts,
        )
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

        def each(field: str) -> Iterator[tuple[tuple[str, str], float]]:
            return ((name, endpoint[field]) for name, endpoint in zip(names, totals, strict=True))

        yield _gauge(
            "endpoint_requests_in_flight", "Requests in flight to the endpoint.", "endpoint", each("in_flight")
        )
        yield _gauge(
            "endpoint_connections",
            "Connections to the endpoint, being opened, in use or idle.",
            "endpoint",
            each("connections"),
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
            labels=[*LABELS["endpoint"], "status_class"],
        )
        for name, endpoint in zip(names, totals, strict=True):
            for status_class, count in list(zip(STATUS_CLASSES, endpoint["responses"], strict=True))[1:]:
                responses.add_metric([*name, status_class], count)
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


Samples = Iterable[tuple[str | tuple[str, ...], float]]

LABELS: Final[dict[str, tuple[str, ...]]] = {"": (), "endpoint": ("cluster", "endpoint")}
"""What a label stands for; others stand for themselves."""


def _counter(name: str, text: str, label: str = "", samples: Samples = (), value: float | None = None) -> Metric:
    return _fill(CounterMetricFamily(f"lbjwt_{name}", text, labels=LABELS.get(label, (label,))), samples, value)


def _gauge(name: str, text: str, label: str = "", samples: Samples = (), value: float | None = None) -> Metric:
    return _fill(GaugeMetricFamily(f"lbjwt_{name}", text, labels=LABELS.get(label, (label,))), samples, value)


def _fill(family: CounterMetricFamily | GaugeMetricFamily, samples: Samples, value: float | None) -> Metric:
    if value is not None:
        family.add_metric([], value)
    for name, number in samples:
        family.add_metric([name] if isinstance(name, str) else name, number)
    return family
