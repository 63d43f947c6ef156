"""What a route lets through, and for how long: open routes, tokens that may be missing, report-only, streams, metadata."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from lbjwt.config.checks.words import warning
from lbjwt.config.model import Configuration
from lbjwt.config.problems import KeyPath, Problem
from lbjwt.config.route import Refusals, Resource, Route
from lbjwt.config.url import is_loopback_url

__all__ = ["check_routes"]

_LONG_GRACE: Final = 300.0


def check_routes(configuration: Configuration) -> Iterator[Problem]:
    """Each route by itself; what two routes do to each other is asked in ``overlaps``."""
    if configuration.routes and all(route.public for route in configuration.routes):
        yield warning(("routes",), "nothing-protected", "every route is open: no token is ever asked for", at_key=True)
    health = {listener.health.path for listener in configuration.listeners if listener.health is not None}
    for at, route in enumerate(configuration.routes):
        path: KeyPath = ("routes", at)
        yield from _public(path, route)
        if route.place[0] in health:
            message = "lbjwt answers this very path itself where a listener has it under health: the route never sees it there"
            yield warning(path, "health-over-route", message, at_key=True)
        yield from _missing(path, route, bool(configuration.claim_to_headers))
        yield from _streams(path, route)
        yield from _refusals((*path, "refusals"), route, route.refusals)
        if route.report_only:
            yield warning(
                (*path, "report_only"),
                "report-only",
                "every request passes, whatever its token: nothing is protected yet",
            )
        if route.resource is not None:
            yield from _resource((*path, "resource", "identifier"), route, route.resource)


def _public(path: KeyPath, route: Route) -> Iterator[Problem]:
    if not route.public:
        return
    prefix, exact = route.place
    if prefix == "/" and not exact and not route.hosts:
        yield warning(
            (*path, "public"),
            "public-everything",
            "whatever no other route is for is open: a path that was forgotten, too",
        )
    elif not exact and not route.methods:
        yield warning(
            (*path, "public"),
            "public-any-method",
            "everything below is open to every method; where reading is meant, say methods: [GET]",
        )


def _missing(path: KeyPath, route: Route, identity: bool) -> Iterator[Problem]:
    if not route.allow_missing:
        return
    here = (*path, "allow_missing")
    asked = [key for key in ("audiences", "scopes", "rules") if key in route.model_fields_set]
    if asked:
        yield warning(
            here, "optional-skips-rules", f"who leaves the token out is not asked for {' and '.join(asked)}, and passes"
        )
    if identity:
        yield warning(
            here,
            "optional-identity",
            "requests without a token reach endpoints without identity headers: they must not read that as somebody",
        )
    if route.place == ("/", False) and not route.hosts:
        yield warning(here, "optional-everything", "whatever no other route is for passes without a token")


def _streams(path: KeyPath, route: Route) -> Iterator[Problem]:
    if not route.end_streams:
        yield warning(
            (*path, "end_streams"),
            "streams-outlive-token",
            "a WebSocket or a long response goes on for as long as its peers like, revoked or not",
        )
    if route.stream_grace > _LONG_GRACE:
        yield warning((*path, "stream_grace"), "stream-grace-long", "an expired token keeps its streams for minutes")


def _refusals(path: KeyPath, route: Route, refusals: Refusals) -> Iterator[Problem]:
    if refusals.expose_reason:
        yield warning(
            (*path, "expose_reason"),
            "expose-reason",
            "whoever is guessing is told how far he got; log and metrics have the reason, too",
        )
    for told, status in refusals.statuses.items():
        here = (*path, "statuses", str(told))
        if told == 401 and status != 401:
            hidden = " and the way to one (RFC 9728)" if route.resource is not None else ""
            yield warning(
                here,
                "challenge-hidden",
                f"clients fetch a new token when they get 401: this hides the need for one{hidden}",
            )
        if told < 500 <= status:
            yield warning(
                here, "refusal-as-failure", "a refused client reads this as a fault of the service, and comes again"
            )
    if (
        refusals.redirect is not None
        and refusals.redirect.startswith("http:")
        and not is_loopback_url(refusals.redirect)
    ):
        yield warning(
            (*path, "redirect"), "redirect-plain-http", "whoever is on the way can answer with a login page of his own"
        )


def _resource(path: KeyPath, route: Route, resource: Resource) -> Iterator[Problem]:
    """A client compares the identifier with the URL that it used (RFC 9728 §3.3)."""
    parts = urlsplit(resource.identifier)
    base, own = parts.path.rstrip("/"), route.place[0].rstrip("/")
    apart = not (f"{own}/".startswith(f"{base}/") or f"{base}/".startswith(f"{own}/"))
    host = parts.hostname or ""
    elsewhere = route.hosts and not any(
        host == pattern or (pattern.startswith("*") and host.endswith(pattern[1:])) for pattern in route.hosts
    )
    if apart or elsewhere:
        yield warning(
            path,
            "resource-elsewhere",
            "the URL is none that this route is for: clients will not take the document for this resource's",
        )
