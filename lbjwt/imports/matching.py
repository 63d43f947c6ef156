"""
From any rule of precedence to that of lbjwt, where the most specific route wins.

Other programs take the first rule that matches, or have several tables of rules in a row. So a reader does not translate rule by rule. It names the
hosts, paths and methods that its file distinguishes and says for one request what the other program would do. This module asks it for one request
of each combination and keeps the routes without which lbjwt would answer one of them differently.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""Those that a route can name."""

UNKNOWN: Final = "\0"
"""Stands for what the file names nowhere: another host, another segment of the path, another method."""

Decision = dict[str, Any]
"""The keys of a route, without its name and what it matches; see `lbjwt.imports.draft`."""


@dataclass(frozen=True, slots=True, order=True)
class Path:
    """A path as a route matches it: exactly, or with everything below it."""

    text: str
    exact: bool = False

    @property
    def rank(self) -> tuple[int, int]:
        return int(self.exact), len(self.text.rstrip("/"))

    @property
    def sample(self) -> str:
        return self.text if self.exact else self.text.rstrip("/") + "/" + UNKNOWN

    def covers(self, path: str) -> bool:
        if self.exact:
            return path == self.text
        stem = self.text.rstrip("/")
        return path == stem or path.startswith(stem + "/")


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `UNKNOWN` in a part stands for everything that the file does not name."""

    host: str
    path: str
    method: str


Decide = Callable[[Request], Decision | None]
"""What the other program does with a request; None when it has no rule for it (404)."""


@dataclass(slots=True)
class Route:
    """A route of the result. Without a host or methods, it matches all of them."""

    host: str
    path: Path
    methods: tuple[str, ...]
    decision: Decision

    @property
    def rank(self) -> tuple[tuple[int, int], tuple[int, int], int]:
        return host_rank(self.host), self.path.rank, int(bool(self.methods))

    def covers(self, request: Request) -> bool:
        return (
            host_covers(self.host, request.host)
            and self.path.covers(request.path)
            and (
                not self.methods
                or request.method in self.methods
                or (request.method == "HEAD" and "GET" in self.methods)
            )
        )


def sample_host(pattern: str) -> str:
    """A host that the pattern matches, and no other one of the file."""
    return pattern.replace("*", UNKNOWN, 1) if pattern else UNKNOWN


def host_rank(host: str) -> tuple[int, int]:
    return (0, 0) if not host else (1, len(host)) if host.startswith("*.") else (2, len(host))


def host_covers(pattern: str, host: str) -> bool:
    """Whether `pattern` ("" for any, ``*.name``, or a name) matches the host."""
    return not pattern or pattern == host or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def compile_routes(
    hosts: Iterable[str], paths: Iterable[Path], methods: Iterable[str], decide: Decide, missing: Decision
) -> list[Route]:
    """
    The fewest routes with which lbjwt decides as `decide` does for every combination.

    A prefix of lbjwt matches its own path too: `/api` and `/api/x`. Where the other program means only what is below, the path itself gets a route
    of its own if it would need no token otherwise.

    Args:
        hosts: Names and wildcards that the file distinguishes.
        paths: Paths and prefixes that it distinguishes.
        methods: Methods that it distinguishes; those that no route can name are ignored.
        missing: What stands where the other program has no rule, but a less specific route would match.
    """
    named = sorted({"", *hosts}, key=lambda host: (host_rank(host), host))
    places = {Path("/"), *paths}
    itself = {Path(path.text, True) for path in places if not path.exact and path.text != "/"} - places
    told = _told(methods)
    kept: list[Route] = []
    for host in named:
        for path in sorted(places | itself, key=lambda place: (place.rank, place.text)):
            if path in itself:
                _add_itself(kept, host, path, told, decide)
            else:
                _add_routes(kept, host, path, told, decide, missing)
    return kept


def _told(methods: Iterable[str]) -> list[str]:
    """The methods to ask about. GET includes HEAD in lbjwt, so no route can treat the two differently."""
    named = {*methods}
    return [method for method in METHODS if method in named and not (method == "HEAD" and "GET" in named)]


def _add_routes(
    kept: list[Route], host: str, path: Path, told: Iterable[str], decide: Decide, missing: Decision
) -> None:
    by_decision: list[Route] = []
    for method in (UNKNOWN, *told):
        request = Request(sample_host(host), path.sample, method)
        wanted, there = decide(request), resolve(kept, request)
        decision = missing if wanted is None else wanted
        if there in (wanted, decision):
            continue
        if method == UNKNOWN:
            kept.append(Route(host, path, (), decision))
            continue
        same = next((route for route in by_decision if route.decision == decision), None)
        if same is None:
            by_decision.append(Route(host, path, (method,), decision))
        else:
            same.methods += (method,)
    kept.extend(by_decision)


def _add_itself(kept: list[Route], host: str, path: Path, told: Iterable[str], decide: Decide) -> None:
    """
    A route for the path of a prefix, if the prefix lets requests pass that need a token there. With it, lbjwt would refuse the path with a slash at
    its end, which other servers may take for the same one; so that gets a route, too.
    """
    added: list[Route] = []
    for method in (UNKNOWN, *told):
        request = Request(sample_host(host), path.text, method)
        wanted, there = decide(request), resolve([*kept, *added], request)
        if wanted is None or there is None or wanted == there or not is_open(there) or is_open(wanted):
            continue
        methods = () if method == UNKNOWN else (method,)
        added += [Route(host, path, methods, wanted), Route(host, Path(path.text + "/", True), methods, there)]
    kept.extend(added)


def is_open(decision: Decision | None) -> bool:
    """Whether requests without a good token pass."""
    return decision is not None and any(decision.get(key) for key in ("public", "allow_missing", "report_only"))


def resolve(routes: Iterable[Route], request: Request) -> Decision | None:
    """What lbjwt does with a request."""
    fitting = [route for route in routes if route.covers(request)]
    return max(fitting, key=lambda route: route.rank).decision if fitting else None


def by_hosts(routes: Iterable[Route]) -> list[tuple[Route, list[str]]]:
    """Routes that differ in their host only become one, with all their hosts; [] for any host."""
    groups: list[tuple[Route, list[str]]] = []
    for route in routes:
        wanted = route.path, route.methods, route.decision, bool(route.host)
        for other, hosts in groups:
            if (other.path, other.methods, other.decision, bool(other.host)) == wanted:
                hosts.append(route.host)
                break
        else:
            groups.append((route, [route.host] if route.host else []))
    return groups
