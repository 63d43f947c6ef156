"""Listeners that HAProxy asks over SPOE and Envoy by gRPC, over real sockets. tests/integration/test_beside.py has the proxies themselves."""

from __future__ import annotations

import ipaddress
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.service.auth.v3 import external_auth_pb2 as auth
from google.protobuf.json_format import MessageToDict

from tests.harness.balancer import Balancer
from tests.harness.keyserver import KeyServer
from tests.harness.ports import free_port
from tests.harness.processes import wait_for_port
from tests.harness.publisher import Issuer
from tests.harness.spop import (
    ACK,
    AGENT_DISCONNECT,
    AGENT_HELLO,
    HAPROXY_DISCONNECT,
    Connection,
    frame,
    frames,
    hello,
    notify,
    pairs,
    question,
)
from tests.harness.waiting import eventually

CHECK = "/envoy.service.auth.v3.Authorization/Check"
PORTS = ("spoe", "check", "elsewhere", "secret")
CLIENTS = map(str, ipaddress.ip_network("198.51.100.0/24"))  # for questions that are not to count against other clients


def bearer(issuer: Issuer, **claims: Any) -> tuple[str, str]:
    return "authorization", f"Bearer {issuer.mint(scope='read', **claims)}"


class Asked:
    """One lbjwt with all listeners, and its issuer."""

    def __init__(self, balancer: Balancer, issuer: Issuer, ports: dict[str, int]) -> None:
        self.balancer = balancer
        self.issuer = issuer
        self.ports = ports

    def bearer(self, **claims: Any) -> tuple[str, str]:
        return bearer(self.issuer, **claims)

    def spop(self) -> Connection:
        """A connection on which hellos were exchanged."""
        connection = Connection(self.ports["spoe"])
        connection.greet()
        return connection

    def log(self) -> list[dict[str, Any]]:
        return self.balancer.access_log()


def settings(issuer: Issuer, ports: dict[str, int], directory: Path) -> dict[str, Any]:
    (directory / "secret").write_text("correct-horse-battery-staple\n")

    def listener(name: str, **changes: Any) -> dict[str, Any]:
        http2 = {"h2c": True} if changes["profile"] == "envoy-grpc" else {}
        return {"address": f"127.0.0.1:{ports[name]}", "mode": "authorize", "authorize": changes, **http2}

    return {
        "listeners": [
            listener("spoe", profile="haproxy"),
            listener("elsewhere", profile="haproxy", trusted_peers=["192.0.2.0/24"]),
            listener("check", profile="envoy-grpc", dynamic_metadata=["sub", "roles", "none"]),
            listener("secret", profile="envoy-grpc", secret_file=str(directory / "secret")),
        ],
        "clusters": ...,
        "issuers": {
            "main": {
                "issuer": issuer.issuer,
                "jwks_file": ...,
                "remote_jwks": {"uri": issuer.jwks_uri, "cooldown": "1s"},
                "from_headers": [{"name": "Authorization", "scheme": "Bearer", "forward": False}],
                "from_cookies": [{"name": "session"}],
                "from_params": [{"name": "access_token"}],
            }
        },
        "claim_to_headers": [{"claim": "sub", "header": "X-Jwt-Sub"}, {"claim": "tenant", "header": "X-Jwt-Tenant"}],
        "trusted_proxies": ["192.0.2.64/26"],
        "fail_limit": {"failures": 5, "window": "1h"},
        "routes": [
            {"name": "read", "prefix": "/read", "methods": ["GET"], "scopes": {"all": ["read"]}},
            {"name": "write", "prefix": "/read", "scopes": {"all": ["write"]}},
            {"name": "open", "prefix": "/open", "public": True},
            {"name": "login", "prefix": "/login", "refusals": {"redirect": "https://login.example/?return={url}"}},
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    directory = tmp_path_factory.mktemp("agents")
    ports = {name: free_port() for name in PORTS}
    with KeyServer() as server:
        issuer = Issuer(server, algorithms=("ES256", "ES256", "ES256"))
        with Balancer(directory, issuer, [], **settings(issuer, ports, directory)) as balancer:
            yield Asked(balancer, issuer, ports)


@contextmanager
def signing_with(issuer: Issuer, number: int) -> Iterator[None]:
    """It has published one more key, and signs with it."""
    before = issuer.signing
    issuer.published = issuer.pool[: number + 1]
    issuer.signing = issuer.pool[number]
    try:
        yield
    finally:
        issuer.signing = before


# --- HAProxy ----------------------------------------------------------------------------------------------------------


def test_an_allowed_request_gets_every_identity_header(asked: Asked) -> None:
    """A claim that the token lacks is an empty variable: what the client sent under its name must not stay."""
    with asked.spop() as haproxy:
        said = haproxy.ask(asked.bearer(), target="/read/1")
        assert said.pop("request_id")
        assert said == {
            "allowed": True, "status": 200, "reason": "", "header.x_jwt_sub": "alice", "header.x_jwt_tenant": "",
        }  # fmt: skip
        said = haproxy.ask(target="/open")
    assert (said["allowed"], said["header.x_jwt_sub"], said["header.x_jwt_tenant"]) == (True, "", "")


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        ({}, 401, "missing"),
        ({"method": "POST", "good": True}, 403, "insufficient_scope"),
        ({"target": "/nowhere", "good": True}, 404, "no_route"),
        ({"target": "/open/..%2fread"}, 400, "ambiguous_path"),
        ({"target": "/open/../read"}, 400, "ambiguous_path"),
        ({"target": "/read/1 2"}, 400, "not_described"),
        ({"host": "a b"}, 400, "invalid_host"),
        ({"method": "TRACE"}, 405, "method_not_allowed"),
        ({"headers": b"\0\0"}, 400, "missing_host"),
        ({"headers": b""}, 400, "not_described"),
        ({"headers": None}, 400, "not_described"),
        ({"client": None, "https": None}, 400, "not_described"),
    ],
)
def test_a_refused_request_says_status_and_reason(
    asked: Asked, arguments: dict[str, Any], status: int, reason: str
) -> None:
    changes = {"target": "/read/1", **arguments}
    fields = [asked.bearer()] if changes.pop("good", False) else []
    with asked.spop() as haproxy:
        if "headers" in changes or changes.get("client", "") is None:
            haproxy.send(notify(question() | changes, 7, 1))
            kind, stream, number, said = haproxy.receive()
            assert (kind, stream, number) == (ACK, 7, 1)
        else:
            said = haproxy.ask(*fields, **changes)
        assert (said["allowed"], said["status"], said["reason"]) == (False, status, reason)
        assert not any(name.startswith("header.") for name in said)
        assert haproxy.ask(target="/open")["allowed"]  # the connection goes on


