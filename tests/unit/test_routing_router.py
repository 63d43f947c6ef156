"""From host, path and method to one route: THREATS R1 to R9, and heads that forward what was matched."""

from __future__ import annotations

import itertools
import random

import pytest

from lbjwt.errors import ConfigurationError
from lbjwt.http1._buffer import Buffer
from lbjwt.http1._request import Parse, RequestHead, RequestPolicy
from lbjwt.routing._router import Found, Router
from lbjwt.routing.table import RouteMatch
from tests.unit.http1_readers import request_by_httptools
from tests.unit.path_spellings import ROUTES, spellings

NO_ROUTE = (Found.NO_ROUTE, None)
BAD_TARGET = (Found.BAD_TARGET, None)
POLICY = RequestPolicy()
SCRATCH = Buffer()


def find(
    routes: list[RouteMatch], target: bytes, method: bytes = b"GET", host: bytes = b"api.example"
) -> tuple[int, bytes | None]:
    return Router(routes).find(method, host, target)


# --- the register, R1 to R9 -------------------------------------------------------------------------------------------


def test_r1_the_query_is_not_matched() -> None:
    """A query, whatever it holds, goes along as it came and decides nothing; a fragment is refused."""
    routes = [RouteMatch(path="/admin"), RouteMatch(prefix="/public")]
    assert find(routes, b"/admin?") == (0, b"/admin?")
    assert find(routes, b"/admin?/../public/%2e%2E//\\?x=%zz") == (0, b"/admin?/../public/%2e%2E//\\?x=%zz")
    assert find(routes, b"/x?path=/public") == NO_ROUTE
    assert find(routes, b"/x?/../public") == NO_ROUTE
    assert find(routes, b"/public/%7e?a=%7e") == (1, b"/public/~?a=%7e")
    for target in (b"/admin#x", b"/public#/../admin", b"/%#", b"/admin%23"):
        assert find(routes, target)[1] is None, target


def test_r2_what_the_path_refuses_no_route_gets() -> None:
    """A refused path is a bad target also where one route takes everything, and the short code is none of a route."""
    for target in (
        b"/a%2fb",
        b"/a\\b",
        b"/%00",
        b"/..;/",
        b"/%25%32%66",
        b"/%c0%af",
        b"",
        b"a",
        b"?",
        b"/a b",
        b"**",
        b"*?",
        b"/%",
    ):
        assert find([RouteMatch()], target) == BAD_TARGET, target


def test_r3_table_size_changes_nothing() -> None:
    """With 7, 99, 100, 101 and 1,000 routes, thousands of spellings go the same way."""
    chance = random.Random("sizes")
    small = Router(ROUTES)
    targets = chance.sample(spellings(), 3000)
    wanted = [small.find(b"GET", b"h7.example", target) for target in targets]
    for size in (99, 100, 101, 1000):
        fillers = [
            RouteMatch(hosts=(f"h{number}.example",), path=f"/f{number}")
            if number % 2
            else RouteMatch(prefix=f"/f/{number}")
            for number in range(size - len(ROUTES))
        ]
        numbers = list(range(size))
        chance.shuffle(numbers)
        table = [([*ROUTES, *fillers])[number] for number in numbers]
        large = Router(table)
        for target, (index, forwarded) in zip(targets, wanted, strict=True):
            found = large.find(b"GET", b"h7.example", target)
            assert (numbers[found[0]] if found[0] >= 0 else found[0], found[1]) == (index, forwarded), (size, target)
        for number, route in enumerate(table):
            if route.prefix and route.prefix.startswith("/f/"):
                assert large.find(b"GET", b"", route.prefix.encode() + b"/%78") == (
                    number,
                    route.prefix.encode() + b"/x",
                )


@pytest.mark.parametrize(
    "spelled",
    [
        b"api.example",
        b"API.Example",
        b"api.example.",
        b"aPi.example:80",
        b"api.example.:8443",
        b"api.example:",
        b"api.example..",
    ],
)
def test_r4_one_host_in_every_spelling(spelled: bytes) -> None:
    """Case, dots at the end and ports make no other host of a host."""
    routes = [RouteMatch(prefix="/"), RouteMatch(hosts=("*.example",)), RouteMatch(hosts=("Api.Example",))]
    assert find(routes, b"/", host=spelled) == (2, b"/")
    assert find(routes, b"/", host=b"v2." + spelled) == (1, b"/")


