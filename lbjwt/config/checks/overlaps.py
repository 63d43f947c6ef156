"""
Requests that two routes are for, one of them open: does the one win that was meant (THREATS R5, R7)?

The most specific route wins, whatever the order. That is easily overlooked: a host counts more than a path, and a route with methods leaves the other
methods to whoever is there. Instead of thinking about pairs of rules, this tries the requests in question and looks who wins.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from lbjwt.config.checks.words import warning
from lbjwt.config.model import Configuration
from lbjwt.config.problems import Problem
from lbjwt.config.route import Route

__all__ = ["check_overlaps", "winner"]

_METHODS: Final = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "PROPFIND",
)  # the last stands for all that cannot be named
_NO_HOST: Final = "host.invalid"  # RFC 6761 §6.4: what no route names


def check_overlaps(configuration: Configuration) -> Iterator[Problem]:
    """Open routes that take requests from protected ones."""
    routes = configuration.routes
    opened = [(at, route) for at, route in enumerate(routes) if route.public]
    guarded = [(at, route) for at, route in enumerate(routes) if not route.public]
    for at, route in opened:
        for _, other in guarded:
            if _is_inside(route, other) and other.place != ("/", False) and _methods(route, other):
                yield warning(
                    ("routes", at),
                    "public-inside-protected",
                    f"it is open, and lies inside {other.name}, which asks for a token",
                    at_key=True,
                )
            host = _taken_by_host(routes, route, other)
            if host is not None:
                yield warning(
                    ("routes", at),
                    "public-over-protected",
                    f"a host counts more than a path: for {host} it wins over {other.name}, which asks for a token, and opens its requests",
                    at_key=True,
                )
    for at, route in guarded:
        if route.methods:
            yield from _left_methods(routes, at, route)


def winner(routes: Sequence[Route], host: str, path: str, method: str) -> Route | None:
    """The route for a request whose path is canonical; None when there is none."""
    found: list[tuple[tuple[int, int, bool, int, bool], Route]] = []
    for route in routes:
        own, exact = route.place
        if not route.covers(method) or not (path == own if exact else _below(path, own)):
            continue
        found += [
            (
                (
                    1 + (not pattern.startswith("*")) if pattern else 0,
                    len(pattern),
                    exact,
                    len(own),
                    bool(route.methods),
                ),
                route,
            )
            for pattern in route.hosts or ("",)
            if _host_inside(host, pattern)
        ]
    return max(found, key=lambda entry: entry[0])[1] if found else None


def _below(path: str, prefix: str) -> bool:
    return prefix == "/" or path == prefix or path.startswith(f"{prefix}/")


def _host_inside(host: str, pattern: str) -> bool:
    """True when a host, or every host of a pattern, is one of a pattern's."""
    return (
        not pattern
        or host == pattern
        or (pattern.startswith("*") and len(host) >= len(pattern) and host.endswith(pattern[1:]))
    )


def _methods(one: Route, other: Route) -> list[str]:
    return [method for method in _METHODS if one.covers(method) and other.covers(method)]


def _path_inside(one: Route, other: Route) -> bool:
    """True when every path of one is a path of the other, and not the other way round."""
    (path, exact), (around, whole) = one.place, other.place
    return not whole and _below(path, around) and (path != around or exact)


def _is_inside(one: Route, other: Route) -> bool:
    return _path_inside(one, other) and any(
        _host_inside(host, pattern) for host in one.hosts or ("",) for pattern in other.hosts or ("",)
    )


def _taken_by_host(routes: Sequence[Route], opened: Route, guarded: Route) -> str | None:
    """A host where an open route wins over a protected one for a smaller part of the paths."""
    if not opened.hosts or not _path_inside(guarded, opened):
        return None
    for host in opened.hosts:
        for pattern in guarded.hosts or ("",):
            if _host_inside(host, pattern) and host != pattern:
                requests = [(_one_host(host), _one_path(guarded), method) for method in _methods(opened, guarded)]
                if any(winner(routes, *request) is opened for request in requests):
                    return host
    return None


def _left_methods(routes: Sequence[Route], at: int, route: Route) -> Iterator[Problem]:
    told: set[str] = set()
    for host in route.hosts or ("",):
        for method in _METHODS:
            if route.covers(method):
                continue
            other = winner(routes, _one_host(host), _one_path(route), method)
            if other is None or not other.public or (other.place == route.place and other.methods):
                continue  # the last: a route that names its methods for the very same paths was meant so
            if other.name not in told:
                told.add(other.name)
                yield warning(
                    ("routes", at, "methods"),
                    "methods-left-open",
                    f"the same paths with other methods, such as {method}, fall to {other.name}, which is open",
                )


def _one_host(pattern: str) -> str:
    return pattern.replace("*", "any") or _NO_HOST


def _one_path(route: Route) -> str:
    path, exact = route.place
    return path if exact else f"{path.rstrip('/')}/any"