def test_a_refusal_has_what_a_response_needs(asked: Asked) -> None:
    with asked.spop() as haproxy:
        said = haproxy.ask(target="/read/1")
        assert said["answer.www_authenticate"].startswith("Bearer realm=")
        assert said["answer.body"] == "unauthorized"  # HAProxy would write a line break as %0A
        said = haproxy.ask(("accept", "text/html"), ("sec-fetch-mode", "navigate"), target="/login/x?a=1", https=True)
        assert (said["status"], said["answer.location"]) == (
            302, "https://login.example/?return=https%3A%2F%2Fapi.example%2Flogin%2Fx%3Fa%3D1",
        )  # fmt: skip


def test_a_grpc_client_without_a_token_gets_no_200(asked: Asked) -> None:
    with asked.spop() as haproxy:
        said = haproxy.ask(("content-type", "application/grpc"), ("te", "trailers"), method="POST", target="/read/1")
    assert (said["allowed"], said["status"]) == (False, 401)


def test_two_tokens_and_forged_spellings_are_refused(asked: Asked) -> None:
    with asked.spop() as haproxy:
        assert haproxy.ask(asked.bearer(), asked.bearer(), target="/read/1")["reason"] == "multiple_tokens"
        assert haproxy.ask(asked.bearer(), ("x_jwt_sub", "mallory"), target="/read/1")["reason"] == "field_name"
        assert haproxy.ask(asked.bearer(), ("x-jwt-sub", "mallory"), target="/read/1")["header.x_jwt_sub"] == "alice"


def test_the_client_is_the_one_that_haproxy_names(asked: Asked) -> None:
    """Bad tokens count under its address; a client that is a proxy of ours is believed about its own."""
    with asked.spop() as haproxy:
        for _ in range(5):
            assert haproxy.ask(("authorization", "Bearer a.b.c"), client="203.0.113.7", target="/read")["status"] == 401
        bad = ("authorization", "Bearer d.e.f")
        assert haproxy.ask(bad, client="203.0.113.7", target="/read")["status"] == 429
        assert haproxy.ask(bad, client="203.0.113.8", target="/read")["status"] == 401
        behind = ("x-forwarded-for", "203.0.113.7")
        assert haproxy.ask(bad, behind, client="192.0.2.65", target="/read")["status"] == 429
        assert haproxy.ask(bad, behind, client="192.0.2.1", target="/read")["status"] == 401
        haproxy.ask(asked.bearer(), client="2001:db8::7", target="/read/log?access=no")
    assert eventually(lambda: any(line["path"] == "/read/log" for line in asked.log()))
    (line,) = [line for line in asked.log() if line["path"] == "/read/log"]
    assert (line["client"], line["status"], line["route"], line["host"]) == ("2001:db8::7", 200, "read", "api.example")


