"""Routes as the operator writes them: what cannot be matched, what ties, and where precedence may surprise (THREATS R7)."""

from __future__ import annotations

import pytest

from lbjwt.errors import ConfigurationError
from lbjwt.routing._router import Router
from lbjwt.routing.table import RouteMatch, compile_table

HOSTS = (
    *(
        "*",
        "a.example:80",
        "a.example.",
        "a..example",
        "a.*.example",
        "*a.example",
        "bücher.example",
        "[::1]",
        "-a.example",
    ),
    *("a.example\n", "a." * 128 + "example"),
)


@pytest.mark.parametrize(
    ("route", "complaint"),
    [
        (RouteMatch(path="a"), "begin with /"),
        (RouteMatch(prefix="*"), "begin with /"),
        (RouteMatch(path="/a?b"), "write spaces and other characters as %XX"),
        (RouteMatch(path="/a#b"), "write spaces and other characters as %XX"),
        (RouteMatch(path="/a" * 513), "at most 1024"),
        (RouteMatch(path="/a|b"), "write spaces and other characters as %XX"),
        (RouteMatch(path='/a"b'), "write spaces and other characters as %XX"),
        (RouteMatch(prefix="/a%2fb"), "always refuses requests with this path \\(path-encoded-slash\\)"),
        (RouteMatch(prefix="/a%FF"), "always refuses requests with this path \\(path-not-utf8\\)"),
        (RouteMatch(path="/café"), "write spaces and other characters as %XX"),
        (RouteMatch(path="/a b"), "write spaces and other characters as %XX"),
        (RouteMatch(path="/a\n"), "write spaces and other characters as %XX"),
        (RouteMatch(path="/%7euser"), 'write "/~user"'),
        (RouteMatch(prefix="/a/../b"), 'write "/b"'),
        (RouteMatch(prefix="//a"), 'write "/a"'),
        (RouteMatch(path="/a%3a"), 'write "/a%3A"'),
        (RouteMatch(path="/a;v=1"), "do not agree"),
        (RouteMatch(path="/a%3Bv"), "do not agree"),
        (RouteMatch(prefix="/a./b"), "do not agree"),
        (RouteMatch(path="/a%20"), "do not agree"),
        (RouteMatch(path="/a%3Fb"), "do not agree"),
        (RouteMatch(path="/a%25b"), "do not agree"),
        (RouteMatch(prefix="/a/%23"), "do not agree"),
        *((RouteMatch(hosts=(host,)), "must be a host name") for host in HOSTS),
        (RouteMatch(hosts=("a.example", "A.example")), "same requests as routes"),
    ],
)
def test_routes_that_could_never_be_matched_as_meant(route: RouteMatch, complaint: str) -> None:
    """Each is refused with what is wrong."""
    with pytest.raises(ConfigurationError, match=complaint):
        Router([RouteMatch(path="/elsewhere"), route])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (RouteMatch(), RouteMatch(prefix="/")),
        (RouteMatch(prefix="/a"), RouteMatch(prefix="/a/")),
        (RouteMatch(path="/a"), RouteMatch(path="/a")),
        (RouteMatch(path="*"), RouteMatch(path="*")),
        (RouteMatch(path="/a", methods=("GET", "PUT")), RouteMatch(path="/a", methods=("PUT", "DELETE"))),
        (RouteMatch(path="/a", methods=("GET",)), RouteMatch(path="/a", methods=("HEAD",))),
        (RouteMatch(hosts=("a.example", "b.example")), RouteMatch(hosts=("c.example", "B.EXAMPLE"))),
        (RouteMatch(hosts=("*.example",)), RouteMatch(hosts=("*.Example",))),
    ],
)
def test_r7_ties_are_refused(one: RouteMatch, other: RouteMatch) -> None:
    """Two routes that could both be the best one for a request, in either order."""
    for routes in ([RouteMatch(path="/b"), one, other], [RouteMatch(path="/b"), other, one]):
        with pytest.raises(ConfigurationError, match=r"^matches the same requests as routes\[1\]$") as caught:
            Router(routes)
        assert caught.value.place == ("routes", 2)


def test_neighbours_do_not_tie() -> None:
    """Same path and other methods, hosts, kind, spelling or length are all told apart."""
    routes = [
        RouteMatch(path="/a"), RouteMatch(path="/a/"), RouteMatch(prefix="/a"), RouteMatch(path="/A"), RouteMatch(prefix="/a/b"),
        RouteMatch(path="/a", methods=("GET",)), RouteMatch(path="/a", methods=("POST", "PUT")), RouteMatch(path="*"),
        RouteMatch(hosts=("*.example",), path="/a"), RouteMatch(hosts=("a.example",), path="/a"), RouteMatch(hosts=("*.a.example",), path="/a"),
    ]  # fmt: skip
    entries = compile_table(routes)
    assert sorted(entry.route for entry in entries) == list(range(len(routes)))
    assert [entry.rank for entry in entries] == sorted((entry.rank for entry in entries), reverse=True)


def test_methods_have_a_limit() -> None:
    """As many as there are bits for; one more is an error and not a route for everything."""
    names = tuple("X" + chr(65 + number // 26) + chr(65 + number % 26) for number in range(48))
    assert Router([RouteMatch(methods=names[:47])]).find(names[46].encode(), b"", b"/")[0] == 0
    assert Router([RouteMatch(methods=names[:47])]).find(names[47].encode(), b"", b"/")[0] == -1
    with pytest.raises(ConfigurationError, match="at most 47 methods"):
        Router([RouteMatch(methods=names)])
