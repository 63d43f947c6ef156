"""The router against a router by hand, slow and with other tools, on tables and requests made up by chance (THREATS R2, R7)."""

from __future__ import annotations

import random
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from lbjwt.errors import ConfigurationError
from lbjwt.routing._router import Found, Router
from lbjwt.routing.table import RouteMatch, compile_table
from tests.harness.examples import examples
from tests.unit.path_readers import ALL_STYLES, BackEnd, canonical_by_the_book

HOSTS = [(), ("a.example",), ("*.example",), ("*.a.example", "b.example")]
PATHS = ["/", "/a", "/a/", "/a/b", "/A", "/ab", "/a/b/c", "/a:b", "/a%3Ab", "/a/b/"]
METHODS = [(), ("GET",), ("POST", "PROPFIND"), ("HEAD",)]
PIECES = [
    b"/a",
    b"/b",
    b"/A",
    b"/c",
    b"b",
    b":b",
    b"%3Ab",
    b"/",
    b"/.",
    b"/..",
    b";x",
    b"%3Fx",
    b"%23",
    b".",
    b"%20",
    b"/%61",
    b"?q",
    b"%2f",
]
STYLES = [style for style in ALL_STYLES if style.decodings < 2 and not style.backslashes]
ROUTE = st.builds(
    lambda hosts, exact, path, methods: RouteMatch(hosts, path if exact else None, None if exact else path, methods),
    st.sampled_from(HOSTS), st.booleans(), st.sampled_from(PATHS), st.sampled_from(METHODS),
)  # fmt: skip


def without_ties(routes: list[RouteMatch]) -> list[RouteMatch]:
    kept: list[RouteMatch] = []
    for route in routes:
        try:
            compile_table([*kept, route])
        except ConfigurationError:
            continue
        kept.append(route)
    return kept


def host_rank(route: RouteMatch, host: str) -> tuple[int, int] | None:
    """How specific the best host pattern that fits is; None when none does."""
    name = host.lower().split(":")[0].rstrip(".")
    found = [(2, 0) for pattern in route.hosts if pattern == name]
    found += [
        (1, len(pattern))
        for pattern in route.hosts
        if pattern.startswith("*.") and name.endswith(pattern[1:]) and len(name) >= len(pattern)
    ]
    return max(found, default=None) if route.hosts else (0, 0)


def rank(route: RouteMatch, method: str, host: str, covers: bool) -> tuple[object, ...] | None:
    """How specific a route is for a request; None when it does not fit."""
    at_host = host_rank(route, host)
    listed = (*route.methods, *(("HEAD",) if "GET" in route.methods else ()))
    if at_host is None or not covers or (listed and method not in listed):
        return None
    length = 0 if route.path is not None else len((route.prefix or "/").replace("%3A", ":").rstrip("/"))
    return (*at_host, route.path is not None, length, bool(listed))


def covers(route: RouteMatch, segments: list[bytes], own: list[bytes]) -> bool:
    if route.path is not None:
        return segments == own
    own = own[:-1] if own[-1:] == [b""] else own
    return segments[: len(own)] == own


@cache
def read_by(style: BackEnd, path: str) -> list[bytes]:
    return style.read(path.encode())


def by_hand(routes: list[RouteMatch], method: str, host: str, target: bytes) -> int:
    path = canonical_by_the_book(target.split(b"?")[0])
    if path is None:
        return Found.BAD_TARGET
    ranks = {number: rank(route, method, host, covers(route, path.split(b"/")[1:], (route.path or route.prefix or "/").encode().split(b"/")[1:]))
             for number, route in enumerate(routes)}  # fmt: skip
    fitting = {number: found for number, found in ranks.items() if found is not None}
    if not fitting:
        return Found.NO_ROUTE
    best = max(fitting, key=lambda number: fitting[number])
    for style in STYLES:
        segments = style.read(path)
        for route in routes:
            found = rank(
                route, method, host, covers(route, segments, read_by(style, route.path or route.prefix or "/"))
            )
            if found is not None and found > fitting[best]:
                return Found.BAD_TARGET
    return best


@given(
    st.lists(ROUTE, min_size=1, max_size=6).map(without_ties),
    st.sampled_from(["GET", "HEAD", "POST", "PROPFIND", "MKCOL"]),
    st.sampled_from(["a.example", "B.Example:80", "x.a.example.", "c.example", "example", "", "xa.example"]),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map(lambda pieces: b"/" + b"".join(pieces)),
    st.randoms(use_true_random=False),
)
@settings(max_examples=examples(600), deadline=None)
def test_the_router_by_hand_finds_the_same(
    routes: list[RouteMatch], method: str, host: str, target: bytes, chance: random.Random
) -> None:
    """The best route for the path itself; and refused exactly when some style of back end reads the path as one of a better route."""
    wanted = by_hand(routes, method, host, target)
    assert Router(routes).find(method.encode(), host.encode(), target)[0] == wanted
    shuffled = chance.sample(range(len(routes)), len(routes))
    found = Router([routes[number] for number in shuffled]).find(method.encode(), host.encode(), target)[0]
    assert (shuffled[found] if found >= 0 else found) == wanted
