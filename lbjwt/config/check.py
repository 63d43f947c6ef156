"""
Is a legal configuration a wise one? Warnings with stable codes, and the few contradictions that span sections.

Pure: takes a configuration, opens no file, asks no clock, returns problems without places. Whether the files it names exist and hold good keys
is asked by ``lbjwt check`` on its own floor.
"""

from collections.abc import Callable, Iterator
from typing import Final

from lbjwt.config.fields import is_hmac
from lbjwt.config.issuer import Issuer, is_loopback_url
from lbjwt.config.model import Cluster, Configuration
from lbjwt.config.problems import KeyPath, Problem

__all__ = ["check"]

_HOUR: Final = 3_600.0
_DAY: Final = 86_400.0
_WIDEST_PROXY_NETWORK: Final = 1 << 16  # addresses of a public network that could all be proxies of one operator


def check(configuration: Configuration) -> list[Problem]:
    """Return everything unwise or contradictory, errors and warnings mixed, in the order of the sections."""
    return [problem for rule in _RULES for problem in rule(configuration)]


def _warning(path: KeyPath, code: str, message: str) -> Problem:
    return Problem(path, message, "warning", code)


def _listeners(configuration: Configuration) -> Iterator[Problem]:
    for index, listener in enumerate(configuration.listeners):
        if listener.tls is None and not listener.address.is_loopback:
            yield _warning(
                ("listeners", index),
                "listener-plain",
                "no TLS off loopback: whoever sees a token on its way can use it",
            )


def _issuers(configuration: Configuration) -> Iterator[Problem]:
    for label, issuer in configuration.issuers.items():
        path: KeyPath = ("issuers", label)
        yield from _who_and_for_whom(path, issuer)
        yield from _keys(path, issuer)
        yield from _times(path, issuer)


def _who_and_for_whom(path: KeyPath, issuer: Issuer) -> Iterator[Problem]:
    if issuer.any_issuer:
        yield _warning(
            (*path, "any_issuer"), "any-issuer", "tokens are accepted whoever issued them, as long as the keys match"
        )
    if issuer.any_audience:
        yield _warning(
            (*path, "any_audience"), "any-audience", "a token made for another service opens this one (RFC 8725 §3.9)"
        )
    if issuer.issuer is not None and issuer.issuer.startswith("http:"):
        yield _warning(
            (*path, "issuer"),
            "issuer-plain-http",
            "the issuer's name is a plain http URL; issuers of today have https (RFC 8414 §2)",
        )
    names: list[tuple[KeyPath, str]] = [
        ((*path, "audiences", index), name) for index, name in enumerate(issuer.audiences)
    ]
    names += [((*path, "issuer"), issuer.issuer)] if issuer.issuer is not None else []
    for place, name in names:
        if name != name.strip():
            yield _warning(
                place, "name-with-spaces", "spaces around the name are part of it, and tokens seldom have them"
            )
        if "*" in name:
            yield _warning(place, "name-with-star", "names are compared as they stand: * is no wildcard")


def _keys(path: KeyPath, issuer: Issuer) -> Iterator[Problem]:
    algorithms = issuer.algorithms or ()
    if any(map(is_hmac, algorithms)) and not all(map(is_hmac, algorithms)):
        message = "HS and public-key algorithms for one issuer invite algorithm confusion (RFC 8725 §3.1); the HS ones are never used here"
        yield _warning((*path, "algorithms"), "hmac-and-public-keys", message)
    remote = issuer.remote_jwks
    if remote is None:
        return
    here = (*path, "remote_jwks")
    if remote.uri.startswith("http:") and not is_loopback_url(remote.uri):
        yield _warning(
            (*here, "uri"), "jwks-plain-http", "keys come over plain http: whoever is on the way can sign any token"
        )
    if remote.refresh_interval > _HOUR:
        yield _warning(
            (*here, "refresh_interval"), "jwks-refresh-slow", "a key the issuer withdrew is believed for over an hour"
        )
    if remote.refresh_interval < 10:
        yield _warning(
            (*here, "refresh_interval"),
            "jwks-refresh-fast",
            "the issuer is asked more than six times a minute, by each balancer",
        )
    if remote.timeout >= remote.refresh_interval:
        yield _warning((*here, "timeout"), "jwks-timeout-long", "a fetch may last longer than the interval between two")


