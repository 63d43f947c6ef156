"""Routes as the operator writes them: what cannot be matched, what ties, and where precedence may surprise (THREATS R7)."""

from __future__ import annotations

import pytest

from lbjwt.errors import ConfigurationError
from lbjwt.routing._router import Router
from lbjwt.routing.table import RouteMatch, compile_table


@pytest.mark.parametrize(
    ("route", "complaint"),
    [
        (RouteMatch(path="/a", prefix="/b"), "both a path and a prefix"),
        (RouteMatch(path="a"), "always refused \\(path-not-absolute\\)"),
        (RouteMatch(path=""), "always refused"),
        (RouteMatch(prefix="*"), "always refused"),
        (RouteMatch(path="/a?b"), "always refused \\(path-character\\)"),
        (RouteMatch(path="/a#b"), "always refused"),
        (RouteMatch(prefix="/a%2fb"), "always refused \\(path-encoded-slash\\)"),
        (RouteMatch(path="/café"), "percent-encoding"),
        (RouteMatch(path="/a b"), "percent-encoding"),
        (RouteMatch(path="/a\n"), "percent-encoding"),
        (RouteMatch(path="/%7euser"), "must be written /~user"),
        (RouteMatch(prefix="/a/../b"), "must be written /b"),
        (RouteMatch(prefix="//a"), "must be written /a"),
        (RouteMatch(path="/a%3a"), "must be written /a%3A"),
        (RouteMatch(path="/a;v=1"), "read differently"),
        (RouteMatch(path="/a%3Bv"), "read differently"),
        (RouteMatch(prefix="/a./b"), "read differently"),
        (RouteMatch(path="/a%20"), "read differently"),
        (RouteMatch(path="/a%3Fb"), "read differently"),
        (RouteMatch(prefix="/a/%23"), "read differently"),
        (RouteMatch(hosts=("",)), "host ''"),
        (RouteMatch(hosts=("*",)), "host '\\*'"),
        (RouteMatch(hosts=("a.example:80",)), "without port"),
        (RouteMatch(hosts=("a.example.",)), "not a name"),
        (RouteMatch(hosts=("a..example",)), "not a name"),
        (RouteMatch(hosts=("a.*.example",)), "not a name"),
        (RouteMatch(hosts=("*a.example",)), "not a name"),
        (RouteMatch(hosts=("bücher.example",)), "in ASCII"),
        (RouteMatch(hosts=("[::1]",)), "not a name"),
        (RouteMatch(hosts=("-a.example",)), "not a name"),
        (RouteMatch(hosts=("a.example\n",)), "not a name"),
        (RouteMatch(methods=("get",)), "method 'get'"),
        (RouteMatch(methods=("GET ",)), "method 'GET '"),
        (RouteMatch(methods=("",)), "method ''"),
        (RouteMatch(methods=("CONNECT",)), "never passed on"),
        (RouteMatch(methods=("GET", "TRACE")), "never passed on"),
        (RouteMatch(hosts=("a.example", "A.example")), "a host is named twice"),
    ],
)
def test_routes_that_could_never_be_matched_as_meant(route: RouteMatch, complaint: str) -> None:
    """Each is refused with its place and what is wrong."""
    with pytest.raises(ConfigurationError, match=rf"^routes\[1\]: .*{complaint}"):
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
        with pytest.raises(ConfigurationError, match=r"^routes\[2\]: matches the same requests as routes\[1\]$"):
            Router(routes)


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


def test_routes_for_our_own_documents_are_refused() -> None:
    """The route would never be asked."""
    own = {b"/.well-known/x": 0}
    for methods in ((), ("GET",), ("HEAD", "OPTIONS")):
        with pytest.raises(ConfigurationError, match=r"routes\[0\]: /.well-known/x is answered by lbjwt itself"):
            Router([RouteMatch(path="/.well-known/x", methods=methods)], own)
    Router([RouteMatch(prefix="/.well-known/x"), RouteMatch(path="/.well-known/x", methods=("OPTIONS",))], own)


def test_methods_have_a_limit() -> None:
    """As many as there are bits for; one more is an error and not a route for everything."""
    names = tuple("X" + chr(65 + number // 26) + chr(65 + number % 26) for number in range(48))
    assert Router([RouteMatch(methods=names[:47])]).find(names[46].encode(), b"", b"/")[0] == 0
    assert Router([RouteMatch(methods=names[:47])]).find(names[47].encode(), b"", b"/")[0] == -1
    with pytest.raises(ConfigurationError, match="more than 47 methods"):
        Router([RouteMatch(methods=names)])
