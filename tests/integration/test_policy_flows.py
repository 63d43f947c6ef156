"""Keys, policy and revocation over real sockets: two issuers, routes and two workers of the real program, with its keeper and its command line."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.behaviour import good
from tests.harness.client import Client, request
from tests.harness.keyserver import KeyServer
from tests.harness.publisher import Federation, Issuer
from tests.harness.record import Seen
from tests.harness.script import Hang, Script, Send
from tests.harness.stage import Stage
from tests.harness.waiting import eventually

WORKERS = 2
WITHIN = 20.0
"""Seconds until a revocation must be in force everywhere. Bar `revocation_delay` measures that it takes at most one (bar `revocation_delay`)."""

FIRST = b"data: first\n\n"
UPGRADE = [
    *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]
ROUTES: list[dict[str, Any]] = [
    {"name": "open", "prefix": "/open", "public": True},
    {"name": "maybe", "prefix": "/maybe", "allow_missing": True},
    {"name": "try", "prefix": "/try", "report_only": True},
    {
        "name": "orders",
        "prefix": "/orders",
        "require": {"issuer": "main"},
        "scopes": {"all": ["orders"]},
        "rules": [
            {"claim": ["realm", "roles"], "contains": "clerk"},
            {"claim": "level", "at_least": 3},
            {"claim": "mfa", "equals": True, "report_only": True, "name": "mfa"},
        ],
    },
    {"name": "mine", "prefix": "/mine", "rewrite": "/users/{sub}/home"},
    {"name": "partners", "prefix": "/partners", "require": {"any_of": ["main", "second"]}},
    {"name": "streams", "prefix": "/sse"},
    {"name": "sockets", "prefix": "/tunnel"},
]
HEADERS = [
    {"claim": "sub", "header": "X-Jwt-Sub"},
    {"claim": ["realm", "roles"], "header": "X-Roles", "issuer": "main"},
    {"claim": "https://example/tenant", "header": "X-Tenant", "issuer": "second"},
]


def behave(seen: Seen) -> bytes | Script:
    """Events without end, an echo behind a handshake, and the ordinary answer."""
    if seen.target.startswith("/sse"):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        return Script((Send(head + b"%x\r\n%b\r\n" % (len(FIRST), FIRST)), Hang()), whole=False)
    return good(seen)


class Service:
    """`lbjwt serve` with two issuers, whose keys come from a server of keys, and routes; every worker is known by its connections."""

    def __init__(
        self, directory: Path, server: KeyServer, federation: Federation | None = None, **changes: Any
    ) -> None:
        self.server = server
        self.federation = federation or Federation([Issuer(server, "main"), Issuer(server, "second")])
        self.main, self.second = self.federation.issuers
        self.stage = Stage(
            directory,
            behaviours=(behave,),
            tokens=self.federation,
            shadow=False,
            **{
                "workers": WORKERS,
                "issuers": {"main": self.main.remote(cooldown="1s"), "second": self.second.discovered(cooldown="1s")},
                "routes": ROUTES,
                "claim_to_headers": HEADERS,
                "revocation": {},
                "access_log": {"claims": ["sub", ["realm", "roles"]]},
                **changes,
            },
        )
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Service:
        self._stack.enter_context(self.stage)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def client(self) -> Client:
        return self._stack.enter_context(self.stage.client())

    def everywhere(self, each: int = 1) -> list[Client]:
        """So many connections to each worker. A worker is known by the ids that it gives: the answer that no route is for has one."""
        found: dict[str, list[Client]] = {}
        for _ in range(1000):
            client = self.client()
            answer = client.ask("/nowhere")
            assert answer.status == 404
            mine = found.setdefault(answer.field("X-Request-Id")[:16], [])
            if len(mine) < each:
                mine.append(client)
            if len(found) == WORKERS and all(len(clients) == each for clients in found.values()):
                return [client for clients in found.values() for client in clients]
        raise AssertionError(f"connections to {len(found)} workers only")

    def revoke(self, *arguments: str, given: str = "") -> None:
        """`lbjwt revoke … --admin URL`."""
        command = [
            sys.executable,
            "-m",
            "lbjwt",
            "revoke",
            *arguments,
            "--admin",
            f"http://127.0.0.1:{self.stage.balancer.admin}",
        ]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 and ("in force" in done.stderr or done.stderr == "undone\n"), done.stderr

    def seen(self, id: str) -> Seen:
        """What the backend saw of a request."""
        assert eventually(lambda: any(record.id == id for record in self.stage.seen))
        return next(record for record in self.stage.seen if record.id == id)


@pytest.fixture(scope="module")
def server() -> Iterator[KeyServer]:
    with KeyServer() as server:
        yield server


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, server: KeyServer) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("flows"), server) as service:
        yield service


def clerk(issuer: Issuer, **changes: Any) -> str:
    """A token that the strictest route takes."""
    claims = {"scope": "orders", "realm": {"roles": ["clerk", "reader"]}, "level": 3, "mfa": True, **changes}
    return issuer.mint(**claims)


# --- policy -----------------------------------------------------------------------------------------------------------


def test_routes_and_rules_hold_in_every_worker(service: Service) -> None:
    """Each case has one status, whichever worker is asked, for the first time and when the token is known."""
    main, second = service.main, service.second
    cases: list[tuple[str, str | None, int]] = [
        ("/open/x", None, 200),
        ("/open/x", "rubbish", 200),
        ("/maybe/x", None, 200),
        ("/maybe/x", main.mint(), 200),
        ("/maybe/x", main.mint(lifetime=-3600), 401),
        ("/maybe/x", main.mint(iss="https://stranger.test"), 401),
        ("/try/x", None, 200),
        ("/try/x", main.mint(lifetime=-3600), 200),
        ("/orders/1", None, 401),
        ("/orders/1", clerk(main), 200),
        ("/orders/1", clerk(main, scope="order orders2"), 403),
        ("/orders/1", clerk(main, realm={"roles": ["clerks"]}), 403),
        ("/orders/1", clerk(main, realm={"roles": "clerk"}), 403),
        ("/orders/1", clerk(main, level="3"), 403),
        ("/orders/1", clerk(main, level=2.9), 403),
        ("/orders/1", clerk(main, mfa=False), 200),
        ("/orders/1", clerk(second), 401),
        ("/orders/../orders//1", clerk(main), 200),
        ("/orders%2f1", clerk(main), 400),
        ("/partners/x", main.mint(), 200),
        ("/partners/x", second.mint(), 200),
        ("/partners/x", main.mint(iss=second.issuer), 401),
        ("/partners/x", second.mint(main.pool[0]), 401),
        ("/nowhere", main.mint(), 404),
    ]
    for client in service.everywhere():
        for _ in range(2):
            for target, token, status in cases:
                assert client.ask(target, token=token).status == status, (target, status)


def test_claims_arrive_as_headers_of_their_issuer(service: Service) -> None:
    """Lists and names with dots and slashes; what a client says of itself does not arrive, and one issuer speaks for no other."""
    rich: dict[str, Any] = {"realm": {"roles": ["clerk", "a,b"]}, "https://example/tenant": "t1"}
    for number, client in enumerate(service.everywhere()):
        for name, issuer, present, absent in (
            ("main", service.main, b"\r\nX-Roles: clerk,a%2Cb\r\n", b"x-tenant"),
            ("second", service.second, b"\r\nX-Tenant: t1\r\n", b"x-roles"),
        ):
            id = f"claims-{name}-{number}"
            spoofs = ["X-Roles: root", "x_tenant: root", "X-Jwt-Sub: root"]
            answer = client.ask("/partners/x", token=issuer.mint(sub=name, **rich), id=id, fields=spoofs)
            assert answer.status == 200
            head = service.seen(id).head
            assert present in head and absent not in head.lower() and b"root" not in head
            assert f"\r\nX-Jwt-Sub: {name}\r\n".encode() in head
    assert b"x-jwt-sub" not in _head_of(service, "/try/x", service.main.mint(lifetime=-3600)).lower()


def test_what_leaves_with_a_request(service: Service) -> None:
    """In every worker: the claim in the path, the reason on a report-only route, and the chosen claims in the log, of accepted tokens only."""
    rich: dict[str, Any] = {"realm": {"roles": ["clerk"], "secret": "x"}, "email": "a@b.example"}
    roles = {"realm": {"roles": ["clerk"]}}
    clerks = {"realm": {"roles": ["clerk", "reader"]}}
    cases: list[tuple[str, str | None, str, str, dict[str, Any] | None]] = [
        ("/mine/x?y=1", service.main.mint(sub="a b", **rich), "/users/a%20b/home/x?y=1", "", {"sub": "a b", **roles}),
        ("/mine", service.second.mint(sub="c"), "/users/c/home", "", {"sub": "c"}),
        ("/try/x", service.main.mint(lifetime=-3600), "/try/x", "expired;status=401", None),
        ("/try/x", None, "/try/x", "missing;status=401", None),
        (
            "/orders/1",
            clerk(service.main, mfa=False, sub="d"),
            "/orders/1",
            "claim_refused;status=403",
            {"sub": "d", **clerks},
        ),
    ]
    expected: dict[str, tuple[str, dict[str, Any] | None]] = {}
    for number, client in enumerate(service.everywhere()):
        for at, (target, token, forwarded, told, claims) in enumerate(cases):
            id = f"leaves-{number}-{at}"
            expected[id] = target.partition("?")[0], claims
            assert client.ask(target, token=token, id=id, fields=["X-Jwt-Would-Refuse: forged"]).status == 200
            head = service.seen(id).head.decode()
            assert head.startswith(f"GET {forwarded} HTTP/1.1\r\n")
            assert re.findall(r"(?i)\r\nx.jwt.would.refuse: (.*)\r\n", head) == [told] * bool(told)
        assert client.ask("/mine", token=service.main.mint(sub="../c")).status == 403

    def logged() -> dict[str, tuple[str, dict[str, Any] | None]]:
        lines = service.stage.balancer.access_log()
        return {
            line["request_id"]: (line["path"], line.get("claims")) for line in lines if line["request_id"] in expected
        }

    assert eventually(lambda: len(logged()) == len(expected))
    assert logged() == expected


def _head_of(service: Service, target: str, token: str) -> bytes:
    assert service.client().ask(target, token=token, id="head-of").status == 200
    return service.seen("head-of").head


def test_a_new_key_is_taken_up_without_a_refusal(service: Service) -> None:
    """Outside the cool-down the first token of a new key waits for one fetch, in whichever worker it comes; a made-up key id is refused."""
    main = service.main
    clients = service.everywhere(2)
    path = main.jwks_path
    key = main.publish_next()
    assert eventually(lambda: time.monotonic() - service.server.times(path)[-1] > 1.2)
    before = main.fetches
    token = main.mint(key)
    for client in clients:  # all at once
        client.send(request("/partners/x", token=token))
    assert [client.response().status for client in clients] == [200] * len(clients)
    assert main.fetches == before + 1
    forged = main.mint(main.pool[0], header={"kid": "made-up"})
    assert [client.ask("/partners/x", token=forged).status for client in clients] == [401] * len(clients)
    assert [client.ask("/partners/x", token=token).status for client in clients] == [200] * len(clients)
    balancer = service.stage.balancer
    assert eventually(lambda: balancer.metric("lbjwt_requests_waiting") == 0)


# --- revocation -------------------------------------------------------------------------------------------------------


def refused_within(clients: list[Client], token: str, target: str = "/partners/x") -> list[str]:
    """Asks every connection until each refuses; the challenge of each refusal. Fails when that takes too long."""
    end = time.monotonic() + WITHIN
    found = []
    for client in clients:
        while (answer := client.ask(target, token=token)).status == 200:
            assert time.monotonic() < end, "revoked, and still let through"
        assert answer.status == 401
        found.append(answer.field("WWW-Authenticate"))
    return found


@pytest.mark.parametrize("what", ["jti", "sub", "kid", "issued before", "token"])
def test_c20_a_revocation_is_in_force_in_all_workers_within_a_second(service: Service, what: str) -> None:
    """Tokens that every worker knows by heart are refused, those that are not meant go on; a connection that used one is used on (THREATS C20)."""
    main, second = service.main, service.second
    sub = f"user by {what}"
    key = new = None
    if what == "kid":
        key, new = second.publish_next(), second.pool[0]
        assert eventually(lambda: time.monotonic() - service.server.times(second.jwks_path)[-1] > 1.2)
    issuer = second if what == "kid" else main
    claims: dict[str, Any] = {"sub": sub, "jti": f"id by {what}", "iat": int(time.time()) - 5}
    token = issuer.mint(key, **claims)
    others = [issuer.mint(new, **{**claims, "jti": "another", "sub": "another", "iat": int(time.time()) + 30})]
    others.append((main if issuer is second else second).mint(**claims))
    clients = service.everywhere(3)
    for client in clients:
        for text in (token, *others, token):
            assert client.ask("/partners/x", token=text).status == 200
    if what == "token":
        service.revoke("--token", "-", given=token)
    elif what == "issued before":
        service.revoke("--sub", sub, "--issued-before", "now", "--issuer", main.issuer)
    elif what == "kid":
        assert key is not None
        service.revoke("--kid", key.kid, "--for", "1h")
    else:
        service.revoke(f"--{what}", str(claims[what]), "--issuer", main.issuer)
    challenges = refused_within(clients, token)
    assert all('error="invalid_token"' in challenge and "revoked" not in challenge for challenge in challenges)
    for client in clients:
        for text in others:
            assert client.ask("/partners/x", token=text).status == 200
    balancer = service.stage.balancer
    label = issuer.label
    assert eventually(lambda: balancer.metric("lbjwt_refusals_total", issuer=label, reason="revoked") >= len(clients))


@pytest.mark.parametrize("by", ["command", "request"])
def test_c20_an_undo_is_in_force_in_all_workers_within_a_second(service: Service, by: str) -> None:
    """A token that was revoked passes in every worker again; one with a signature of nobody stays what it was (THREATS C20)."""
    sub = f"back by {by}"
    token = service.main.mint(sub=sub)
    clients = service.everywhere(2)
    service.revoke("--sub", sub)
    refused_within(clients, token)
    if by == "command":
        service.revoke("--undo", "--sub", sub)
    else:
        answer = service.stage.balancer.admin_post("/revocations", {"sub": sub}, method="DELETE")
        assert answer[0] == 200 and json.loads(answer[1])["undone"] == 1
    end = time.monotonic() + WITHIN
    for client in clients:
        while client.ask("/partners/x", token=token).status != 200:
            assert time.monotonic() < end, "taken back, and still refused"
        forged = token[: token.rindex(".") + 1] + "A" * len(token[token.rindex(".") + 1 :])
        assert client.ask("/partners/x", token=forged).status == 401


def begins_stream(client: Client, token: str) -> Client:
    """Events are on their way."""
    client.socket.sendall(request("/sse", token=token))
    got = b""
    while FIRST not in got:
        piece = client.socket.recv(4096)
        assert piece, got
        got += piece
    return client


def begins_tunnel(client: Client, token: str) -> Client:
    """An echo answers."""
    client.send(request("/tunnel", token=token, fields=UPGRADE))
    assert client.response().status == 101
    echoes(client)
    return client


def echoes(client: Client) -> None:
    client.socket.sendall(b"ping")
    assert client.receive(4) == b"ping"


def test_c20_streams_under_way_end(service: Service) -> None:
    """WebSockets and events of the revoked subject end in every worker, those of others go on (THREATS C20, bar `revocation_delay`)."""
    main = service.main
    token, other = main.mint(sub="streaming"), main.mint(sub="other")
    tunnels = [begins_tunnel(client, token) for client in service.everywhere()]
    streams = [begins_stream(client, token) for client in service.everywhere()]
    kept = [begins_tunnel(client, other) for client in service.everywhere()]
    watched = [begins_stream(client, other) for client in service.everywhere()]
    ended = service.stage.balancer.metric("lbjwt_streams_ended_total")
    service.revoke("--sub", "streaming")
    end = time.monotonic() + WITHIN
    for client in (*tunnels, *streams):
        assert client.is_closed(max(0.01, end - time.monotonic())), "the stream of a revoked token goes on"
    for client in kept:
        echoes(client)
    for client in watched:
        assert not client.is_closed(0.05)
        client.abort()  # its FIN alone would be that of a client that goes on reading
    balancer = service.stage.balancer
    assert eventually(lambda: balancer.metric("lbjwt_streams_ended_total") == ended + len(tunnels) + len(streams))


def test_a_stream_ends_with_its_token(tmp_path: Path, server: KeyServer) -> None:
    """A WebSocket and events end when their token does, not before, and no further token of the connection is asked for."""
    federation = Federation([Issuer(server, "short"), Issuer(server, "unused")])
    changes: dict[str, Any] = {
        "issuers": {"main": federation.issuers[0].remote() | {"clock_skew": "0s"}},
        "routes": [{"name": "streams", "prefix": "/sse"}, {"name": "sockets", "prefix": "/tunnel"}],
        "claim_to_headers": [],
    }
    with Service(tmp_path, server, federation, **changes) as service:
        first, second = service.everywhere()[0], service.everywhere()[0]
        expires = int(time.time()) + 4
        token = service.main.mint(exp=expires)
        clients = [begins_tunnel(first, token), begins_stream(second, token)]
        for client in clients:
            assert client.is_closed(30.0)
            assert expires <= time.time() < expires + 30


def test_b18_a_key_that_its_issuer_withdrew_is_dead_in_every_worker(tmp_path: Path, server: KeyServer) -> None:
    """After the next refresh its tokens are refused, remembered or not, and its streams end; those of the other key go on (THREATS B18, D4)."""
    federation = Federation([Issuer(server, "withdrawing"), Issuer(server, "constant")])
    main, second = federation.issuers
    old, new = main.pool[0], main.publish_next()
    issuers = {"main": main.remote(refresh_interval="1s"), "second": second.remote()}
    with Service(tmp_path, server, federation, issuers=issuers) as service:
        going, staying = main.mint(old), main.mint(new)
        clients = service.everywhere()
        for client in clients:
            for token in (going, staying, second.mint()):
                assert client.ask("/partners/x", token=token).status == 200
        tunnels = [begins_tunnel(client, going) for client in service.everywhere()]
        kept = [begins_tunnel(client, staying) for client in service.everywhere()]
        main.withdraw(old)
        fetched = main.fetches
        assert eventually(lambda: main.fetches > fetched)
        refused_within(clients, going)
        assert all(client.is_closed(2 * WITHIN) for client in tunnels)
        for client in (*clients, *service.everywhere()):
            assert client.ask("/partners/x", token=staying).status == 200
            assert client.ask("/partners/x", token=going).status == 401
        for client in kept:
            echoes(client)


def test_what_was_revoked_is_revoked_after_a_restart(tmp_path: Path) -> None:
    """With a state directory the revocations and the last good keys are there at once, also while nobody answers for the keys."""
    state = str(tmp_path / "state")
    with KeyServer() as server:
        federation = Federation([Issuer(server, "main"), Issuer(server, "second")])
        token, other = federation.issuers[0].mint(sub="gone"), federation.issuers[1].mint(sub="here")
        for start in (1, 2):
            directory = tmp_path / str(start)
            directory.mkdir()
            if start == 2:
                server.close_door()
            with Service(directory, server, federation, state_directory=state) as service:
                for client in service.everywhere():
                    assert client.ask("/partners/x", token=other).status == 200
                    assert client.ask("/partners/x", token=token).status == (200 if start == 1 else 401)
                if start == 1:
                    service.revoke("--sub", "gone", "--for", "1h")
                    refused_within(service.everywhere(), token)
                    service.revoke("--sub", "here", "--for", "1h")
                    service.revoke("--undo", "--sub", "here")
                else:
                    found = json.loads(service.stage.balancer.admin_get("/revocations")[1])
                    assert found["in_force"] == 1
        server.open_door()


# --- what can be seen -------------------------------------------------------------------------------------------------


def test_an_address_that_fails_too_often(tmp_path: Path, server: KeyServer) -> None:
    """429 for unknown tokens in every worker after five refusals in any; a token known to be good passes from the same address."""
    federation = Federation([Issuer(server, "limited"), Issuer(server, "unlimited")])
    issuers = {"main": federation.issuers[0].remote(), "second": federation.issuers[1].remote()}
    with Service(tmp_path, server, federation, issuers=issuers, fail_limit={"failures": 5}) as service:
        clients = service.everywhere()
        known = service.main.mint()
        for client in clients:
            assert client.ask("/partners/x", token=known).status == 200
        for number in range(5):
            assert clients[number % 2].ask("/partners/x", token="x.y.z").status == 401
        for client in clients:
            answer = client.ask("/partners/x", token=service.main.mint(sub="new"))
            assert answer.status == 429 and int(answer.field("Retry-After")) > 0
            assert client.ask("/partners/x", token=known).status == 200
            assert client.ask("/open/x").status == 200
        with Client(service.stage.port, source="127.0.0.2") as elsewhere:
            assert elsewhere.ask("/partners/x", token=service.main.mint(sub="new")).status == 200
        balancer = service.stage.balancer
        assert eventually(lambda: balancer.metric("lbjwt_refusals_total", reason="rate_limited") == 2)
        (worst, *_) = json.loads(balancer.admin_get("/status")[1])["suspicious_addresses"]
        assert (worst["address"], worst["failures"]) == ("127.0.0.1", 5)


def test_p8_the_log_tells_why_and_no_secret(tmp_path: Path, server: KeyServer) -> None:
    """Route, issuer, reason and what is only reported, of both workers; no part of a token and no query in any line of log or output (THREATS P8)."""
    federation = Federation([Issuer(server, "logged"), Issuer(server, "quiet")])
    main, second = federation.issuers
    issuers = {
        "main": main.remote()
        | {"from_params": [{"name": "access_token"}], "from_headers": [{"name": "Authorization"}]},
        "second": second.remote(),
    }
    with Service(tmp_path, server, federation, issuers=issuers) as service:
        good_one, poor, late = clerk(main, mfa=False), main.mint(), main.mint(lifetime=-3600)
        cases: list[tuple[str, str | None, int, tuple[str | None, ...]]] = [
            (f"/orders/1?access_token={good_one}&canary=1", None, 200, ("orders", "main", None, "claim_refused")),
            ("/orders/2?canary=2", poor, 403, ("orders", "main", "insufficient_scope", None)),
            (f"/orders/3?access_token={late}", None, 401, ("orders", "main", "expired", None)),
            (f"/try/4?access_token={late}", None, 200, ("try", "main", None, "expired")),
            ("/try/5", second.mint(iss="canary"), 200, ("try", None, None, "wrong_issuer")),
            ("/partners/6", second.mint(), 200, ("partners", "second", None, None)),
            ("/open/7?canary", "canary", 200, ("open", None, None, None)),
            (f"/nowhere/8?access_token={good_one}", None, 404, (None, None, "no_route", None)),
            (f"/orders%2f9?access_token={good_one}", None, 400, (None, None, "ambiguous_path", None)),
            (
                f"/partners/10?access_token={good_one}&access_token=canary",
                None,
                400,
                ("partners", None, "multiple_tokens", None),
            ),
        ]
        clients = service.everywhere()
        for client in clients:
            for target, token, status, _ in cases:
                assert client.ask(target, token=token).status == status, target
        service.revoke("--token", "-", given=main.mint(jti="canary-id"))
        count = len(cases) * len(clients)
        balancer = service.stage.balancer
        log: list[dict[str, Any]] = []

        def logged() -> bool:  # each worker writes when it does, and how often it was asked for /nowhere is chance
            log[:] = [line for line in balancer.access_log() if line["path"] != "/nowhere"]
            return len(log) >= count

        assert eventually(logged)
        assert len(log) == count
        for target, _, status, expected in cases:
            path = target.partition("?")[0]
            lines = [line for line in log if line["path"] == path]
            assert [
                tuple(line.get(key) for key in ("route", "issuer", "reason", "would_refuse")) for line in lines
            ] == [expected] * len(clients), target
            assert {line["status"] for line in lines} == {status}
        written = (
            balancer.access_log_path.read_text()
            + balancer.stderr
            + json.dumps(balancer.admin_get("/status")[1].decode())
        )
        assert "canary" not in written and "access_token" not in written
        for text in (good_one, poor, late):
            assert not any(part in written for part in text.split("."))
