"""Tokens over HTTP/2: streams that wait for keys, and streams that end with their token. Others on the connection go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lbjwt._error_reason import ErrorReason
from tests.harness.http2 import Reply, head
from tests.playbooks.http2_stage import Http2Client, Http2Stage
from tests.playbooks.messages import OK
from tests.playbooks.policies import Policies, token
from tests.playbooks.stage import response
from tests.playbooks.tls_stage import Turns

NEW = "k2"
CANCEL = 8


class Scene:
    """A stage with issuers `a` and `b`, of which requests may wait for `k2`, and tokens can be revoked by subject."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.revoked: set[str] = set()

    def open(self, routes: str = "  - {name: only, prefix: /}", rest: str = "", **options: Any) -> Http2Stage:
        self.policies = Policies(
            routes, rest=rest, revoked=lambda issuer, kid, claims, now: claims["sub"] in self.revoked
        )
        self.stage = Http2Stage(self._turns, **self.policies.options(lambda issuer: True, **options))
        return self.stage

    def settles(self, *kids: str) -> None:
        """The fetch of the keys of `a` has ended."""
        if kids:
            self.policies.publish("a", *kids)
        self.stage.key_wait.fetch_done(self.policies.index("a"))

    def asks(self, client: Http2Client, kid: str = NEW, **options: Any) -> int:
        return client.asks(token=token("a", kid).encode(), **options)

    def served(self, client: Http2Client, number: int) -> tuple[bytes, Reply]:
        """What the endpoint saw, and the reply."""
        seen = self.stage.server().take()
        self.stage.server().sends(OK)
        return seen, client.reply(number)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    turns = Turns()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: turns)
    scene = Scene(turns)
    yield scene
    turns.turn()
    assert scene.stage.totals["waiting"] == 0, "somebody waits for ever"
    assert scene.stage.totals["in_flight"] == 0, "an exchange was not finished"


def test_a_stream_waits_for_keys_and_no_other_does(scene: Scene) -> None:
    stage = scene.open()
    client = stage.client()
    waiting = scene.asks(client)
    assert stage.totals["waiting"] == 1 and stage.opened == []
    assert scene.served(client, scene.asks(client, "k1"))[1].body == b"ok"
    assert not client.reply(waiting).is_over
    scene.settles("k1", NEW)
    seen, reply = scene.served(client, waiting)
    assert b"X-Jwt-Sub: user-of-a" in seen and (reply.status, reply.body) == (200, b"ok")


def test_a_key_that_does_not_come_is_a_refusal(scene: Scene) -> None:
    """When the fetch is done, or when the time is over."""
    stage = scene.open()
    client = stage.client()
    number = scene.asks(client)
    scene.settles()
    assert client.reply(number).status == 401
    stage = scene.open(max_wait=0.0)
    client = stage.client()
    number = scene.asks(client)
    stage.passes()
    assert client.reply(number).status == 401


@pytest.mark.parametrize("fetched", [True, False])
def test_the_deadline_of_a_call_begins_with_its_head(scene: Scene, fetched: bool) -> None:
    """It passes while the call waits for keys: DEADLINE_EXCEEDED at once, whatever the token is worth, and no endpoint is asked."""
    stage = scene.open()
    client = stage.client()
    number = scene.asks(
        client, method="POST", body=b"x", more=[(b"content-type", b"application/grpc"), (b"grpc-timeout", b"1n")]
    )
    time.sleep(0.02)  # the clock of deadlines moves every 4 or 10 milliseconds
    if fetched:
        scene.settles("k1", NEW)
    else:
        stage.passes()
    reply = client.reply(number)
    assert (reply.status, reply.field("grpc-status"), stage.opened) == (200, "4", [])
    assert stage.totals["errors"][ErrorReason.DEADLINE_EXCEEDED] == 1


@pytest.mark.parametrize("more", [[(b"content-length", b"5")], []])
def test_a_body_that_came_meanwhile_goes_with_its_request(scene: Scene, more: list[tuple[bytes, bytes]]) -> None:
    """It waits in its window, and its length is compared as ever."""
    stage = scene.open()
    client = stage.client()
    number = scene.asks(client, method="POST", body=b"hello", more=more)
    scene.settles("k1", NEW)
    seen, reply = scene.served(client, number)
    assert seen.endswith(b"\r\n\r\nhello" if more else b"\r\n5\r\nhello\r\n0\r\n\r\n") and reply.ended


def test_trailers_that_came_meanwhile_end_their_request(scene: Scene) -> None:
    stage = scene.open()
    client = stage.client()
    number = client.begins(head("POST", token=token("a", NEW)), b"hello", [(b"x-sum", b"1")])
    scene.settles("k1", NEW)
    seen, reply = scene.served(client, number)
    assert seen.endswith(b"\r\n5\r\nhello\r\n0\r\n\r\n") and reply.ended


def test_a_body_that_came_meanwhile_is_not_too_large_either(scene: Scene) -> None:
    stage = scene.open(max_request_body=4)
    client = stage.client()
    number = scene.asks(client, method="POST", body=b"hello")
    scene.settles("k1", NEW)
    stage.server()
    assert client.reply(number).status == 413


@pytest.mark.parametrize("end", ["reset", "loss", "drain", "stop"])
def test_who_leaves_while_waiting_is_forgotten(scene: Scene, end: str) -> None:
    """Its request is logged, and judged no more; a drain lets it wait on."""
    stage = scene.open()
    client = stage.client()
    number = scene.asks(client, method="POST", body=None)
    if end == "drain":
        stage.context.drain(60.0)
        assert stage.totals["waiting"] == 1
        scene.settles("k1", NEW)
        client.peer.engine.end_stream(number)
        client.flush()
        assert scene.served(client, number)[1].ended
        return
    {"reset": lambda: client.takes_back(number), "loss": client.lose, "stop": stage.context.close}[end]()
    assert stage.totals["waiting"] == 0
    reason = ErrorReason.SHUTDOWN if end == "stop" else ErrorReason.CLIENT_CLOSED
    assert stage.totals["errors"][reason] == 1
    scene.settles("k1", NEW)
    assert stage.opened == []
    client.lose()


