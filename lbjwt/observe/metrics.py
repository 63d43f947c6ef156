"""
The counters of the board as Prometheus metrics, read from the board at each scrape and summed over all workers.

Labels come from closed sets (status classes, deny reasons, worker states, and what is configured: routes, clusters, endpoints, issuers), so no
client can make a time series: no path, no subject, no key id, no address (THREATS S13).
"""

import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from lbjwt._error_reason import ErrorReason, error_status
from lbjwt._fastverify import DenyReason
from lbjwt.observe._board import STATE_NAMES, Board
from lbjwt.observe._endpoint_states import CAUSE_NAMES, CHECK_NAMES
from lbjwt.observe._offenders import Offenders
from lbjwt.observe.rows import RowNumbers
from lbjwt.version import package_version

STATUS_CLASSES: Final = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
"""Labels in the order of the counters; "none" is a request that ended without a response."""

GRPC_STATUSES: Final = (*map(str, range(17)), "none")
"""Labels in the order of the counters; "none" is a call that ended without a status: its client took it back, or it was reset."""

REASONS: Final = {name.lower(): int(number) for name, number in DenyReason.__members__.items() if int(number)}
"""Every reason for a refusal by its name in logs and metrics."""

UNKNOWN_ISSUER: Final = "unknown"
"""The issuer label of requests without a token, or with one that names no known issuer."""

Samples = list[tuple[tuple[str, ...], float]]