def test_a_question_waits_for_a_new_key(asked: Asked) -> None:
    with asked.spop() as haproxy, signing_with(asked.issuer, 1):
        assert eventually(
            lambda: haproxy.ask(asked.bearer(), target="/read/1", client=next(CLIENTS))["allowed"]
        )  # not within the cooldown


def test_a_question_may_come_in_any_pieces(asked: Asked) -> None:
    with asked.spop() as haproxy:
        for byte in notify(question(asked.bearer(), target="/read/1")):
            haproxy.send(bytes([byte]))
        assert haproxy.receive()[3]["allowed"]
        haproxy.send(notify(question(target="/open"), 1, 1) + notify(question(target="/read"), 1, 2))
        assert [haproxy.receive()[3]["allowed"] for _ in range(2)] == [True, False]


def test_a_question_must_be_whole_in_time(tmp_path: Path) -> None:
    """However often a part of it comes."""
    port = free_port()
    listener = {"address": f"127.0.0.1:{port}", "mode": "authorize", "authorize": {"profile": "haproxy"}}
    changes: dict[str, Any] = {"listeners": [listener], "clusters": ..., "timeouts": {"request_head": "1s"}}
    with (
        KeyServer() as server,
        Balancer(tmp_path, Issuer(server, algorithms=("ES256",)), [], **changes),
        Connection(port) as haproxy,
    ):
        haproxy.greet()
        haproxy.socket.settimeout(0.2)
        for byte in notify(question(target="/open")):
            haproxy.send(bytes([byte]))
            with suppress(TimeoutError):
                answer = haproxy.socket.recv(4096)
                break
        else:
            pytest.fail("the connection is still open")
    assert [kind for kind, *_ in frames(answer)] == [AGENT_DISCONNECT]


def test_an_answer_that_haproxy_has_no_room_for_denies(asked: Asked) -> None:
    with Connection(asked.ports["spoe"]) as haproxy:
        assert haproxy.greet(max_frame_size=256)["max-frame-size"] == 256
        haproxy.send(notify(question(asked.bearer(sub="a" * 300), target="/read/1")))
        assert haproxy.receive()[3] == {"allowed": False, "status": 503, "reason": "answer_too_large"}
        assert haproxy.ask(asked.bearer(), target="/read/1")["allowed"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 3),
        (b"\x00\x01\x00\x01", 3),
        (frame(1, b"\x01"), 4),
        (hello(supported_versions="1.0"), 8),
        (notify(question()), 4),
        (hello() + hello(), 4),
        (hello() + frame(3, b"", 1, 1, flags=0), 10),
        (hello() + frame(0, b"", 1, 1), 10),
        (b"\x00\x00\x00\x02\x01\x00", 4),
        (hello() + frame(HAPROXY_DISCONNECT, pairs({"status-code": 0, "message": "bye"})), 0),
    ],
)
def test_what_is_no_question_ends_the_connection(asked: Asked, sent: bytes, status: int) -> None:
    with Connection(asked.ports["spoe"]) as haproxy:
        haproxy.send(sent)
        kind, _, _, said = haproxy.receive()
        if kind == AGENT_HELLO:
            kind, _, _, said = haproxy.receive()
        assert (kind, said["status-code"]) == (AGENT_DISCONNECT, status)
        with pytest.raises(EOFError):
            haproxy.receive()


def test_frames_of_unknown_types_are_skipped(asked: Asked) -> None:
    with asked.spop() as haproxy:
        haproxy.send(frame(77, b"x", 1, 1))
        assert haproxy.ask(target="/open")["allowed"]


def test_a_health_check_of_haproxy_is_answered(asked: Asked) -> None:
    with Connection(asked.ports["spoe"]) as haproxy:
        assert haproxy.greet(healthcheck=True)["version"] == "2.0"