def test_r4_what_is_no_name_slips_by_no_rule() -> None:
    """An empty label is refused where hosts matter; a longer or shorter name, an address, no host at all are other hosts."""
    routes = [RouteMatch(prefix="/"), RouteMatch(hosts=("*.example",)), RouteMatch(hosts=("api.example",))]
    for host in (b".example", b"api..example", b".api.example", b".", b":80", b"..:1"):
        assert find(routes, b"/", host=host) == BAD_TARGET, host
    for host in (b"", b"example", b"xexample", b"api.example.net", b"[::1]:80", b"192.0.2.1", b"*.exampl"):
        assert find(routes, b"/", host=host) == (0, b"/"), host
    assert find([RouteMatch(prefix="/")], b"/", host=b"a..b") == (0, b"/")


def test_r5_methods_that_are_not_named_are_not_matched() -> None:
    """HEAD follows GET and nothing else does: neither OPTIONS nor methods that nobody knows."""
    routes = [
        RouteMatch(path="/a", methods=("GET", "PROPFIND")),
        RouteMatch(path="/b", methods=("POST",)),
        RouteMatch(path="/b", methods=("HEAD",)),
    ]
    for method, index in (
        (b"GET", 0),
        (b"HEAD", 0),
        (b"PROPFIND", 0),
        (b"POST", -1),
        (b"OPTIONS", -1),
        (b"MKCOL", -1),
        (b"get", -1),
        (b"PROP", -1),
    ):
        assert find(routes, b"/a", method)[0] == index, method
    for method, index in ((b"POST", 1), (b"HEAD", 2), (b"GET", -1), (b"PROPFIND", -1), (b"", -1)):
        assert find(routes, b"/b", method)[0] == index, method
    routes.append(RouteMatch())
    for method in (b"OPTIONS", b"MKCOL", b"DELETE"):
        assert find(routes, b"/a", method)[0] == 3


def test_r6_prefixes_end_where_segments_do() -> None:
    """`/api` is for /api, /api/ and what is below, and not for /apis; a slash at its end changes nothing."""
    for prefix in ("/api", "/api/"):
        routes = [RouteMatch(prefix=prefix)]
        for target in (b"/api", b"/api/", b"/api/x", b"/api?x", b"/api//x", b"/./api"):
            assert find(routes, target)[0] == 0, target
        for target in (b"/apis", b"/ap", b"/api.x", b"/api-v2/x", b"/", b"/x/api", b"/api%3Ax"):
            assert find(routes, target) == NO_ROUTE, target


@pytest.mark.parametrize("order", [*itertools.permutations(range(4))], ids=str)
def test_r7_the_most_specific_route_wins_in_every_order(order: tuple[int, ...]) -> None:
    """An exact host before a wildcard before any, an exact path before the longest prefix, methods before none: however the routes are listed."""
    for routes, host, method, target in (
        ((RouteMatch(path="/a/b"), RouteMatch(prefix="/a/b"), RouteMatch(prefix="/a"), RouteMatch()), b"x.a.example", b"GET", b"/a/b"),
        ((RouteMatch(prefix="/a/b", methods=("GET",)), RouteMatch(prefix="/a/b"), RouteMatch(prefix="/a", methods=("GET",)), RouteMatch(prefix="/")),
         b"x.a.example", b"HEAD", b"/a/b/c"),
        ((RouteMatch(hosts=("x.a.example",)), RouteMatch(hosts=("*.a.example",), path="/a"),
          RouteMatch(hosts=("*.example",), path="/a", methods=("GET",)), RouteMatch(path="/a")), b"x.a.example", b"GET", b"/a"),
    ):  # fmt: skip
        for missing in range(4):  # without the best ones, the next one wins
            kept = [number for number in order if number >= missing]
            found = find([routes[number] for number in kept], target, method, host)[0]
            assert kept[found] == missing


def test_r7_several_hosts_of_one_route_are_as_specific_as_each_is() -> None:
    """A route with an exact host and a wildcard loses to another one's exact host, and wins by its own."""
    routes = [
        RouteMatch(hosts=("a.example", "*.b.example")),
        RouteMatch(hosts=("x.b.example",)),
        RouteMatch(hosts=("*.example",)),
    ]
    for host, index in ((b"a.example", 0), (b"y.b.example", 0), (b"x.b.example", 1), (b"c.example", 2)):
        assert find(routes, b"/", host=host)[0] == index


