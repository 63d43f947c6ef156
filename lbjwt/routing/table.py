"""
Routes as the operator writes them, put in the order in which they are tried: the most specific first, whatever order they came in (THREATS R7).

Specific is, in this order: an exact host, then the longest wildcard, then any host; an exact path, then the longest prefix; methods, then
none. Two routes that could both be the most specific one for some request are an error of the configuration, never a question of luck.
Runs when a configuration is loaded. Knows no request.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from lbjwt.errors import ConfigurationError
from lbjwt.routing._path import canonical_path, loose_path

ASTERISK = "*"  # the target of a server-wide OPTIONS (RFC 9112 section 3.2.4)

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """
    Which requests a route is for. What is left out matches everything, but for the target `*`, which only a `path` of `*` names.

    Attributes:
        hosts: Names, or `*.` and a name for all hosts below it. Without port: the port of a request is never looked at.
        path: The whole path. Exactly one spelling: a slash more or less at the end is another path.
        prefix: The segments that the path begins with: `/api` is for `/api`, `/api/` and `/api/x`, never for `/apis`.
        methods: Names in capitals. HEAD follows GET; a method that is not named is not matched, OPTIONS included (THREATS R5).
    """

    hosts: tuple[str, ...] = ()
    path: str | None = None
    prefix: str | None = None
    methods: tuple[str, ...] = ()


class Entry(NamedTuple):
    """
    One host pattern of one route, ready to be compared with requests. Entries with a greater rank are tried first.

    Attributes:
        rank: Host kind (2 exact, 1 wildcard, 0 any) and length, path kind (1 exact, 0 prefix) and length of its loose reading, methods (0, 1).
        host: Lower-case; of a wildcard the part behind the star, with its dot; empty for any.
        path: Canonical; of a prefix without the slash at its end, so that of `/` nothing is left.
        loose: The loose reading of the path.
        methods: HEAD added; empty for any.
        route: Its position.
    """

    rank: tuple[int, int, int, int, int]
    host: bytes
    path: bytes
    loose: bytes
    methods: frozenset[bytes]
    route: int

    @property
    def exact(self) -> bool:
        """The path is the whole path, not a prefix."""
        return self.rank[2] == 1

    @property
    def wildcard(self) -> bool:
        """The host is the end of a name, not a whole one."""
        return self.rank[0] == 1


def compile_table(routes: Sequence[RouteMatch], own: Mapping[bytes, int] | None = None) -> list[Entry]:
    """
    The entries of all routes, the most specific first.

    Args:
        routes: In any order.
        own: Exact paths at which lbjwt answers GET and HEAD itself; no route may name one for these methods.

    Raises:
        ConfigurationError: A host, path or method that cannot be matched, or two routes that tie. The message begins with the
            place, such as ``routes[2]``.
    """
    entries: list[Entry] = []
    for index, route in enumerate(routes):
        place = f"routes[{index}]"
        path, loose, exact = _path_of(route, place)
        methods = _methods_of(route, place)
        if exact and path in (own or {}) and (not methods or b"HEAD" in methods):
            raise ConfigurationError(f"{place}: {path.decode()} is answered by lbjwt itself")
        for pattern in [_host_of(host, place) for host in route.hosts] or [b""]:
            kind = 0 if not pattern else 1 if pattern.startswith(b".") else 2
            rank = (kind, len(pattern), int(exact), 0 if exact else len(loose), int(bool(methods)))
            entries.append(Entry(rank, pattern, path, loose, methods, index))
    entries.sort(key=lambda entry: entry.rank, reverse=True)
    _refuse_ties(entries)
    return entries


def _refuse_ties(entries: Iterable[Entry]) -> None:
    """Entries of one rank exclude each other, unless they have the same host and path: then the methods must."""
    seen: dict[tuple[bytes, bool, bytes, bool, bool], list[Entry]] = {}
    for entry in entries:
        twins = seen.setdefault((entry.host, entry.wildcard, entry.path, entry.exact, bool(entry.methods)), [])
        for twin in twins:
            if not entry.methods or entry.methods & twin.methods:
                if twin.route == entry.route:
                    raise ConfigurationError(f"routes[{entry.route}]: a host is named twice")
                first, second = sorted((twin.route, entry.route))
                raise ConfigurationError(f"routes[{second}]: matches the same requests as routes[{first}]")
        twins.append(entry)


def _path_of(route: RouteMatch, place: str) -> tuple[bytes, bytes, bool]:
    """Canonical path, its loose reading, and whether it is the whole path."""
    if route.path is not None and route.prefix is not None:
        raise ConfigurationError(f"{place}: has both a path and a prefix")
    if route.path == ASTERISK:
        return b"*", b"*", True
    text = route.path if route.path is not None else route.prefix if route.prefix is not None else "/"
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise ConfigurationError(f"{place}: the path {text!r} must be written with percent-encoding")
    written = text.encode("ascii")
    try:
        path, (loose, cut) = canonical_path(written), loose_path(written)
    except ValueError as error:
        raise ConfigurationError(f"{place}: the path {text} is one that is always refused ({error})") from None
    if path != written:
        raise ConfigurationError(f"{place}: the path {text} must be written {path.decode()}")
    if cut is not None or loose != unquote_to_bytes(path).lower().rstrip(b"/"):
        # parameters, or dots and spaces at an end: nothing could tell it from the path without them
        raise ConfigurationError(f"{place}: the path {text} is read differently by different back ends")
    if route.path is not None:
        return path, loose, True
    return path.removesuffix(b"/"), loose, False


def _host_of(host: str, place: str) -> bytes:
    name = host.lower()
    if not _HOST.fullmatch(name):
        raise ConfigurationError(
            f"{place}: the host {host!r} is not a name (in ASCII, without port), or '*.' and a name"
        )
    return name.removeprefix("*").encode("ascii")


def _methods_of(route: RouteMatch, place: str) -> frozenset[bytes]:
    for method in route.methods:
        if not _METHOD.fullmatch(method):
            raise ConfigurationError(f"{place}: the method {method!r} is not a name in capitals")
        if method in {"CONNECT", "TRACE"}:
            raise ConfigurationError(f"{place}: {method} is never passed on")
    methods = frozenset(method.encode("ascii") for method in route.methods)
    return methods | {b"HEAD"} if b"GET" in methods else methods
