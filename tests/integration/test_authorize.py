"""Listeners with `mode: authorize` over real sockets: what is asked, by whom, and what is answered. test_beside.py has the proxies."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.harness.balancer import Balancer
from tests.harness.ports import free_port
from tests.harness.tokens import TokenFactory
from tests.harness.waiting import eventually

TOKENS = TokenFactory()
GOOD = TOKENS.mint("ES256", scope="read")
AUTH = f"Authorization: Bearer {GOOD}"
SECRET = "correct-horse-battery-staple"
NEXT_SECRET = "another-horse-battery-staple"
FORWARDED = {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/read/1", "X-Forwarded-Host": "api.example"}
ORIGINAL = {"X-Original-Method": "GET", "X-Original-URI": "/read/1", "X-Original-Host": "api.example"}
WHOLE = {"X-Original-Method": "GET", "X-Original-URL": "https://api.example/read/1"}

ROUTES = [
    {"name": "read", "hosts": ["api.example"], "prefix": "/read", "methods": ["GET"], "scopes": {"all": ["read"]}},
    {"name": "write", "hosts": ["api.example"], "prefix": "/read", "scopes": {"all": ["write"]}},
    {"name": "preflight", "hosts": ["api.example"], "prefix": "/read", "methods": ["OPTIONS"], "public": True},
    {"name": "public", "prefix": "/public", "public": True},
    {"name": "report", "prefix": "/report", "report_only": True, "scopes": {"all": ["write"]}},
    {"name": "login", "prefix": "/login", "refusals": {"redirect": "https://login.example/?return={url}"}},
    {"name": "hidden", "prefix": "/hidden", "scopes": {"all": ["write"]}, "refusals": {"statuses": {"403": 404}}},
    {"name": "json", "prefix": "/json", "refusals": {"format": "json", "expose_reason": True}},
]  # fmt: skip


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Asker:
    """The listeners of one lbjwt, by name, and questions to them."""

    def __init__(self, balancer: Balancer, ports: dict[str, int]) -> None:
        self.balancer = balancer
        self.ports = ports

    def connect(self, listener: str) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.ports[listener]), 30)

    def send(self, listener: str, *requests: bytes) -> list[Answer]:
        """The answers to requests that are sent at once on one connection."""
        with self.connect(listener) as connection:
            connection.sendall(b"".join(requests))
            file = connection.makefile("rb")
            return [read(file, head=request.startswith(b"HEAD")) for request in requests]

    def ask(
        self, listener: str, *lines: str, method: str = "GET", target: str = "/", host: str = "lbjwt", **fields: str
    ) -> Answer:
        named = [f"{name.replace('__', '-')}: {value}" for name, value in fields.items()]
        return self.send(listener, request(*lines, *named, method=method, target=target, host=host))[0]


def request(*lines: str, method: str = "GET", target: str = "/", host: str = "lbjwt", body: bytes = b"") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode() + body


def described(fields: dict[str, str], **changes: str) -> list[str]:
    """Lines of a description; an underscore in a name stands for a hyphen, an empty value leaves it out."""
    changed = fields | {name.replace("_", "-"): value for name, value in changes.items()}
    return [f"{name}: {value}" for name, value in changed.items() if value]


def read(file: Any, *, head: bool = False) -> Answer:
    status = int(file.readline().split(b" ")[1])
    headers: dict[str, str] = {}
    while (line := file.readline().strip()) != b"":
        name, _, value = line.decode().partition(":")
        assert name.lower() not in headers, name
        headers[name.lower()] = value.strip()
    return Answer(status, headers, b"" if head else file.read(int(headers["content-length"])))


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    folder = tmp_path_factory.mktemp("authorize")
    (folder / "secret").write_text(f"{SECRET}\n{NEXT_SECRET}\n")
    sections: dict[str, dict[str, Any]] = {
        "nginx": {"profile": "nginx"},
        "envoy": {"profile": "envoy"},
        "caddy": {"profile": "caddy"},
        "strangers": {"profile": "envoy", "trusted_peers": ["192.0.2.0/24"]},
        "secret": {"profile": "envoy", "secret_file": str(folder / "secret"), "secret_header": "X-Between-Us"},
    }
    ports = {name: free_port() for name in sections}
    listeners = [
        {"address": f"127.0.0.1:{port}", "mode": "authorize", "h2c": True, "authorize": sections[name]}
        for name, port in ports.items()
    ]
    with Balancer(
        folder,
        TOKENS,
        [],
        listeners=listeners,
        clusters=...,
        routes=ROUTES,
        claim_to_headers=[{"claim": "sub", "header": "X-Jwt-Sub"}, {"claim": "role", "header": "X-Jwt-Role"}],
        issuers={
            "main": {
                "from_headers": [{"name": "Authorization", "scheme": "Bearer", "forward": False}],
                "from_params": [{"name": "token", "forward": False}],
            }
        },
        fail_limit={"failures": 3, "window": "1h"},
        trusted_proxies=...,
        realm="shop",
    ) as balancer:  # fmt: skip
        yield Asker(balancer, ports)


# --- the answer -------------------------------------------------------------------------------------------------------


def test_a_good_token_is_answered_with_200_and_every_identity_header(asker: Asker) -> None:
    """Empty where there is no claim; what the proxy should remove is named; nothing else."""
    answer = asker.ask("envoy", AUTH, target="/read/1?a=b", host="api.example")
    assert (answer.status, answer.body) == (200, b"")
    assert (answer.headers["x-jwt-sub"], answer.headers["x-jwt-role"]) == ("alice", "")
    removed = answer.headers["x-envoy-auth-headers-to-remove"].split(", ")
    assert removed[0] == "Authorization" and {"x_jwt_sub", "x_jwt-role"} < set(removed)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/public/a", "/report/a"])
def test_without_an_accepted_token_all_identity_headers_are_empty(asker: Asker, path: str) -> None:
    """On public routes, also with a good token, and on those that only report."""
    answer = asker.ask("envoy", target=path)
    assert (answer.status, answer.headers["x-jwt-sub"], answer.headers["x-jwt-role"]) == (200, "", "")
    assert asker.ask("envoy", AUTH, target="/public/a").headers["x-jwt-sub"] == ""


@pytest.mark.parametrize(
    "content_type", ["application/grpc", "application/grpc+proto", "application/grpc-web", "application/grpc-web-text"]
)
@pytest.mark.parametrize("listener", ["envoy", "nginx"])
def test_grpc_callers_are_refused_with_a_status(asker: Asker, content_type: str, listener: str) -> None:
    """Their usual refusal is HTTP 200, which a proxy takes for permission: also for a path without a route, and over HTTP/2."""
    lines = [*described(ORIGINAL, X_Original_Method="POST"), f"Content-Type: {content_type}", "TE: trailers"]
    assert asker.ask(listener, *lines, method="POST", target="/read/1", host="api.example").status == 401
    lines = [*described(ORIGINAL, X_Original_URI="/none"), f"Content-Type: {content_type}"]
    assert asker.ask(listener, *lines, method="POST", target="/none").status in (403, 404)
    with httpx.Client(http1=False, http2=True, timeout=60) as client:
        url = f"http://127.0.0.1:{asker.ports[listener]}/read/1"
        for more in ({}, {"x-original-method": "TRACE"}, {"x-original-host": "a b"}):
            fields = {
                "host": "api.example",
                "content-type": content_type,
                **{k.lower(): v for k, v in ORIGINAL.items()},
                **more,
            }
            response = client.post(url, headers=fields)
            assert (
                response.http_version == "HTTP/2"
                and response.status_code >= 400
                and "grpc-status" not in response.headers
            )


def test_what_nginx_cannot_take_is_mapped(asker: Asker) -> None:
    """The real status is told; the challenge goes along with a 401 alone."""
    cases = [
        (described(ORIGINAL, X_Original_URI="/none"), 403, "404"),
        (described(ORIGINAL, X_Original_URI="/hidden"), 401, None),
        ([*described(ORIGINAL, X_Original_URI="/hidden"), AUTH], 403, "404"),
        ([*described(ORIGINAL), AUTH, AUTH], 401, "400"),
        ([*described(ORIGINAL, X_Original_URI="/a%2fb")], 403, "400"),
        ([*described(ORIGINAL, X_Original_Host="")], 403, "400"),
        ([*described(ORIGINAL, X_Original_Method="TRACE")], 403, "405"),
        ([*described(ORIGINAL), "Content-Length: 1", "Content-Length: 2"], 403, "400"),
    ]
    for lines, status, meant in cases:
        answer = asker.ask("nginx", *lines)
        assert (answer.status, answer.headers.get("x-lbjwt-status")) == (status, meant), lines
        assert ("www-authenticate" in answer.headers) is (status == 401), lines
    assert asker.ask("envoy", AUTH, target="/hidden").status == 404


def test_browsers_are_redirected_where_the_proxy_passes_it_on(asker: Asker) -> None:
    """To the URL of the original request, with its scheme and without its token; nginx has no redirects."""
    page = ["Accept: text/html", "X-Forwarded-Proto: https"]
    answer = asker.ask("caddy", *page, *described(FORWARDED, X_Forwarded_Uri="/login/a?token=x.y.z"))
    assert answer.status == 302
    assert answer.headers["location"] == "https://login.example/?return=https%3A%2F%2Fapi.example%2Flogin%2Fa"
    answer = asker.ask("nginx", *page, *described(ORIGINAL, X_Original_URI="/login/a"))
    assert answer.status == 401 and "location" not in answer.headers


def test_a_problem_document_reaches_the_client(asker: Asker) -> None:
    answer = asker.ask("caddy", *described(FORWARDED, X_Forwarded_Uri="/json"))
    assert (answer.status, answer.headers["content-type"]) == (401, "application/problem+json")
    assert b'"reason": "missing"' in answer.body


def test_head_and_options(asker: Asker) -> None:
    """A HEAD question has no body in its answer, and one about a HEAD request is an ordinary GET. A preflight has its own route."""
    refused, allowed, last = asker.send(
        "envoy",
        request(method="HEAD", target="/read/1", host="api.example"),
        request(AUTH, method="HEAD", target="/read/1", host="api.example"),
        request(method="OPTIONS", target="/read/1", host="api.example"),
    )
    assert (refused.status, allowed.status, last.status) == (401, 200, 200)
    about_head = described(FORWARDED, X_Forwarded_Method="HEAD")
    refused, allowed = asker.send("caddy", request(*about_head), request(AUTH, *about_head))
    assert (refused.status, refused.body, allowed.status) == (401, b"unauthorized\n", 200)
    assert asker.ask("caddy", *described(FORWARDED, X_Forwarded_Method="OPTIONS")).status == 200


def test_kept_and_pipelined_connections_and_bodies(asker: Asker) -> None:
    """Each question gets its own answer, in order; a body with a question is skipped."""
    body = b"GET /public/a HTTP/1.1\r\nHost: x\r\n\r\n" * 100
    answers = asker.send(
        "envoy",
        request(AUTH, target="/read/1", host="api.example"),
        request(AUTH, f"Content-Length: {len(body)}", method="POST", target="/public/a", body=body),
        request(target="/read/1", host="api.example"),
        request(AUTH, method="POST", target="/read/1", host="api.example"),
        request(AUTH, target="/public/a"),
    )
    assert [answer.status for answer in answers] == [200, 200, 401, 403, 200]
    assert [answer.headers.get("x-jwt-sub") for answer in answers] == ["alice", "", None, None, ""]
    chunked = request(
        AUTH, "Transfer-Encoding: chunked", method="POST", target="/public/a", body=b"1\r\na\r\n0\r\n\r\n"
    )
    assert asker.send("envoy", chunked)[0].status == 200
    upgrade = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    about = request(AUTH, *upgrade, target="/read/1", host="api.example")
    assert [answer.status for answer in asker.send("envoy", about, request(), about)] == [200, 404, 200]


# --- the question -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("listener", "fields"), [("caddy", FORWARDED), ("nginx", ORIGINAL), ("nginx", WHOLE)])
def test_each_part_must_be_there_once(asker: Asker, listener: str, fields: dict[str, str]) -> None:
    """Missing, empty, twice, or with something that cannot be a method, target or host: refused, whatever the question itself asks for."""
    asked = {"method": "GET", "target": "/read/1", "host": "api.example"}
    status = 400 if listener == "caddy" else 403
    assert asker.ask(listener, AUTH, *described(fields), **asked).status == 200
    assert asker.ask(listener, AUTH, **asked).status == status
    for name, value in fields.items():
        for lines in (
            described(fields, **{name: ""}),
            [*described(fields), f"{name}: {value}"],
            [*described(fields), f"{name}:"],
            [*described(fields), f"{name}: /public"],
            [*described(fields, **{name: ""}), f"{name.replace('-', '_')}: {value}"],
            described(fields, **{name: f"{value} x"}),
            described(fields, **{name: f"{value}, {value}"}),
            described(fields, **{name: f"\t{value}\t\x0b"}),
        ):
            answer = asker.ask(listener, AUTH, *lines, **asked)
            assert answer.status >= 400, lines


def test_two_descriptions_are_refused(asker: Asker) -> None:
    """X-Original-URL beside its parts; fields of another kind of description say nothing."""
    lines = [AUTH, *described(ORIGINAL), f"X-Original-URL: {WHOLE['X-Original-URL']}"]
    assert asker.ask("nginx", *lines).status == 403
    other = described(ORIGINAL, X_Original_URI="/public", X_Original_Method="GET")
    assert asker.ask("caddy", *described(FORWARDED, X_Forwarded_Method="POST"), *other, AUTH).status == 403
    assert asker.ask("envoy", *other, *described(FORWARDED), target="/read/1", host="api.example").status == 401


@pytest.mark.parametrize(
    "url",
    [
        "api.example/read/1",
        "ftp://api.example/read/1",
        "https://api.example",
        "https:///read/1",
        "https://api.example?a",
        "https://user@api.example/read/1",
    ],
)
def test_an_original_url_has_scheme_host_and_path(asker: Asker, url: str) -> None:
    assert asker.ask("nginx", AUTH, *described(WHOLE, X_Original_URL=url)).status == 403


def test_the_method_and_the_host_decide(asker: Asker) -> None:
    """A POST that is asked about by a GET is judged as a POST; a route of another host does not match."""
    assert asker.ask("caddy", AUTH, *described(FORWARDED, X_Forwarded_Method="POST")).status == 403
    assert asker.ask("caddy", AUTH, *described(FORWARDED, X_Forwarded_Method="get")).status == 400
    assert asker.ask("caddy", AUTH, *described(FORWARDED, X_Forwarded_Host="other.example")).status == 404
    assert asker.ask("caddy", AUTH, *described(FORWARDED, X_Forwarded_Host="API.example:8443")).status == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/public/../read/1", 400), ("/read/../public", 400), ("/public/./../public/a", 200), ("/public//a", 200), ("//public/a", 400),
        ("/read/%2e%2e/public", 400),
        ("/public/..%2fread/1", 400), ("/public/%252e%252e/read", 400), ("/public;/../read/1", 400), ("/public/%7Ea", 200), ("/p%75blic/a", 400),
        ("/public/A", 200), ("*", 400),
    ],
)  # fmt: skip
def test_a_path_means_the_same_however_it_is_read(asker: Asker, path: str, status: int) -> None:
    """The proxy forwards it as it was sent, so it must be under the same route as it stands and in its canonical form."""
    for token in ([], [AUTH]):
        assert asker.ask("envoy", *token, target=path, host="api.example").status == status
        assert asker.ask("caddy", *token, *described(FORWARDED, X_Forwarded_Uri=path)).status == status


def test_a_token_in_the_described_query(asker: Asker) -> None:
    answer = asker.ask("caddy", *described(FORWARDED, X_Forwarded_Uri=f"/read/1?token={GOOD}"))
    assert (answer.status, answer.headers["x-jwt-sub"]) == (200, "alice")
    assert asker.ask("caddy", *described(FORWARDED), target=f"/read/1?token={GOOD}").status == 401


def test_an_identity_header_in_another_spelling_is_refused(asker: Asker) -> None:
    """A proxy would pass it on, and many applications take it for the one that lbjwt answers. In its own spelling it is replaced."""
    for name in ("X_Jwt_Sub", "x-jwt_role", "X.Jwt.Sub"):
        assert asker.ask("envoy", AUTH, f"{name}: mallory", target="/read/1", host="api.example").status == 400
    answer = asker.ask("envoy", AUTH, "X-Jwt-Sub: mallory", "X-Jwt-Role: admin", target="/read/1", host="api.example")
    assert (answer.headers["x-jwt-sub"], answer.headers["x-jwt-role"]) == ("alice", "")


# --- who asks ---------------------------------------------------------------------------------------------------------


def test_strangers_may_not_ask(asker: Asker) -> None:
    """Whatever they ask; the log says who they are, not whom they name."""
    for lines in ([AUTH], [AUTH, "X-Forwarded-For: 192.0.2.1"]):
        assert asker.ask("strangers", *lines, target="/strangers/a", host="api.example").status == 403

    def logged() -> list[dict[str, Any]]:
        return [line for line in asker.balancer.access_log() if line["path"] == "/strangers/a"]

    assert eventually(lambda: len(logged()) == 2)
    assert {(line["client"], line["reason"], line["status"]) for line in logged()} == {
        ("127.0.0.1", "untrusted_peer", 403)
    }


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([f"X-Between-Us: {SECRET}"], 200), ([f"x-between-us: {NEXT_SECRET}"], 200), ([], 403), (["X-Between-Us: "], 403),
        ([f"X-Between-Us: {SECRET}x"], 403),
        ([f"X-Between-Us: {SECRET}", f"X-Between-Us: {SECRET}"], 403), ([f"X_Between_Us: {SECRET}"], 403), ([f"X-Lbjwt-Secret: {SECRET}"], 403),
    ],
)  # fmt: skip
def test_a_question_needs_the_secret(asker: Asker, lines: list[str], status: int) -> None:
    assert asker.ask("secret", AUTH, *lines, target="/read/1", host="api.example").status == status


def test_the_secret_is_in_no_log(asker: Asker) -> None:
    asker.ask("secret", AUTH, f"X-Between-Us: {SECRET}", target="/secret-seen", host="api.example")
    assert eventually(lambda: any(line["path"] == "/secret-seen" for line in asker.balancer.access_log()))
    text = asker.balancer.access_log_path.read_text() + asker.balancer.stderr
    assert SECRET not in text and NEXT_SECRET not in text


def test_limits_go_by_the_client_that_the_proxy_names(asker: Asker) -> None:
    """The last address of X-Forwarded-For: what the client itself wrote before it counts for nothing."""
    bad = "Authorization: Bearer " + TOKENS.mint("ES256", lifetime=-3600)
    for number in range(3):
        lines = [bad, f"X-Forwarded-For: 198.51.100.{number}, 203.0.113.9"]
        assert asker.ask("envoy", *lines, target="/read/1", host="api.example").status == 401
    for client, status in (("203.0.113.9", 429), ("203.0.113.10", 401)):
        lines = [bad.replace("Bearer ", "Bearer x"), f"X-Forwarded-For: {client}"]
        assert asker.ask("envoy", *lines, target="/read/1", host="api.example").status == status


def test_the_log_has_the_original_request(asker: Asker) -> None:
    lines = [
        *described(FORWARDED, X_Forwarded_Method="DELETE", X_Forwarded_Uri="/read/logged?token=x"),
        "X-Forwarded-For: 203.0.113.77",
        "X-Request-Id: of-the-proxy",
    ]
    assert asker.ask("caddy", *lines).status >= 400

    def logged() -> list[dict[str, Any]]:
        return [line for line in asker.balancer.access_log() if line["path"] == "/read/logged"]

    assert eventually(logged)
    (line,) = logged()
    assert (line["method"], line["host"], line["client"], line["route"], line["request_id"]) == (
        "DELETE", "api.example", "203.0.113.77", "write", "of-the-proxy",
    )  # fmt: skip
    assert "peer" not in line or line["peer"] == "127.0.0.1"


def test_questions_are_counted_as_requests_of_their_routes(asker: Asker) -> None:
    before = asker.balancer.metric("lbjwt_route_requests_total", route="public", status_class="2xx")
    assert asker.ask("envoy", target="/public/counted").status == 200
    assert eventually(
        lambda: asker.balancer.metric("lbjwt_route_requests_total", route="public", status_class="2xx") > before
    )
