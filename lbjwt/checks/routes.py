"""What is dangerous about routes: what they leave open, alone and to each other, and what their rules and refusals do not keep."""

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

__all__ = ["comparisons", "route_warnings"]

_METHODS: Final = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "PROPFIND",
)  # the last stands for all others
_NO_HOST: Final = "host.invalid"  # RFC 6761 §6.4: what no route names


def route_warnings(configuration: Configuration) -> Iterator[Problem]:
    """Warnings about each route, and about open routes that take requests of protected ones."""
    routes = configuration.routes
    if routes and all(route.public for route in routes):
        yield warning(("routes",), "nothing-protected", at_key=True)
    health = {listener.health.path for listener in configuration.listeners if listener.health is not None}
    for at, route in enumerate(routes):
        path: KeyPath = ("routes", at)
        if route.place[0] in health:
            yield warning(path, "health-over-route", at_key=True)
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
    """Requests of a protected route, or of its paths, that an open one wins. The router itself is asked who wins."""
    router = _router(routes)
    opened = [(at, route) for at, route in enumerate(routes) if route.public]
    for at, route in enumerate(routes):
        if route.public or not opened:
            continue
        path, exact = route.place
        target = (path if exact else f"{path.rstrip('/')}/any").encode()
        alone = _router([route])
        for number, other in opened:
            hosts = set(other.hosts) - set(route.hosts) if other.place != route.place else set()
            host = next((host for host in sorted(hosts) if _taken(router, alone, number, host, target)), None)
            if host is not None:
                yield warning(("routes", number), "public-over-protected", at_key=True, host=host, route=route.name)
        if route.methods:
            yield from _other_methods(router, routes, at, target)


def _taken(router: Router, alone: Router, number: int, host: str, target: bytes) -> bool:
    """True when a request that a route would take, were it alone, falls to the route with the number."""
    name = _one_host(host)
    return any(
        alone.find(method.encode(), name, target)[0] == 0 and router.find(method.encode(), name, target)[0] == number
        for method in _METHODS
    )


def _other_methods(router: Router, routes: Sequence[Route], at: int, target: bytes) -> Iterator[Problem]:
    route = routes[at]
    told: set[int] = set()
    for host in route.hosts or (_NO_HOST,):
        for method in _METHODS:
            number = router.find(method.encode(), _one_host(host), target)[0]
            if route.covers(method) or number < 0 or number in told or not routes[number].public:
                continue
            if routes[number].place == route.place and routes[number].methods:
                continue  # one that names its methods for the very same paths was meant so
            told.add(number)
            yield warning(("routes", at, "methods"), "methods-left-open", method=method, route=routes[number].name)


def _router(routes: Sequence[Route]) -> Router:
    return Router([RouteMatch(route.hosts, route.path, route.prefix, route.methods) for route in routes])


def _one_host(pattern: str) -> bytes:
    return pattern.replace("*", "any").encode()