def test_a_stranger_gets_not_one_byte(asked: Asked) -> None:
    with pytest.raises((EOFError, ConnectionError)), Connection(asked.ports["elsewhere"]) as stranger:
        stranger.greet()


# --- Envoy ------------------------------------------------------------------------------------------------------------


def request(
    *fields: tuple[str, str], method: str = "GET", path: str = "/", client: str = "192.0.2.1", scheme: str = "http"
) -> Any:
    message = auth.CheckRequest()
    message.attributes.source.address.socket_address.address = client
    http = message.attributes.request.http
    http.method, http.path, http.host, http.scheme = method, path, "api.example", scheme
    http.header_map.headers.add(key=":path", raw_value=path.encode())
    for name, value in fields:
        http.header_map.headers.add(key=name, raw_value=value.encode())
    return message


@pytest.fixture(scope="module")
def envoy(asked: Asked) -> Iterator[Any]:
    """Asks as Envoy does."""
    with grpc.insecure_channel(f"127.0.0.1:{asked.ports['check']}") as channel:
        call = channel.unary_unary(
            CHECK,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=auth.CheckResponse.FromString,
        )
        yield lambda *fields, **changes: call(request(*fields, **changes), timeout=60)


def test_envoy_puts_verified_headers_on_the_request_and_takes_the_others_off(asked: Asked, envoy: Any) -> None:
    said = envoy(asked.bearer(roles=["a", "b"]), ("x-jwt-tenant", "forged"), path="/read/1?a=b")
    assert said.status.code == 0
    assert {one.header.key: one.header.value for one in said.ok_response.headers} == {"X-Jwt-Sub": "alice"}
    assert {name.lower() for name in said.ok_response.headers_to_remove} >= {
        "x-jwt-tenant", "x_jwt_tenant", "x_jwt_sub", "authorization",
    }  # fmt: skip
    assert said.ok_response.query_parameters_to_remove == ["access_token"]
    assert MessageToDict(said.dynamic_metadata) == {"sub": "alice", "roles": ["a", "b"]}


def test_a_cookie_loses_its_token_and_keeps_the_rest(asked: Asked, envoy: Any) -> None:
    token = asked.bearer()[1].removeprefix("Bearer ")
    said = envoy(("cookie", f"a=1; session={token}; b=2"), path="/read/1")
    assert {one.header.key: one.header.value for one in said.ok_response.headers}["cookie"] == "a=1; b=2"
    said = envoy(("cookie", f"session={token}"), path="/read/1")
    assert "cookie" in said.ok_response.headers_to_remove


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"path": "/read/1"}, 401, 16),
        ({"path": "/read/1", "method": "POST", "good": True}, 403, 7),
        ({"path": "/nowhere"}, 404, 7),
        ({"path": "/open/..%2fread"}, 400, 7),
        (
            {"path": "/read/1", "fields": [("content-type", "application/grpc"), ("te", "trailers")], "method": "POST"},
            401,
            16,
        ),
        ({"path": "/open", "fields": [("x_jwt_sub", "mallory")]}, 400, 7),
    ],
)
def test_envoy_answers_a_refused_request_itself(
    asked: Asked, envoy: Any, changes: dict[str, Any], status: int, code: int
) -> None:
    changes = dict(changes)
    fields = changes.pop("fields", [])
    if changes.pop("good", False):
        fields = [*fields, asked.bearer()]
    said = envoy(*fields, **changes)
    assert (said.status.code, said.denied_response.status.code) == (code, status)
    assert said.denied_response.body
    assert not said.HasField("dynamic_metadata")
    if status == 401:
        found = {one.header.key.lower(): one.header.value for one in said.denied_response.headers}
        assert found["www-authenticate"].startswith("Bearer realm=")


def test_a_browser_is_sent_to_log_in_over_the_scheme_that_it_used(envoy: Any) -> None:
    said = envoy(("accept", "text/html"), ("sec-fetch-mode", "navigate"), path="/login/x", scheme="https")
    assert said.denied_response.status.code == 302
    found = {one.header.key.lower(): one.header.value for one in said.denied_response.headers}
    assert found["location"] == "https://login.example/?return=https%3A%2F%2Fapi.example%2Flogin%2Fx"


def test_two_tokens_are_two_for_envoy_too(asked: Asked, envoy: Any) -> None:
    assert envoy(asked.bearer(), asked.bearer(), path="/read/1").denied_response.status.code == 400


