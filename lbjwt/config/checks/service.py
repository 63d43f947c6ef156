"""The balancer as a service: listeners, endpoints, limits and times that are unwise, and addresses that contradict each other."""

from collections.abc import Iterator
from typing import Final

from lbjwt.config.checks.words import warning
from lbjwt.config.model import Cluster, Configuration
from lbjwt.config.problems import KeyPath, Problem

__all__ = ["check_service"]

_MANY_RETRIES: Final = 2
_MANY_WAITING: Final = 10_000


def check_service(configuration: Configuration) -> Iterator[Problem]:
    """Listeners, clusters, limits and timeouts."""
    for index, listener in enumerate(configuration.listeners):
        if listener.tls is None and not listener.address.is_loopback:
            yield warning(
                ("listeners", index),
                "listener-plain",
                "no TLS off loopback: whoever sees a token on its way can use it",
            )
    for label, cluster in configuration.clusters.items():
        path: KeyPath = ("clusters", label)
        yield from _loops(path, cluster, configuration)
        if cluster.max_idle_connections is not None and cluster.max_idle_connections > cluster.max_connections:
            yield warning(
                (*path, "max_idle_connections"),
                "idle-over-total",
                "more unused connections are kept than max_connections allows",
            )
        if cluster.retries > _MANY_RETRIES:
            yield warning(
                (*path, "retries"), "retries-many", "endpoints that fail under load get this many times the load on top"
            )
    yield from _limits(configuration)
    yield from _times(configuration)


def _loops(path: KeyPath, cluster: Cluster, configuration: Configuration) -> Iterator[Problem]:
    for index, endpoint in enumerate(cluster.endpoints):
        for listener in configuration.listeners:
            ours, theirs = listener.address, endpoint.address
            everywhere = ours.host in ("", "0.0.0.0", "::") and theirs.is_loopback and not theirs.is_unix
            if ours.port == theirs.port and (ours.host == theirs.host or everywhere):
                place: KeyPath = (*path, "endpoints", index, "address")
                yield Problem(
                    place,
                    f"is the balancer's own listener {ours}: requests would go round in circles",
                    code="proxy-loop",
                )


def _limits(configuration: Configuration) -> Iterator[Problem]:
    cache, limits = configuration.token_cache, configuration.limits
    if cache.max_bytes == 0 or cache.max_entries == 0:
        yield warning(("token_cache",), "cache-off", "every request pays for a full signature check")
    if limits.max_token < 1024:
        yield warning(
            ("limits", "max_token"), "token-limit-small", "tokens with a few claims and an RSA signature are longer"
        )
    if limits.max_request_head > 65_536:
        yield warning(
            ("limits", "max_request_head"),
            "head-limit-large",
            "each connection may hold this much memory before it has shown a token",
        )
    if limits.max_request_line > limits.max_request_head:
        yield warning(("limits", "max_request_line"), "line-over-head", "max_request_head is reached first")
    if limits.max_waiting > _MANY_WAITING:
        yield warning(
            ("limits", "max_waiting"),
            "waiting-many",
            "made-up key ids can hold this many requests and their memory at once, for each issuer",
        )


def _times(configuration: Configuration) -> Iterator[Problem]:
    timeouts = configuration.timeouts
    if timeouts.request_head > 60:
        yield warning(
            ("timeouts", "request_head"),
            "head-timeout-long",
            "slow clients can hold connections for minutes without a token",
        )
    if timeouts.tls_handshake > 60:
        yield warning(
            ("timeouts", "tls_handshake"),
            "handshake-timeout-long",
            "slow clients can hold connections for minutes before they have said a word",
        )
    if timeouts.keep_alive > 600:
        yield warning(
            ("timeouts", "keep_alive"), "keep-alive-long", "idle clients hold connections for over ten minutes"
        )
    if timeouts.stream_idle > 3_600:
        yield warning(
            ("timeouts", "stream_idle"),
            "stream-idle-long",
            "peers that went away hold a connection on both sides for over an hour",
        )
    if timeouts.drain == 0:
        yield warning(("timeouts", "drain"), "drain-none", "requests in flight are cut when the balancer stops")
