"""
The same requests to nginx, HAProxy and Envoy, and to lbjwt with what `lbjwt import` made of their configuration.

What passes reaches the same backend with the same user, and everything else is refused by both, but for what docs/import.md announces.
"""

import contextlib

import pytest

from tests.integration.imports_scene import NAMES, Answer, Pair, Request, backend, requests


@pytest.fixture(scope="module")
def backends():
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(backend(name)) for name in ("one", "two")}


def differences(pair: Pair, asked: list[Request]) -> dict[Request, tuple[Answer, Answer]]:
    """The requests that the two answered differently."""
    assert len(asked) >= 500
    found = {request: pair.ask(request) for request in asked}
    assert {there.status == 200 for there, _ in found.values()} == {True, False}, "some pass and some do not"
    return {request: (there, here) for request, (there, here) in found.items() if there != here}


def refused_by_both(found: dict[Request, tuple[Answer, Answer]]) -> set[Request]:
    """Requests that both refuse, each with the status of the rule that it comes to first."""
    return {request for request, (there, here) in found.items() if {there.status, here.status} <= {401, 403, 404}}


def test_nginx_and_lbjwt_route_alike(backends, tmp_path):
    paths = [
        *("/", "/x", "/two", "/two/", "/two/x", "/two/one", "/two/one/x", "/two/oneself", "/exact", "/exact/", "/exact/x", "/red/", "/red/x"),
        *("/red/plain/x", "/blue/x", "/blue/plain/x", "/closed", "/closed/x", "/closed/open", "/closed/open/x", "/read", "/read/x", "/one/x"),
        *("/part/x", "/a/../two/x", "//two//x", "/%74wo/x", "/old/x?a=b", "/old/inner/x/", "/fixed?a", "/moved", "/moved/x", "/kept/x"),
    ]  # fmt: skip
    hosts = [
        "one.example",
        "two.example",
        "a.b.two.example",
        "part.example",
        "x.part.example",
        "one.example:80",
        "TWO.example",
    ]
    with Pair("nginx", tmp_path, backends).running() as pair:
        found = differences(pair, requests(["GET", "POST", "DELETE"], hosts, paths, ["none"]))
    segments = {request for request in found if request.path == "/two/oneself"}
    assert any("/two/one also matches /two/onex" in line for line in pair.findings)
    redirected = {request for request, (there, here) in found.items() if (there.status, here.status) == (301, 200)}
    ambiguous = {request for request, (_, here) in found.items() if here.status == 400}
    assert {request.path for request in redirected} == {"/two"}, "nginx redirects to the same path with a slash"
    assert {request.path for request in ambiguous} == {"/exact/"}, (
        "lbjwt refuses what other servers may take for an exact path"
    )
    elsewhere = {request for request, (there, here) in found.items() if there._replace(path=here.path) == here}
    assert {request.path for request in elsewhere} == {"/kept/x", "/a/../two/x", "//two//x", "/%74wo/x"}, (
        "one change of a path was left out, and lbjwt normalizes paths"
    )
    assert any("left out: rewrite ^/[a-z]+/(.*)$" in line for line in pair.findings)
    assert found.keys() == segments | redirected | ambiguous | elsewhere


def test_haproxy_and_lbjwt_answer_alike(backends, tmp_path):
    paths = [
        "/",
        "/x",
        "/healthz",
        "/login",
        "/login/x",
        "/public/x",
        "/orders/1",
        "/admin/x",
        "/level/x",
        "/internal/x",
        "/two/x",
        "/old/x?a=b",
        "/old-fixed?a",
    ]
    with Pair("haproxy", tmp_path, backends).running() as pair:
        found = differences(pair, requests(["GET", "POST"], ["one.example", "two.example"], paths, NAMES))
    unverified = {request for request, (there, here) in found.items() if there._replace(user="") == here}
    assert {request.path for request in unverified} == {"/healthz", "/login", "/public/x"}
    assert any("X-User also comes from tokens that nobody verified" in line for line in pair.findings)
    assert found.keys() == unverified | refused_by_both(found)


def test_envoy_and_lbjwt_answer_alike(backends, tmp_path):
    paths = [
        *("/", "/x", "/healthz", "/public", "/public/x", "/maybe/x", "/second/x", "/web/x", "/admin/x", "/orders/1", "/internal/x"),
        *("/two/x", "/red/x", "/old/x?a=b", "/old", "/moved", "/moved/x"),
    ]  # fmt: skip
    asked = [
        *requests(["GET", "POST"], ["one.example"], paths, NAMES),
        *requests(["GET"], ["a.two.example", "part.example"], paths, NAMES),
    ]
    with Pair("envoy", tmp_path, backends).running() as pair:
        found = differences(pair, asked)
    assert found.keys() == refused_by_both(found)
