"""Who is believed, for whom tokens are, and how long they are good: what is unwise about an issuer itself."""

from collections.abc import Iterator
from typing import Final

from lbjwt.config.checks.words import warning
from lbjwt.config.issuer import Issuer
from lbjwt.config.model import Configuration
from lbjwt.config.problems import KeyPath, Problem
from lbjwt.config.route import Route

__all__ = ["audience_unchecked", "check_issuers"]

_DAY: Final = 86_400.0
_LARGE_SKEW: Final = 120.0
_MANY_TENANTS: Final = 10_000


def check_issuers(configuration: Configuration) -> Iterator[Problem]:
    """Names, audiences, tenants and times of each issuer, and keys that two of them share."""
    sources: dict[tuple[str, str], str] = {}
    for label, issuer in configuration.issuers.items():
        path: KeyPath = ("issuers", label)
        yield from _who(path, issuer)
        yield from _for_whom(path, label, issuer, configuration)
        yield from _tenants(path, issuer)
        yield from _times(path, issuer)
        key = issuer.key_source
        held = issuer.remote_jwks.uri if issuer.remote_jwks is not None else repr(getattr(issuer, key))
        first = sources.setdefault((key, held), label)
        if first != label and issuer.discovery is None:
            yield warning(
                (*path, key),
                "keys-shared",
                f"{first} has these keys, too: each of the two can sign the other's tokens",
                at_key=True,
            )


def audience_unchecked(configuration: Configuration) -> Iterator[tuple[str, int | None]]:
    """Labels of issuers whose tokens pass without a look at ``aud``, each with a route where they do; None when there are no routes."""
    for label, issuer in configuration.issuers.items():
        if not issuer.any_audience:
            continue
        if not configuration.routes:
            yield label, None
        for at, route in enumerate(configuration.routes):
            if not route.public and not route.audiences and _takes(route, label):
                yield label, at


def _takes(route: Route, label: str) -> bool:
    return route.require is None or label in route.require.labels


def _who(path: KeyPath, issuer: Issuer) -> Iterator[Problem]:
    if issuer.any_issuer:
        yield warning(
            (*path, "any_issuer"), "any-issuer", "tokens are accepted whoever issued them, as long as the keys match"
        )
    if issuer.issuer is not None and issuer.issuer.startswith("http:"):
        yield warning(
            (*path, "issuer"),
            "issuer-plain-http",
            "the issuer's name is a plain http URL; issuers of today have https (RFC 8414 §2)",
        )
    names: list[tuple[KeyPath, str]] = [
        ((*path, "audiences", index), name) for index, name in enumerate(issuer.audiences)
    ]
    names += [((*path, "issuer"), issuer.issuer)] if issuer.issuer is not None else []
    for key in ("subjects", "clients"):
        names += [((*path, key, index), name) for index, name in enumerate(getattr(issuer, key))]
    for place, name in names:
        if name != name.strip():
            yield warning(
                place, "name-with-spaces", "spaces around the name are part of it, and tokens seldom have them"
            )
        if "*" in name:
            yield warning(place, "name-with-star", "names are compared as they stand: * is no wildcard")


def _for_whom(path: KeyPath, label: str, issuer: Issuer, configuration: Configuration) -> Iterator[Problem]:
    for unchecked, at in audience_unchecked(configuration):
        if unchecked != label:
            continue
        if at is None:
            yield warning(
                (*path, "any_audience"),
                "any-audience",
                "a token made for another service opens this one (RFC 8725 §3.9)",
            )
        else:
            yield warning(
                ("routes", at),
                "route-any-audience",
                f"{label} says any_audience and the route names none: a token made for another service opens it (RFC 8725 §3.9)",
                at_key=True,
            )


def _tenants(path: KeyPath, issuer: Issuer) -> Iterator[Problem]:
    tenants = issuer.tenants
    if tenants is None or tenants.kind is None:
        return
    if issuer.any_audience:
        yield warning(
            (*path, "tenants", "kind"),
            "tenants-any-audience",
            "whoever becomes a tenant of this issuer gets in, with a token for any service",
        )
    if tenants.max_tenants > _MANY_TENANTS:
        yield warning(
            (*path, "tenants", "max_tenants"),
            "tenants-many",
            "each tenant is remembered in every worker, and anybody may be one",
        )


def _times(path: KeyPath, issuer: Issuer) -> Iterator[Problem]:
    if issuer.clock_skew > _LARGE_SKEW:
        yield warning(
            (*path, "clock_skew"),
            "clock-skew-large",
            "tokens are good for minutes after they expired; clocks kept by NTP need seconds",
        )
    if issuer.max_lifetime is not None and issuer.clock_skew >= issuer.max_lifetime:
        yield warning(
            (*path, "max_lifetime"),
            "clock-skew-over-lifetime",
            "clock_skew alone keeps tokens longer than they may live",
        )
    if not issuer.require_expiration and issuer.max_lifetime is None:  # which asks for exp, too
        yield warning(
            (*path, "require_expiration"), "expiration-optional", "a token without exp is good until its key goes"
        )
    if issuer.max_lifetime is not None and issuer.max_lifetime > 30 * _DAY:
        yield warning((*path, "max_lifetime"), "lifetime-long", "a stolen token may be good for over a month")
    if issuer.max_age is not None and issuer.max_age > 90 * _DAY:
        yield warning((*path, "max_age"), "age-long", "somebody who signed in a season ago is still let in")
