"""nginx, Envoy, Caddy and Traefik ask lbjwt, each with the file that docs/beside.md recommends: no request passes without a verified identity."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.beside_examples import LISTENERS
from tests.harness.short_path import short_directory
from tests.harness.waiting import eventually
from tests.integration.beside_scene import TOKENS, Scene, all_beside, beside, binary

READER = TOKENS.mint("ES256", scope="orders:read", jti="reader")
WRITER = TOKENS.mint("ES256", scope="orders:write", jti="writer")
GRPC = {"Content-Type": "application/grpc", "TE": "trailers"}
DOWN = {
    "nginx": 500,
    "envoy": 503,
    "caddy": 502,
    "traefik": 500,
    "haproxy": 503,
    "envoy-grpc": 503,
    "haproxy-lua": 503,
}  # as docs/beside.md says
EXPIRED = TOKENS.mint("ES256", scope="orders:read", lifetime=-3600)


@pytest.mark.parametrize("name", LISTENERS)
def test_a_proxy_asks_and_only_verified_requests_pass(name: str, tmp_path: Path) -> None:
    if binary(name) is None:
        pytest.skip(f"{name} is missing")
    with beside(name, tmp_path) as scene:
        passes(scene, name)
        is_refused(scene, name)
        loses_forged_headers(scene)
        says_what_it_would_refuse(scene)
        is_revoked(scene)
        fails_closed(scene, DOWN[name])


def test_over_unix_sockets_it_is_the_same(tmp_path: Path) -> None:
    """Who may connect is trusted: the client is the one that the proxy names, and forged headers are lost as over TCP."""
    names = ["nginx", "envoy", "caddy", "haproxy", "envoy-grpc"]
    if missing := [name for name in names if binary(name) is None]:
        pytest.skip(f"{missing[0]} is missing")
    with short_directory() as sockets, all_beside(names, tmp_path, sockets) as scenes:
        assert len(list(sockets.iterdir())) == 6
        for scene in scenes:
            reply = scene.ask("GET", "/orders/1", READER, {"X-Jwt-Sub": "mallory", "X_Jwt_Sub": "mallory"})
            assert (reply.status, reply.subject) == (200, "alice")
            assert [scene.ask("POST", "/orders", token).status for token in (None, EXPIRED, READER)] == [401, 401, 403]
        fails_closed(scenes[0], DOWN["nginx"])
        assert list(sockets.iterdir()) == []


def passes(scene: Scene, name: str) -> None:
    """Good tokens, and public paths, with a body too; the application gets the subject, and from Envoy no token."""
    (seen,) = scene.ask("GET", "/orders/1", READER).seen
    assert (b"authorization:" in seen.head.lower()) is not name.startswith("envoy")
    for _ in range(3):
        assert scene.ask("GET", "/orders/1?a=b", READER).subject == "alice"
    posted = scene.ask("POST", "/orders", WRITER, body=b"x" * 70_000)
    assert (posted.status, posted.subject, posted.seen[0].body_size) == (200, "alice", 70_000)
    assert scene.ask("HEAD", "/orders/1", READER).subject == "alice"
    assert scene.ask("OPTIONS", "/orders/1", WRITER).subject == "alice"
    assert scene.ask("GET", "/version").subject == ""


def is_refused(scene: Scene, name: str) -> None:
    """No token, an expired one, one without the scope for the method, a path in disguise, gRPC: none reaches the application."""
    challenged = scene.ask("GET", "/orders/1")
    assert (challenged.status, challenged.seen) == (401, [])
    assert challenged.headers["www-authenticate"].startswith("Bearer realm=")
    assert name == "nginx" or challenged.body.removesuffix(b"\n") == b"unauthorized"  # nginx has a page of its own
    grpc = {200} if name.startswith("envoy") else None  # which turns what it is told into a status of gRPC itself
    cases = [
        ("GET", "/orders/1", EXPIRED, {}, {401}),
        ("GET", "/orders/1", "x.y.z", {}, {401}),
        ("POST", "/orders", READER, {}, {403}),
        ("DELETE", "/orders/1", READER, {}, {403}),
        ("POST", "/shop.Orders/Get", None, GRPC, grpc or {403, 404}),
        ("POST", "/orders", None, GRPC, grpc or {401}),
        ("GET", "/elsewhere", READER, {}, {403} if name == "nginx" else {404}),
        ("GET", "/version/../orders/1", None, {}, {400, 401, 403}),
        ("GET", "/orders/../version", None, {}, {200, 400, 401, 403}),
        ("GET", "/version/..%2forders/1", None, {}, {400, 401, 403, 404}),
        ("GET", "/%2e%2e/orders/1", None, {}, {400, 401, 403}),
        ("GET", "//orders/1", None, {}, {400, 401, 403, 404}),
    ]
    for method, path, token, headers, expected in cases:
        reply = scene.ask(method, path, token, headers)
        assert reply.status in expected, (method, path, reply)
        # Only Envoy and Traefik resolve the dots themselves, before they ask.
        assert [one.target for one in reply.seen] in ([], ["/version"]), (method, path, reply)
        assert (reply.status == 200) is (reply.seen != [] or (headers is GRPC and grpc is not None)), (
            method,
            path,
            reply,
        )
    # What describes the request to lbjwt is the proxy's to say.
    for header in ("X-Original-URI", "X-Forwarded-Uri"):
        assert scene.ask("GET", "/orders/1", None, {header: "/version"}).status == 401
    for header in ("X-Original-Method", "X-Forwarded-Method"):
        assert scene.ask("POST", "/orders", READER, {header: "GET"}).status == 403


def loses_forged_headers(scene: Scene) -> None:
    """A client's own identity header, in each spelling: the application never sees it. `subject` looks at every spelling."""
    for header in ("X-Jwt-Sub", "X_Jwt_Sub", "x_jwt-sub"):
        assert scene.ask("GET", "/orders/1", READER, {header: "mallory"}).subject == "alice"
        assert scene.ask("GET", "/version", None, {header: "mallory"}).subject == ""
        nobody = TOKENS.mint("ES256", scope="orders:read", sub=None)
        assert scene.ask("GET", "/orders/1", nobody, {header: "mallory"}).subject == ""