def _times(path: KeyPath, issuer: Issuer) -> Iterator[Problem]:
    if issuer.clock_skew > 120:
        yield _warning(
            (*path, "clock_skew"),
            "clock-skew-large",
            "tokens are good for minutes after they expired; clocks kept by NTP need seconds",
        )
    if not issuer.require_expiration:
        yield _warning(
            (*path, "require_expiration"), "expiration-optional", "a token without exp is good until its key goes"
        )
    if issuer.max_lifetime is not None and issuer.max_lifetime > 30 * _DAY:
        yield _warning((*path, "max_lifetime"), "lifetime-long", "a stolen token may be good for over a month")


def _clusters(configuration: Configuration) -> Iterator[Problem]:
    for label, cluster in configuration.clusters.items():
        yield from _loops(("clusters", label), cluster, configuration)
        if cluster.max_idle_connections > cluster.max_connections:
            yield _warning(
                ("clusters", label, "max_idle_connections"),
                "idle-over-total",
                "more unused connections are kept than max_connections allows",
            )


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


def _headers(configuration: Configuration) -> Iterator[Problem]:
    if configuration.header_names == "allow":
        yield _warning(
            ("header_names",),
            "header-names-allow",
            "some backends read X_Jwt_Sub as X-Jwt-Sub: clients can then speak with the balancer's voice",
        )
    if configuration.forward_token and any(issuer.any_audience for issuer in configuration.issuers.values()):
        yield _warning(
            ("forward_token",),
            "forward-any-audience",
            "endpoints receive tokens made for other services and could use them there",
        )
    for index, network in enumerate(configuration.trusted_proxies):
        place = ("trusted_proxies", index)
        if network.prefixlen == 0:
            yield _warning(
                place, "trust-everyone", "everybody's X-Forwarded-For is believed: client addresses mean nothing"
            )
        elif not network.is_private and network.version == 4 and network.num_addresses > _WIDEST_PROXY_NETWORK:
            yield _warning(place, "trust-wide", "a public network this large holds more than your proxies")


def _resources(configuration: Configuration) -> Iterator[Problem]:
    cache, limits, timeouts = configuration.token_cache, configuration.limits, configuration.timeouts
    if cache.max_bytes == 0 or cache.max_entries == 0:
        yield _warning(("token_cache",), "cache-off", "every request pays for a full signature check")
    if limits.max_token < 1024:
        yield _warning(
            ("limits", "max_token"), "token-limit-small", "tokens with a few claims and an RSA signature are longer"
        )
    if limits.max_request_head > 65_536:
        yield _warning(
            ("limits", "max_request_head"),
            "head-limit-large",
            "each connection may hold this much memory before it has shown a token",
        )
    if limits.max_request_line > limits.max_request_head:
        yield _warning(("limits", "max_request_line"), "line-over-head", "max_request_head is reached first")
    if timeouts.request_head > 60:
        yield _warning(
            ("timeouts", "request_head"),
            "head-timeout-long",
            "slow clients can hold connections for minutes without a token",
        )
    if timeouts.keep_alive > 600:
        yield _warning(
            ("timeouts", "keep_alive"), "keep-alive-long", "idle clients hold connections for over ten minutes"
        )
    if timeouts.drain == 0:
        yield _warning(("timeouts", "drain"), "drain-none", "requests in flight are cut when the balancer stops")


def _doors(configuration: Configuration) -> Iterator[Problem]:
    admin = configuration.admin
    if admin is not None:
        if admin.address.port and any(admin.address == listener.address for listener in configuration.listeners):
            yield Problem(("admin", "address"), f"{admin.address} is a listener already", code="address-twice")
        if not admin.address.is_loopback:
            message = "the admin door asks for no password and is reachable from other machines"
            yield _warning(("admin", "address"), "admin-exposed", message)
    log = configuration.access_log
    if log is not None and log.path != "-" and log.path in _named_files(configuration):
        yield Problem(
            ("access_log", "path"),
            "is also the name of a key or certificate file, which the log would spoil",
            code="log-over-file",
        )


def _named_files(configuration: Configuration) -> set[str]:
    issuers, listeners = configuration.issuers.values(), configuration.listeners
    keys = {
        file
        for issuer in issuers
        for file in (issuer.jwks_file, issuer.pem_file, issuer.secret_file)
        if file is not None
    }
    tls = {
        file
        for listener in listeners
        if listener.tls is not None
        for file in (listener.tls.certificate, listener.tls.private_key)
    }
    return {str(file) for file in keys | tls}


_RULES: Final[tuple[Callable[[Configuration], Iterator[Problem]], ...]] = (
    _listeners,
    _issuers,
    _clusters,
    _headers,
    _resources,
    _doors,
)
