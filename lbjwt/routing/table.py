"""
The routes of a configuration in the order in which they are tried: the most specific first, whatever their order in the file (THREATS R7).

Compared in this order: an exact host, then the longest wildcard, then any host; an exact path, then the longest prefix; methods, then
none. Two routes that tie for some request are an error. Runs when a configuration is loaded.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from lbjwt.errors import ConfigurationError
from lbjwt.routing._path import both_readings

ASTERISK = "*"  # the target of a server-wide OPTIONS (RFC 9112 section 3.2.4)

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_MAX_HOST = 255  # characters, as in DNS
_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_MAX_PATH = 1024  # characters


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """
    Which requests a route matches. An omitted attribute matches everything except the target `*`, which only the path `*` matches.

    Attributes:
        hosts: Names, or `*.` and a name for all hosts below it. The port of a request is ignored.
        path: The whole path; a slash at the end makes another path.
        prefix: The first segments of the path: `/api` matches `/api`, `/api/` and `/api/x`, not `/apis`.
        methods: Names in capitals. GET includes HEAD; no other method is implied, not even OPTIONS (THREATS R5).
    """

    hosts: tuple[str, ...] = ()
    path: str | None = None
    prefix: str | None = None
    methods: tuple[str, ...] = ()


class Entry(NamedTuple):
    """
    One host pattern of one route. Entries with a greater rank are tried first.

    Attributes:
        rank: Host kind (2 exact, 1 wildcard, 0 any) and length, path kind (1 exact, 0 prefix) and length of its loose reading, methods (0, 1).
        host: Lower-case; of a wildcard the part after the star, with its dot; empty for any.
        path: Canonical; of a prefix without the slash at its end, so empty for `/`.
        methods: With HEAD for GET; empty for any.
    """

    rank: tuple[int, int, int, int, int]
    host: bytes
    path: bytes
    loose: bytes
    methods: frozenset[bytes]
    route: int

    @property
    def exact(self) -> bool:
        return self.rank[2] == 1

    @property
    def wildcard(self) -> bool:
        return self.rank[0] == 1


def compile_table(routes: Sequence[RouteMatch]) -> list[Entry]:
    """
    The entries of all routes, the most specific first.

    Raises:
        ConfigurationError: A host or path that cannot be matched, or two routes that tie, with the place of the route.
    """
    entries = sorted(entries_of(routes), key=lambda entry: entry.rank, reverse=True)
    for one, other in ties(entries):
        raise ConfigurationError(f"matches the same requests as routes[{one}]", "routes", other)
    return entries


def entries_of(routes: Sequence[RouteMatch]) -> list[Entry]:
    """The entries of all routes, in the order of the routes; ConfigurationError for a host or path that cannot be matched."""
    entries: list[Entry] = []
    for index, route in enumerate(routes):
        path, loose, exact = _path_of(route)
        methods = frozenset(method.encode("ascii") for method in route.methods)
        if b"GET" in methods:
            methods |= {b"HEAD"}
        for host in route.hosts or ("",):
            pattern = check_host(host).removeprefix("*").encode("ascii") if host else b""
            kind = 0 if not pattern else 1 if pattern.startswith(b".") else 2
            rank = (kind, len(pattern), int(exact), 0 if exact else len(loose), int(bool(methods)))
            entries.append(Entry(rank, pattern, path, loose, methods, index))
    return entries


def ties(entries: Iterable[Entry]) -> Iterator[tuple[int, int]]:
    """
    Pairs of routes of which neither is more specific, the earlier one first; a route that names a host twice ties with itself.
    """
    seen: dict[tuple[bytes, bool, bytes, bool, bool], list[Entry]] = {}
    for entry in entries:
        twins = seen.setdefault((entry.host, entry.wildcard, entry.path, entry.exact, bool(entry.methods)), [])
        for twin in twins:
            if not entry.methods or entry.methods & twin.methods:
                yield min(twin.route, entry.route), max(twin.route, entry.route)
        twins.append(entry)


def check_host(host: str) -> str:
    """Return a host in lower case: a name, or ``*.`` and a name; ConfigurationError for any other text."""
    name = host.lower()
    if not _HOST.fullmatch(name) or len(name) > _MAX_HOST:
        raise ConfigurationError(
            "must be a host name such as api.example, or *.example for all hosts below it, in ASCII and without a port"
        )
    return name


def check_path(text: str) -> str:
    """
    Return a canonical path or prefix that all backends read the same way; ConfigurationError for any other text.
    """
    if not _PATH.fullmatch(text) or len(text) > _MAX_PATH:
        raise ConfigurationError(
            f"must begin with / and have at most {_MAX_PATH} letters, digits and URL punctuation; "
            "write spaces and other characters as %XX"
        )
    written = text.encode("ascii")
    try:
        path, _, _ = both_readings(written)
    except ValueError as error:
        raise ConfigurationError(f"lbjwt always refuses requests with this path ({error})") from None
    if path != written:
        raise ConfigurationError(
            f'lbjwt normalizes the path of a request before it compares, so this would never match; write "{path.decode()}"'
        )
    if not reads_alike(path):
        raise ConfigurationError(
            "servers do not agree how to read ; or an escaped ? # %, or a dot or a space at the end of a segment; choose another path"
        )
    return text


def reads_alike(path: bytes) -> bool:
    """True when every backend reads a canonical path as written, but for capitals: no parameters, no escaped ? # %, no dot or space at an end."""
    _, loose, cut = both_readings(path)
    return cut is None and b"%" not in loose and loose == unquote_to_bytes(path).lower().rstrip(b"/")


def _path_of(route: RouteMatch) -> tuple[bytes, bytes, bool]:
    """Canonical path, its loose reading, and whether it is the whole path."""
    if route.path == ASTERISK:
        return b"*", b"*", True
    exact = route.path is not None
    path = check_path(route.path or route.prefix or "/").encode("ascii")
    loose = both_readings(path)[1]
    return path if exact else path.removesuffix(b"/"), loose, exact