def says_what_it_would_refuse(scene: Scene) -> None:
    """On a route that only reports, the application learns the reason from lbjwt and never from the client."""
    header = "X-Jwt-Would-Refuse"
    reporting = TOKENS.mint("ES256", scope="reports:read")
    for forged in ({}, {header: "none"}, {"X_Jwt_Would_Refuse": "none"}, {"x-jwt_would-refuse": "none"}):
        assert scene.ask("GET", "/reports/1", None, forged).told(header) == "missing;status=401"
        assert scene.ask("GET", "/reports/1", READER, forged).told(header) == "insufficient_scope;status=403"
        for path, token in (("/reports/1", reporting), ("/orders/1", READER), ("/version", None)):
            assert scene.ask("GET", path, token, forged).told(header) == ""


def is_revoked(scene: Scene) -> None:
    """A revoked token stops passing, though it passed before."""
    token = TOKENS.mint("ES256", scope="orders:read", jti="gone")
    assert scene.ask("GET", "/orders/1", token).status == 200
    status, body = scene.balancer.admin_post("/revocations", {"issuer": TOKENS.issuer, "jti": "gone"})
    assert status in (200, 201, 202), body
    assert eventually(lambda: scene.ask("GET", "/orders/1", token).status == 401)
    assert scene.ask("GET", "/orders/1", READER).status == 200


def fails_closed(scene: Scene, status: int) -> None:
    """Without lbjwt nothing passes."""
    scene.balancer.stop()
    for path, token in (("/orders/1", READER), ("/version", None)):
        reply = scene.ask("GET", path, token)
        assert (reply.status, reply.seen) == (status, [])