# By name: help text and labels.
COUNTERS: Final = {
    "requests": ("Requests answered, by class of the response status.", "status_class"),
    "route_requests": ("Requests answered, by route and class of the response status.", "route status_class"),
    "requests_accepted": ("Requests allowed with a valid token, by issuer of the token.", "issuer"),
    "refusals": ("Requests refused because of their token, by issuer and reason.", "issuer reason"),
    "reported_refusals": ("Requests that report-only routes and rules would have refused but let pass, by issuer and reason.", "issuer reason"),
    "bad_requests": ("Requests refused before their token was verified, because of framing or limits.", ""),
    "errors": ("Requests refused or failed for a reason other than the token, by reason and response status.", "reason status"),
    "connections_accepted": ("Client connections accepted.", ""),
    "http2_requests": ("Requests of clients that speak HTTP/2.", ""),
    "grpc_calls": ("gRPC calls over HTTP/2, by the status that the client got.", "grpc_status"),
    "retries": ("Requests sent again after a try that failed.", ""),
    "retries_over_budget": ("Failures passed on to the client because the retry budget of the cluster was used up.", ""),
    "dropped_header_names": ("Request headers dropped because of their name.", ""),
    "access_log_dropped": ("Access log records dropped because the log could not be written fast enough.", ""),
    "endpoints_full": ("Requests that waited or were refused because every endpoint was full.", ""),
    "requests_waited": ("Requests that had to wait for keys.", ""),
    "streams_ended": ("Long responses, tunnels and uploads ended because their token expired or was revoked.", ""),
    "cache_hits": ("Tokens found in the cache of verified tokens.", ""),
    "cache_misses": ("Tokens not found in the cache, which had to be verified.", ""),
    "cache_evictions": ("Verified tokens removed from the cache to make room.", ""),
    "key_fetches": ("Fetches of remote keys and reads of key files, by result.", "issuer result"),
    "worker_restarts": ("Workers that died and were replaced.", ""),
    "upgrade_failures": ("Upgrades whose new program did not become ready.", ""),
    "keeper_restarts": ("Control processes that died and were replaced.", ""),
    "endpoint_requests": ("Requests sent to the endpoint.", "cluster endpoint"),
    "endpoint_connects": ("Connections opened to the endpoint.", "cluster endpoint"),
    "discovery_failures": ("Attempts to resolve a name or to read an endpoints file that failed; the last good endpoints stay in use.", "source"),
    "endpoint_failures": ("Connection attempts that failed and responses that did not arrive or were cut off.", "cluster endpoint"),
    "endpoint_refused_requests": ("Requests that the endpoint did not process, as it said over HTTP/2 (REFUSED_STREAM, GOAWAY).", "cluster endpoint"),
    "endpoint_goaways": ("HTTP/2 connections that the endpoint ended with GOAWAY.", "cluster endpoint"),
    "endpoint_ping_timeouts": ("HTTP/2 connections closed because the endpoint did not answer a PING.", "cluster endpoint"),
    "endpoint_ejections": ("Ejections of the endpoint, by cause.", "cluster endpoint cause"),
    "endpoint_check_transitions": ("Times the endpoint began to fail its health check or to pass it again.", "cluster endpoint"),
    "endpoint_responses": ("Responses of the endpoint, by class of status.", "cluster endpoint status_class"),
}  # fmt: skip
GAUGES: Final = {
    "connections": ("Client connections open.", ""),
    "requests_in_flight": ("Requests in progress.", ""),
    "requests_pending": ("Requests that wait because every endpoint is full.", ""),
    "requests_waiting": ("Requests that wait for keys.", ""),
    "revocations": ("Revocations in force, in the worker with the fewest.", ""),
    "failing_addresses": ("Client addresses with a bad token within the fail_limit window.", ""),
    "cache_entries": ("Verified tokens in the cache.", ""),
    "cache_bytes": ("Memory of the cache of verified tokens, in bytes.", ""),
    "keys": ("Verification keys in force, in the worker with the fewest.", "issuer"),
    "keys_age_seconds": ("Seconds since the last successful fetch, in the worker with the oldest keys; absent before it.", "issuer"),
    "keys_last_success_timestamp_seconds": ("Time of the last successful fetch or read, in seconds since the epoch; absent before it.", "issuer"),
    "workers": ("Worker processes by state.", "state"),
    "ready": ("1 while lbjwt is ready to pass requests with valid tokens, otherwise 0.", ""),
    "start_time_seconds": ("Start time of the service, in seconds since the epoch.", ""),
    "config_last_reload_successful": ("1 if the last reload of the configuration was applied, or there was none; otherwise 0.", ""),
    "config_last_reload_success_timestamp_seconds": ("Time at which the configuration in force was applied, in seconds since the epoch.", ""),
    "config_info": ("Hash of the configuration in force, as a label; the value is always 1.", "hash"),
    "build_info": ("Versions of lbjwt and Python, as labels; the value is always 1.", "version python_version"),
    "endpoint_ejected": ("1 from an ejection of the endpoint until a request to it succeeds, otherwise 0.", "cluster endpoint"),
    "cluster_panic": ("1 while so few endpoints of the cluster are healthy that all are used, otherwise 0.", "cluster"),
    "endpoint_info": ("Endpoints in use, with the name that they were resolved from; the value is always 1.", "cluster endpoint name"),
    "discovery_failing": ("1 while a name cannot be resolved or an endpoints file cannot be used; otherwise 0.", "source"),
    "discovery_endpoints": ("Addresses that a name has, or endpoints in an endpoints file.", "source"),
    "discovery_last_success_timestamp_seconds": ("Time of the last good answer or file, in seconds since the epoch.", "source"),
    "endpoint_requests_in_flight": ("Requests in flight to the endpoint.", "cluster endpoint"),
    "endpoint_healthy": ("0 while the endpoint fails its health check, 1 while it passes; absent without checks.", "cluster endpoint"),
    "endpoint_last_check_seconds": ("Seconds since the last health check of the endpoint ended; absent before it.", "cluster endpoint"),
    "endpoint_connections": ("Connections to the endpoint that are being opened, in use or idle.", "cluster endpoint"),
    "endpoint_drained": ("1 while the endpoint is drained or disabled at run time, otherwise 0.", "cluster endpoint"),
    "endpoint_idle_connections": ("Idle connections to the endpoint, kept for reuse.", "cluster endpoint"),
}  # fmt: skip

# Metrics without labels, and the field of `Board.totals` that holds the number where it has another name.
RENAMED: Final = {
    "connections_accepted": "connections_total",
    "requests_in_flight": "in_flight",
    "requests_pending": "pending",
    "requests_waiting": "waiting",
    "requests_waited": "waited",
}
FAILING: Final = CHECK_NAMES.index("failing")