@pytest.mark.parametrize("path", ["/", "/open", "/read/1", "/grpc.health.v1.Health/Check", f"{CHECK}/", CHECK.lower()])
def test_no_other_call_is_answered(asked: Asked, path: str) -> None:
    """Nothing but this call gets a response that could be taken for permission."""
    with grpc.insecure_channel(f"127.0.0.1:{asked.ports['check']}") as channel, pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary(path)(request(path="/open").SerializeToString(), timeout=60)
    assert failed.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


@pytest.mark.parametrize("message", [b"", b"\x0a", b"\xff" * 100, b"a" * 300_000])
def test_a_message_that_describes_nothing_is_refused(asked: Asked, message: bytes) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{asked.ports['check']}") as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary(CHECK)(message, timeout=60)


def test_envoy_has_to_know_the_secret(asked: Asked) -> None:
    message = request(path="/open").SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{asked.ports['secret']}") as channel:
        call = channel.unary_unary(CHECK, response_deserializer=auth.CheckResponse.FromString)
        secret = ("x-lbjwt-secret", "correct-horse-battery-staple")
        assert call(message, metadata=[secret], timeout=60).status.code == 0
        for metadata in ([], [("x-lbjwt-secret", "wrong")], [secret, secret]):
            with pytest.raises(grpc.RpcError) as failed:
                call(message, metadata=metadata, timeout=60)
            assert failed.value.code() == grpc.StatusCode.PERMISSION_DENIED


def test_a_check_waits_for_a_new_key(asked: Asked, envoy: Any) -> None:
    with signing_with(asked.issuer, 2):
        assert eventually(lambda: envoy(asked.bearer(), path="/read/1", client=next(CLIENTS)).status.code == 0)


def test_many_checks_at_once_are_each_answered(asked: Asked) -> None:
    """Envoy has one connection, and asks about all its requests on it."""
    with grpc.insecure_channel(f"127.0.0.1:{asked.ports['check']}") as channel:
        call = channel.unary_unary(CHECK, response_deserializer=auth.CheckResponse.FromString)
        messages = [
            request(*([asked.bearer()] if number % 2 else []), path="/read/1").SerializeToString()
            for number in range(40)
        ]
        codes = [
            future.result(timeout=60).status.code
            for future in [call.future(message, timeout=60) for message in messages]
        ]
    assert codes == [16, 0] * 20


def test_the_log_has_the_client_that_envoy_names(asked: Asked, envoy: Any) -> None:
    envoy(asked.bearer(), path="/read/checked?a=b", client="2001:db8::9")
    assert eventually(lambda: any(line["path"] == "/read/checked" for line in asked.log()))
    (line,) = [line for line in asked.log() if line["path"] == "/read/checked"]
    assert (line["client"], line["status"], line["method"]) == ("2001:db8::9", 200, "GET")


# --- ends -------------------------------------------------------------------------------------------------------------


def test_haproxy_is_told_when_to_ask_another_one(tmp_path: Path) -> None:
    """A lbjwt without keys fails the checks of HAProxy; one that stops ends its connections with a word, the idle ones too."""
    ports = {name: free_port() for name in PORTS}
    with KeyServer() as server:
        issuer = Issuer(server)
        server.documents.clear()
        with Balancer(tmp_path, issuer, [], wait_ready=False, **settings(issuer, ports, tmp_path)) as balancer:
            wait_for_port(ports["spoe"])
            with Connection(ports["spoe"]) as check:
                check.send(hello(healthcheck=True))
                kind, _, _, said = check.receive()
                assert (kind, said["status-code"]) == (AGENT_DISCONNECT, 13)
            with Connection(ports["spoe"]) as haproxy:
                haproxy.greet()
                assert haproxy.ask(target="/open")["allowed"]
                assert haproxy.ask(bearer(issuer), target="/read")["status"] == 503
                balancer.signal(signal.SIGTERM)
                kind, _, _, said = haproxy.receive()
                assert (kind, said["status-code"]) == (AGENT_DISCONNECT, 0)
                with pytest.raises(EOFError):
                    haproxy.receive()


def test_a_haproxy_that_takes_no_answers_is_asked_no_more(asked: Asked) -> None:
    """Otherwise its answers would pile up here. What was read of its questions is answered in the end."""
    with asked.spop() as haproxy:
        haproxy.socket.settimeout(2.0)
        with pytest.raises(TimeoutError):
            haproxy.socket.sendall(notify(question(target="/open")) * 300_000)
        haproxy.socket.settimeout(60.0)
        assert all(haproxy.receive()[3]["allowed"] for _ in range(2000))