def test_r7_routes_that_differ_in_spelling_only_are_kept_apart() -> None:
    """Who writes both says that his back end tells them apart: each gets its own; a third spelling, which is neither, is refused."""
    for one, other, third in (
        ("/users", "/Users", b"/USERS"),
        ("/x:y", "/x%3Ay", b"/X:y"),
        ("/x%2By", "/x+y", b"/x+y;v"),
    ):
        routes = [RouteMatch(), RouteMatch(prefix=one), RouteMatch(prefix=other)]
        assert [find(routes, target.encode() + b"/1")[0] for target in (one, other)] == [1, 2]
        assert find(routes, third + b"/1") == BAD_TARGET
    routes = [RouteMatch(), RouteMatch(path="/a"), RouteMatch(path="/a/"), RouteMatch(path="/b")]
    assert [find(routes, target)[0] for target in (b"/a", b"/a/", b"/b", b"/b/")] == [1, 2, 3, Found.BAD_TARGET]


def test_r8_no_route_is_the_default() -> None:
    """What no route names is matched by none: no table, another path, another host, a server-wide OPTIONS."""
    assert find([], b"/") == NO_ROUTE
    assert find([RouteMatch(prefix="/a")], b"/b") == NO_ROUTE
    assert find([RouteMatch(hosts=("a.example",))], b"/") == NO_ROUTE
    assert find([RouteMatch()], b"*", b"OPTIONS") == NO_ROUTE
    assert find([RouteMatch(), RouteMatch(path="*", methods=("OPTIONS",))], b"*", b"OPTIONS") == (1, b"*")


def head_of(start: bytes, host: bytes = b"api.example", fields: bytes = b"") -> RequestHead:
    head = RequestHead()
    assert head.parse_bytes(b"%b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (start, host, fields), POLICY) == Parse.COMPLETE, (
        head.problem
    )
    return head


def test_r9_what_is_forwarded_is_what_was_matched() -> None:
    """The head written for the endpoint has the very target that the routes were asked for, for every spelling that a head may have."""
    router = Router(ROUTES)
    forwarded = 0
    for target in spellings()[::5]:
        head = RequestHead()
        if head.parse_bytes(b"GET %b HTTP/1.1\r\nHost: a.example\r\n\r\n" % target, POLICY) != Parse.COMPLETE:
            continue
        index = router.match(head, SCRATCH)
        found = router.find(b"GET", b"a.example", target)
        assert index == found[0]
        if index >= 0:
            forwarded += 1
            assert head.parts()[1] == found[1]
            sent = request_by_httptools(head.write_bytes(POLICY))[1]
            assert sent == found[1]
            assert router.find(b"GET", b"a.example", sent) == found  # whoever routes it again finds the same
        else:
            assert head.parts()[1] == target
    assert forwarded > 500


def test_r9_heads_of_every_form() -> None:
    """Absolute-form, a target without path, an asterisk, and heads one after another on the same router."""
    router = Router(
        [RouteMatch(hosts=("a.example",), prefix="/x"), RouteMatch(), RouteMatch(path="*")], {b"/.well-known/doc": 2}
    )
    assert (
        router.match(head := head_of(b"GET http://A.example:80/y/../x/%7e?q", b"A.example:80"), SCRATCH),
        head.parts()[1],
    ) == (0, b"/x/~?q")
    assert (router.match(head := head_of(b"GET http://api.example?q=//"), SCRATCH), head.parts()[1]) == (1, b"/?q=//")
    assert (router.match(head := head_of(b"OPTIONS *"), SCRATCH), head.parts()[1]) == (2, b"*")
    assert (router.match(head := head_of(b"HEAD /%2Ewell-known/doc?x"), SCRATCH), head.parts()[1]) == (
        Found.OWN - 2,
        b"/.well-known/doc?x",
    )
    assert (router.match(head := head_of(b"PROPFIND //x//", b"a.example"), SCRATCH), head.parts()[1]) == (0, b"/x/")
    assert (router.match(head := head_of(b"GET /%2f"), SCRATCH), head.parts()[1]) == (Found.BAD_TARGET, b"/%2f")
    first, second = head_of(b"GET /%61"), head_of(b"GET /b?" + b"c" * 5000)
    assert router.match(first, SCRATCH) == router.match(second, SCRATCH) == 1
    assert second.parts()[1] == b"/b?" + b"c" * 5000