PER_ENDPOINT: Final = {
    "endpoint_requests_in_flight": "in_flight",
    "endpoint_connections": "connections",
    "endpoint_idle_connections": "idle_connections",
    "endpoint_requests": "requests",
    "endpoint_connects": "connects",
    "endpoint_failures": "failures",
    "endpoint_refused_requests": "refused",
    "endpoint_goaways": "goaways",
    "endpoint_ping_timeouts": "ping_timeouts",
}
"""Metrics of each endpoint, and the field of `Board.endpoint_totals` that holds the number."""


class BoardCollector(Collector):
    """
    What a scrape sees.

    Args:
        rows: The names of the configuration in force and their rows on the board. A scrape does not see other rows.
        offenders: None when failures by address are not counted.
        discovered: The state of each name and endpoints file: `source`, `endpoints`, `failures`, `failing`, `last_success`.
        clock: Seconds since the epoch.
        monotonic: Seconds on the monotonic clock.
    """

    def __init__(
        self,
        board: Board,
        rows: RowNumbers,
        *,
        offenders: Offenders | None = None,
        discovered: Callable[[], Sequence[Mapping[str, Any]]] = list,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._rows = rows
        self._version = package_version()
        self._offenders = offenders
        self._discovered = discovered
        self._names: Mapping[tuple[str, str], str] = {}
        self._clock = clock
        self._monotonic = monotonic

    def use(self, rows: RowNumbers, names: Mapping[tuple[str, str], str] | None = None) -> None:
        """
        Tell of another configuration from now on.

        Args:
            names: Of endpoints that were resolved from a name, that name.
        """
        self._rows = rows
        self._names = names or {}

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, also those that never moved: an alert on an absent counter would stay silent."""
        samples = {**self._service(), **self._issuers(), **self._endpoint_samples(), **self._discovery_samples()}
        for kind, table in ((CounterMetricFamily, COUNTERS), (GaugeMetricFamily, GAUGES)):
            for name, (text, labels) in table.items():
                family = kind(f"lbjwt_{name}", text, labels=labels.split())
                for values, number in samples.get(name, ()):
                    family.add_metric(values, number)
                yield family

    def _service(self) -> dict[str, Samples]:
        board = self._board
        totals = board.totals()
        states = [board.state(slot) for slot in range(board.workers)]
        numbers = totals | {
            "failing_addresses": self._offenders.count(self._monotonic()) if self._offenders is not None else 0,
            "worker_restarts": board.restarts,
            "keeper_restarts": board.keeper_restarts,
            "upgrade_failures": board.upgrade_failed,
            "config_last_reload_successful": int(board.reload_ok),
            "config_last_reload_success_timestamp_seconds": board.reload_success_at,
            "ready": int(board.ready),
            "start_time_seconds": board.started_at,
        }
        samples: dict[str, Samples] = {
            name: [((), numbers[RENAMED.get(name, name)])]
            for name, (_, labels) in (COUNTERS | GAUGES).items()
            if not labels
        }
        return samples | {
            "requests": _by_class((), totals["requests"]),
            "route_requests": [
                sample
                for route, row in self._rows.routes.items()
                for sample in _by_class((route,), board.route_totals(row))
            ],
            "errors": [
                ((reason.name.lower(), str(error_status(reason))), totals["errors"][reason])
                for reason in ErrorReason
                if reason
            ],
            "grpc_calls": [((name,), count) for name, count in zip(GRPC_STATUSES, totals["grpc_calls"], strict=True)],
            "workers": [((name,), states.count(state)) for state, name in enumerate(STATE_NAMES)],
            "config_info": [((board.configuration_hash,), 1)],
            "build_info": [((self._version, platform.python_version()), 1)],
        }

    def _issuers(self) -> dict[str, Samples]:
        samples: dict[str, Samples] = defaultdict(list)
        labels = {UNKNOWN_ISSUER: [-1]}
        for label, row in self._rows.issuers.items():
            labels.setdefault(label, []).append(row)  # an issuer may be called "unknown"
        for label, indices in labels.items():
            issuers = [self._board.issuer_totals(index) for index in indices]
            samples["requests_accepted"].append(((label,), _sum(issuers, "accepted")))
            for name, field in (("refusals", "refusals"), ("reported_refusals", "reported")):
                samples[name] += [
                    ((label, reason), sum(issuer[field][index] for issuer in issuers))
                    for reason, index in REASONS.items()
                ]
            own = [issuer for index, issuer in zip(indices, issuers, strict=True) if index >= 0]
            if own:
                self._add_keys(samples, label, own)
        return samples

    def _add_keys(self, samples: dict[str, Samples], label: str, issuers: list[dict[str, Any]]) -> None:
        samples["keys"].append(((label,), min(issuer["keys"] for issuer in issuers)))
        confirmed = min(issuer["keys_fetched_at"] for issuer in issuers)
        if confirmed > 0:
            samples["keys_age_seconds"].append(((label,), max(0.0, self._clock() - confirmed)))
        success = min(issuer["last_success"] for issuer in issuers)
        if success > 0:
            samples["keys_last_success_timestamp_seconds"].append(((label,), success))
        failures = _sum(issuers, "key_fetch_failures")
        samples["key_fetches"].append(((label, "success"), _sum(issuers, "key_fetches") - failures))
        samples["key_fetches"].append(((label, "failure"), failures))

    def _discovery_samples(self) -> dict[str, Samples]:
        found = [((one["source"],), one) for one in self._discovered()]
        return {
            "discovery_failures": [(labels, one["failures"]) for labels, one in found],
            "discovery_failing": [(labels, int(one["failing"] is not None)) for labels, one in found],
            "discovery_endpoints": [(labels, one["endpoints"]) for labels, one in found],
            "discovery_last_success_timestamp_seconds": [
                (labels, one["last_success"]) for labels, one in found if one["last_success"] is not None
            ],
            "endpoint_info": [((*names, self._names.get(names, "")), 1) for names in self._rows.endpoints],
        }

    def _endpoint_samples(self) -> dict[str, Samples]:
        found = [(names, self._board.endpoint_totals(row)) for names, row in self._rows.endpoints.items()]
        samples: dict[str, Samples] = {
            name: [(names, totals[field]) for names, totals in found] for name, field in PER_ENDPOINT.items()
        }
        states = [(names, self._board.endpoint_states.read(row)) for names, row in self._rows.endpoints.items()]
        samples["endpoint_ejections"] = [
            ((*names, cause), count)
            for names, state in states
            for cause, count in zip(CAUSE_NAMES, state["ejections"], strict=True)
        ]
        samples["endpoint_ejected"] = [(names, int(state["on_trial"] != 0)) for names, state in states]
        panic: dict[tuple[str, ...], float] = {}
        for (cluster, _), state in states:
            panic[cluster,] = max(panic.get((cluster,), 0), state["panic"])
        samples["cluster_panic"] = list(panic.items())
        samples["endpoint_drained"] = [(names, int(state["service"] != 0)) for names, state in states]
        samples["endpoint_responses"] = [
            sample for names, totals in found for sample in _by_class(names, totals["responses"])[1:]
        ]
        samples["endpoint_check_transitions"] = [(names, state["transitions"]) for names, state in states]
        checked = [(names, state) for names, state in states if state["check"]]
        samples["endpoint_healthy"] = [(names, int(state["check"] != FAILING)) for names, state in checked]
        samples["endpoint_last_check_seconds"] = [
            (names, max(0.0, self._clock() - state["checked_at"])) for names, state in checked
        ]
        return samples


def exposition(collector: Collector, accept: str = "") -> tuple[bytes, str]:
    """
    Return the metrics and their content type: OpenMetrics when the Accept value asks for it, else the Prometheus text format.

    Source: https://prometheus.io/docs/instrumenting/content_negotiation/
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _by_class(labels: tuple[str, ...], counts: Sequence[int]) -> Samples:
    return [((*labels, name), count) for name, count in zip(STATUS_CLASSES, counts, strict=True)]


def _sum(issuers: Iterable[dict[str, Any]], field: str) -> int:
    return sum(issuer[field] for issuer in issuers)
