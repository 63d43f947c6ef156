"""What is dangerous about routes: what they leave open, alone and to each other, and what their rules and refusals do not keep."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

from lbjwt.checks.codes import warning
from lbjwt.config.model import Configuration
from lbjwt.config.problems import KeyPath, Problem
from lbjwt.config.route import Route
from lbjwt.config.rule import Rule
from lbjwt.config.url import is_loopback_url
from lbjwt.routing._router import Router
from lbjwt.routing.table import RouteMatch

_NO_HOST: Final = "host.invalid"  # RFC 6761 §6.4: what no route names
_BELOW: Final = "/lbjwt-check"  # a step that no route is likely to name


def route_warnings(configuration: Configuration) -> Iterator[Problem]:
    """Warnings about each route, and about open routes that take requests of protected ones."""
    routes = configuration.routes
    if routes and all(route.public for route in routes):
        yield warning(("routes",), "nothing-protected", at_key=True)
    for at, route in enumerate(routes):
        path: KeyPath = ("routes", at)
        yield from _let_through(path, route)
        redirect = route.refusals.redirect or ""
        if redirect.startswith("http:") and not is_loopback_url(redirect):
            yield warning((*path, "refusals", "redirect"), "redirect-plain-http")
    yield from _emails(configuration)
    yield from _opened(routes)


def comparisons(route: int, rules: Sequence[Rule]) -> Iterator[tuple[KeyPath, Rule]]:
    """Every rule of a route that compares a claim, however deep inside other rules, with its path."""
    waiting: list[tuple[KeyPath, Rule]] = [(("routes", route, "rules", at), rule) for at, rule in enumerate(rules)]
    while waiting:
        path, rule = waiting.pop(0)
        if rule.claim is not None:
            yield path, rule
        waiting += [((*path, "all", at), inner) for at, inner in enumerate(rule.all or ())]
        waiting += [((*path, "any", at), inner) for at, inner in enumerate(rule.any or ())]
        waiting += [((*path, "not"), rule.not_)] if rule.not_ is not None else []


def _let_through(path: KeyPath, route: Route) -> Iterator[Problem]:
    everything = route.place == ("/", False) and not route.hosts
    if route.public and everything:
        yield warning((*path, "public"), "public-everything")
    if route.allow_missing and everything:
        yield warning((*path, "allow_missing"), "optional-everything")
    asked = [key for key in ("audiences", "scopes", "rules") if key in route.model_fields_set]
    if route.allow_missing and asked:
        yield warning((*path, "allow_missing"), "optional-skips-rules", keys=" and ".join(asked))
    if route.report_only:
        yield warning((*path, "report_only"), "report-only")
    if not route.end_streams:
        yield warning((*path, "end_streams"), "streams-outlive-token")


def _emails(configuration: Configuration) -> Iterator[Problem]:
    for at, route in enumerate(configuration.routes):
        compared = list(comparisons(at, route.rules))
        if not any(rule.claim == ("email_verified",) for _, rule in compared):
            for path, rule in compared:
                if rule.claim == ("email",) and rule.exists is None:
                    yield warning((*path, "claim"), "email-unverified")


def _opened(routes: Sequence[Route]) -> Iterator[Problem]:
    """
    Open routes that win requests for the paths of a protected one, by their host or because it names its methods.

    The router itself is asked who wins, with one request for each host and method below the protected route.
    """
    router = _router(routes)
    named = {method for route in routes for method in route.methods}
    unnamed = next(method for method in ("DELETE", "PUT", "POST", "PATCH", "GET", "PROPFIND") if method not in named)
    told: set[tuple[int, int]] = set()
    for at, route in enumerate(routes):
        if route.public:
            continue
        path, exact = route.place
        target = (path if exact else path.rstrip("/") + _BELOW).encode()
        alone = _router([route.model_copy(update={"methods": ()})])
        opened = [other for other in routes if other.public and path.startswith(other.place[0])]
        hosts = {*(route.hosts or [_NO_HOST]), *(host for other in opened for host in other.hosts)}
        for host, method in itertools.product(sorted(hosts) if opened else (), [*sorted(named), unnamed]):
            request = method.encode(), host.replace("*", "any").encode(), target
            number = router.find(*request)[0]
            if number < 0 or not routes[number].public or alone.find(*request)[0] != 0:
                continue
            covered, winner = route.covers(method), routes[number]
            if winner.place == route.place and (covered or winner.methods):
                continue  # an exception for the very same paths was meant so
            place = (number if covered else at, number)
            if place in told:
                continue
            told.add(place)
            if covered:
                yield warning(("routes", number), "public-over-protected", at_key=True, host=host, route=route.name)
            else:
                yield warning(("routes", at, "methods"), "methods-left-open", method=method, route=winner.name)


def _router(routes: Sequence[Route]) -> Router:
    return Router([RouteMatch(route.hosts, route.path, route.prefix, route.methods) for route in routes])