@pytest.mark.parametrize(
    "name", [b"X-HTTP-Method-Override", b"X-HTTP-Method", b"X-Method-Override", b"x_http_method_override"]
)
def test_p16_a_method_override_opens_no_route(name: bytes) -> None:
    """The method of the request line alone is matched, and no field that could change it at the backend is forwarded."""
    router = Router([RouteMatch(prefix="/", methods=("GET",))])
    assert router.match(head_of(b"POST /?_method=GET", fields=name + b": GET\r\n"), SCRATCH) == Found.NO_ROUTE
    head = head_of(b"GET /?_method=POST", fields=name + b": DELETE\r\n")
    assert router.match(head, SCRATCH) == 0
    assert b"DELETE" not in head.write_bytes(POLICY)


# --- own documents ----------------------------------------------------------------------------------------------------


def test_documents_of_our_own_come_first() -> None:
    """GET and HEAD, on every host, for exactly their path; everything else is a matter of the routes."""
    path = b"/.well-known/oauth-protected-resource/x"
    router = Router([RouteMatch(hosts=("a.example",), prefix="/.well-known")], {path: 0, b"/.well-known/b": 7})
    for host in (b"a.example", b"b.example", b""):
        assert router.find(b"GET", host, path + b"?y") == (Found.OWN, path + b"?y")
        assert router.find(b"HEAD", host, b"/.well-known/./%62") == (Found.OWN - 7, b"/.well-known/b")
    assert router.find(b"OPTIONS", b"a.example", path) == (0, path)
    assert router.find(b"POST", b"b.example", path) == NO_ROUTE
    for target in (path + b"/", path + b"/y", path[:-1], path.upper()):
        assert router.find(b"GET", b"b.example", target)[0] in (Found.NO_ROUTE, Found.BAD_TARGET)
    assert Router([RouteMatch(path=path.decode(), methods=("OPTIONS",))], {path: 0}).find(b"OPTIONS", b"", path)[0] == 0


@pytest.mark.parametrize(("path", "number"), [(b"/a/../b", 0), (b"/%7e", 0), (b"x", 0), (b"/%2f", 0), (b"/x", -1)])
def test_documents_that_would_never_be_found_are_refused(path: bytes, number: int) -> None:
    """Their path must be spelled as it is matched."""
    with pytest.raises(ConfigurationError, match="our own"):
        Router([], {path: number})


# --- where another program forwards the path as it was sent -------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (b"/public/a", 1),
        (b"/public/A", 1),
        (b"/public/./a", 1),
        (b"/public//a", 1),
        (b"/public/%7e", 1),
        (b"/public/../public/a?x=/../", 1),
        (b"/admin/../public/a", Found.BAD_TARGET),
        (b"/admin/%2e%2e/public/a", Found.BAD_TARGET),
        (b"/public/../admin/a", Found.BAD_TARGET),
        (b"/public/../a", Found.BAD_TARGET),
        (b"//admin", Found.BAD_TARGET),
        (b"/%61dmin", Found.BAD_TARGET),
        (b"/x/../a", 2),
        (b"//a", 2),
    ],
)
def test_r9_a_path_as_it_was_sent_has_one_route(target: bytes, found: int) -> None:
    """What a program that compares byte by byte finds must be what the canonical path finds."""
    routes = [RouteMatch(prefix="/admin"), RouteMatch(prefix="/public"), RouteMatch()]
    assert Router(routes, as_sent=True).find(b"GET", b"api.example", target)[0] == found
    assert Router(routes).find(b"GET", b"api.example", target)[0] >= 0


def test_r9_hosts_and_methods_count_as_sent_too() -> None:
    """The route as sent is that for the method and the host of the request."""
    routes = [RouteMatch(prefix="/a", methods=("GET",)), RouteMatch(prefix="/a"), RouteMatch(hosts=("b.example",))]
    router = Router(routes, as_sent=True)
    assert router.find(b"GET", b"api.example", b"/a/../a/b")[0] == 0
    assert router.find(b"POST", b"api.example", b"/a/../a/b")[0] == 1
    assert router.find(b"POST", b"b.example", b"/x/../y")[0] == 2
    assert router.find(b"POST", b"b.example", b"/a/../y")[0] == 2  # a host comes before a path
