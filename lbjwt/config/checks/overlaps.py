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

__all__ = ["Table", "check_overlaps"]

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
    table = Table(configuration.routes)
    for at, route in enumerate(configuration.routes):
        if route.public:
            yield from _inside(table, at, route)
            continue
        yield from _taken_by_host(table, route)
        if route.methods:
            yield from _left_methods(table, at, route)


class Table:
    """
    Routes by their place, so that a request looks at those around its path and not at all.

    The rules of precedence are those of ``lbjwt.routing``, told once more here because this floor knows no other; a test holds the two together.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self.numbers = {route.name: at for at, route in enumerate(routes)}
        self._places: dict[tuple[str, bool], list[Route]] = {}
        for route in routes:
            self._places.setdefault(route.place, []).append(route)

    def around(self, path: str, *, exact: bool) -> Iterator[Route]:
        """The routes that a path is under; with ``exact`` also those for it alone."""
        if exact:
            yield from self._places.get((path, True), ())
        steps = path.rstrip("/").split("/")
        for count in range(len(steps), 0, -1):
            yield from self._places.get(("/".join(steps[:count]) or "/", False), ())

    def winner(self, host: str, path: str, method: str) -> Route | None:
        """The route for a request whose path is canonical; None when there is none."""
        found: list[tuple[tuple[int, int, bool, int, bool], Route]] = []
        for route in self.around(path, exact=True):
            if route.covers(method):
                own, exact = route.place
                found += [
                    ((_kind(pattern), len(pattern), exact, len(own), bool(route.methods)), route)
                    for pattern in route.hosts or ("",)
                    if _host_inside(host, pattern)
                ]
        return max(found, key=lambda entry: entry[0])[1] if found else None


def _kind(pattern: str) -> int:
    return 0 if not pattern else 1 if pattern.startswith("*") else 2


def _host_inside(host: str, pattern: str) -> bool:
    """True when a host, or every host of a pattern, is one of a pattern's."""
    return (
        not pattern
        or host == pattern
        or (pattern.startswith("*") and len(host) >= len(pattern) and host.endswith(pattern[1:]))
    )


def _inside(table: Table, at: int, route: Route) -> Iterator[Problem]:
    """A protected area with an open spot; that everything is protected but for some paths is how routes are meant to be written."""
    path, exact = route.place
    for other in table.around(path, exact=False):
        around = other.place[0]
        if other.public or around == "/" or (around == path and not exact):
            continue
        hosts = any(_host_inside(host, pattern) for host in route.hosts or ("",) for pattern in other.hosts or ("",))
        if hosts and any(route.covers(method) and other.covers(method) for method in _METHODS):
            message = f"it is open, and lies inside {other.name}, which asks for a token"
            yield warning(("routes", at), "public-inside-protected", message, at_key=True)


def _taken_by_host(table: Table, route: Route) -> Iterator[Problem]:
    """An open route that wins by its host over a protected one for a smaller part of the paths."""
    path, exact = route.place
    for other in table.around(path, exact=False):
        if not other.public or not other.hosts or (other.place[0] == path and not exact):
            continue
        for host in other.hosts:
            broader = any(_host_inside(host, pattern) and host != pattern for pattern in route.hosts or ("",))
            methods = [method for method in _METHODS if route.covers(method) and other.covers(method)]
            if broader and any(table.winner(_one_host(host), _one_path(route), method) is other for method in methods):
                message = f"a host counts more than a path: for {host} it wins over {route.name}, which asks for a token, and opens its requests"
                yield warning(("routes", table.numbers[other.name]), "public-over-protected", message, at_key=True)
                break


def _left_methods(table: Table, at: int, route: Route) -> Iterator[Problem]:
    told: set[str] = set()
    for host in route.hosts or ("",):
        for method in _METHODS:
            if route.covers(method):
                continue
            other = table.winner(_one_host(host), _one_path(route), method)
            if other is None or not other.public or other.name in told:
                continue
            if other.place == route.place and other.methods:
                continue  # a route that names its methods for the very same paths was meant so
            told.add(other.name)
            message = f"the same paths with other methods, such as {method}, fall to {other.name}, which is open"
            yield warning(("routes", at, "methods"), "methods-left-open", message)


def _one_host(pattern: str) -> str:
    return pattern.replace("*", "any") or _NO_HOST


def _one_path(route: Route) -> str:
    path, exact = route.place
    return path if exact else f"{path.rstrip('/')}/any"