def streams(scene: Scene, **options: Any) -> tuple[Http2Stage, Http2Client, int]:
    """A response under way."""
    stage = scene.open(**options)
    client = stage.client()
    number = scene.asks(client, "k1")
    stage.server().sends(response("200 OK", "Transfer-Encoding: chunked", body=b"2\r\nhi\r\n"))
    assert client.reply(number).body == b"hi"
    return stage, client, number


def revoked(scene: Scene, stage: Http2Stage) -> None:
    scene.revoked.add("user-of-a")
    scene.policies.verifier.renew()
    stage.context.sweep()


def expired(scene: Scene, stage: Http2Stage) -> None:
    stage.context.sweep()


@pytest.mark.parametrize("how", [revoked, expired])
def test_a_stream_ends_with_its_token(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, how: Callable[[Scene, Http2Stage], None]
) -> None:
    """RST_STREAM, so that it does not look complete; a stream of another subject on the connection goes on."""
    stage, client, number = streams(scene)
    other = client.asks(token=token("b", "k1", exp=int(time.time()) + 99999).encode())
    stage.server().sends(response("200 OK", "Transfer-Encoding: chunked", body=b"2\r\nho\r\n"))
    if how is expired:
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 90000)
    how(scene, stage)
    reply = client.reply(number)
    assert (reply.body, reply.ended, reply.reset) == (b"hi", False, CANCEL)
    assert stage.totals["streams_ended"] == 1 and stage.totals["errors"][ErrorReason.TOKEN_ENDED] == 1
    stage.server().sends(b"0\r\n\r\n")
    assert client.reply(other).ended and client.reply(other).body == b"ho"


@pytest.mark.parametrize("how", [revoked, expired])
@pytest.mark.parametrize("kind", ["application/grpc", "text/plain"])
def test_an_upload_ends_with_its_token(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, how: Callable[[Scene, Http2Stage], None], kind: str
) -> None:
    """
    No response has begun, and its client still sends: a call has a status, another upload is taken back. It may end if it began in time, but not a
    call, of which each message is a request.
    """
    stage = scene.open()
    client = stage.client()
    more = [(b"content-type", kind.encode())]
    number = scene.asks(client, "k1", method="POST", body=None, more=more)
    whole = scene.asks(client, "k1", method="POST", body=b"x", more=more)
    servers = [stage.server(at) for at in range(2)]
    if how is expired:
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 90000)
    how(scene, stage)
    reply = client.reply(number)
    if kind == "application/grpc":
        assert (reply.status, reply.field("grpc-status"), servers[0].is_gone()) == (200, "16", True)
    elif how is revoked:
        assert (reply.status, reply.reset, servers[0].is_gone()) == (0, CANCEL, True)
    else:
        client.peer.engine.send_data(number, b"x", end_stream=True)
        client.flush()
        servers[0].sends(OK)
        assert client.reply(number).body == b"ok"
    servers[1].sends(OK)
    assert client.reply(whole).body == b"ok", "what was sent whole is answered soon"
    assert stage.totals["streams_ended"] == (kind == "application/grpc" or how is revoked)


def test_a_withdrawn_token_serves_no_further_stream(scene: Scene) -> None:
    """The connection's hint of its last token is no way around the check."""
    stage, client, number = streams(scene)
    stage.server().sends(b"0\r\n\r\n")
    assert client.reply(number).ended
    scene.revoked.add("user-of-a")
    scene.policies.verifier.renew()
    assert client.reply(scene.asks(client, "k1")).status == 401


def test_each_stream_has_its_own_token(scene: Scene) -> None:
    """Two subjects in turn on one connection: each request goes with its own identity."""
    stage = scene.open()
    client = stage.client()
    for _ in range(3):
        for label in "ab":
            number = client.asks(token=token(label, "k1").encode())
            seen, reply = scene.served(client, number)
            name = b"X-Jwt-Sub: " if label == "a" else b"X-Jwt-Sub-B: "
            assert reply.ended and name + b"user-of-" + label.encode() in seen and seen.count(b"X-Jwt-Sub") == 1


def test_what_leaves_with_a_stream(scene: Scene, tmp_path: Path) -> None:
    """As over HTTP/1: a claim in the path, what would be refused, which no client can write, and the chosen claims in the log."""
    routes = (
        '  - {name: mine, prefix: /mine, rewrite: "/users/{sub}"}\n  - {name: try, prefix: /try, report_only: true}'
    )
    stage = scene.open(routes, 'access_log: {path: "-", claims: [sub]}', log=tmp_path / "log")
    client = stage.client()
    seen, _ = scene.served(client, scene.asks(client, "k1", path="/mine/x?y"))
    assert seen.startswith(b"GET /users/user-of-a/x?y HTTP/1.1\r\n") and b"would-refuse" not in seen.lower()
    number = client.begins([*head("GET", "/try", token=None), (b"x-jwt-would-refuse", b"forged")])
    seen, _ = scene.served(client, number)
    assert b"\r\nX-Jwt-Would-Refuse: missing;status=401\r\n" in seen and b"forged" not in seen
    assert [line.get("claims") for line in stage.records()] == [{"sub": "user-of-a"}, None]
