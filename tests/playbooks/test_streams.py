"""Responses and tunnels under way end with their token: at its time plus grace, or when it or its key is withdrawn. Whole, byte by byte, under TLS.

The sweep, which runs once a second and after each revocation, is called by hand; the clock it reads is set.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lbjwt.assembly.issuers import issuer_instances, trusted_issuers
from lbjwt.auth.trusted_issuer import Revoked
from tests.playbooks.messages import OK, SWITCH, UPGRADE
from tests.playbooks.policies import Policies, bearer, status_of, token
from tests.playbooks.stage import Client, Server, Stage, request, response
from tests.playbooks.steps import is_refused, passes
from tests.playbooks.tls_stage import TlsStage, Turns

SKEW = 60.0
"""Seconds of clock skew that the issuers have: a token is good so much longer than its exp says."""

LIFE = 3600
KINDS = ["length", "chunked", "until close", "to HTTP/1.0", "tunnel"]


class Scene:
    """A stage whose clock can be set, as the sweep sees it, and whose tokens can be revoked by subject."""

    def __init__(self, make: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch) -> None:
        self._make = make
        self.born = int(time.time())
        self._ahead = 0.0
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + self._ahead)
        self.revoked: set[str] = set()

    def open(
        self, route: str = "prefix: /", *, rest: str = "", issuers: dict[str, str] | None = None, **options: Any
    ) -> Stage:
        self._ahead = 0.0
        check: Revoked = lambda issuer, kid, claims, now: claims["sub"] in self.revoked  # noqa: E731
        self.policies = Policies(f"  - {{name: only, {route}}}{rest}", issuers, revoked=check)
        self.stage = self._make(**self.policies.options(**options))
        return self.stage

    def token(self, label: str = "a", **claims: Any) -> str:
        # the same bytes each time, however slow the machine: one whose `iat` differs is another token
        return token(label, **{"iat": int(self.born), "exp": self.born + LIFE, **claims})

    def sweeps_at(self, seconds: float) -> None:
        """The sweep at that time after the playbook began, give or take the second in which it runs."""
        real = time.time() - self._ahead
        self._ahead = self.born + seconds - real
        self.stage.context.sweep()

    def revoke(self, subject: str) -> None:
        """What a worker does when it reads of a revocation."""
        self.revoked.add(subject)
        self.policies.verifier.renew()
        self.stage.context.sweep()

    @property
    def ended(self) -> int:
        return int(self.stage.totals["streams_ended"])


@pytest.fixture(params=["whole", "byte by byte", "TLS"])
def scene(request: pytest.FixtureRequest, files: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    pieces = 1 if "byte" in request.param else None
    turns = Turns()
    if "TLS" in request.param:
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: turns)
    make: Callable[..., Stage] = lambda **options: (  # noqa: E731
        TlsStage(turns, files, pieces, **options) if "TLS" in request.param else Stage(pieces, **options)
    )
    scene = Scene(make, monkeypatch)
    yield scene
    turns.turn()
    assert scene.stage.totals["in_flight"] == 0, "an exchange was not finished"
    assert scene.stage.board.endpoint_totals(0)["in_flight"] == 0, "an endpoint is charged for ever"


def begins(
    scene: Scene, kind: str, *fields: str, auth: bytes | None = None, target: str = "/"
) -> tuple[Client, Server]:
    """A response or tunnel of that kind is under way, its first bytes have arrived."""
    client = scene.stage.client()
    auth = bearer(scene.token()) if auth is None else auth
    version = "1.0" if kind == "to HTTP/1.0" else "1.1"
    upgrade = UPGRADE if kind == "tunnel" else ()
    client.sends(request("GET", target, *upgrade, *fields, auth=auth, version=version))
    server = scene.stage.server()
    server.take()
    if kind == "tunnel":
        server.sends(SWITCH)
        server.sends(b"first")
    elif kind == "chunked":
        server.sends(response("200 OK", "Transfer-Encoding: chunked", body=b"5\r\nfirst\r\n"))
    elif kind == "length":
        server.sends(response("200 OK", "Content-Length: 100", body=b"first"))
    else:
        server.sends(response("200 OK", body=b"first"))
    got = client.take()
    assert b"first" in got.replace(b"\r\n1\r\n", b"").replace(b"1\r\n", b"") and not client.is_gone()
    return client, server


def goes_on(scene: Scene, kind: str, client: Client, server: Server) -> None:
    """More of it arrives."""
    server.sends({"chunked": b"4\r\nmore\r\n"}.get(kind, b"more"))
    assert b"more"[-1:] in client.take() and not client.is_gone() and not server.is_gone()


def is_cut(scene: Scene, kind: str, client: Client, server: Server) -> None:
    """Both connections are over, and nothing says that the response was whole."""
    assert client.transport.closed and server.transport.aborted
    assert client.transport.aborted is (kind != "tunnel")
    assert not client.take().endswith(b"0\r\n\r\n")
    client.lose()
    server.lose()


def test_an_upload_ends_with_the_revocation_of_its_token(scene: Scene) -> None:
    """Not with its time: what began with a good token may end. Both connections are cut."""
    scene.open()
    client = scene.stage.client()
    client.sends(request("POST", "/", "Content-Length: 10", auth=bearer(scene.token()), body=b"begin"))
    server = scene.stage.server()
    scene.sweeps_at(LIFE + 3600)
    assert not client.is_gone() and server.take().endswith(b"begin")
    scene.revoke("user-of-a")
    assert client.transport.aborted and server.transport.aborted and scene.ended == 1
    client.lose()
    server.lose()


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_ends_with_the_time_of_its_token(scene: Scene, kind: str, tmp_path: Path) -> None:
    """One second before exp and skew it goes on, one second later it is cut and counted, and its record says that it is not complete."""
    scene.open(log=tmp_path / "log")
    client, server = begins(scene, kind)
    scene.sweeps_at(LIFE + SKEW - 1)
    goes_on(scene, kind, client, server)
    scene.sweeps_at(LIFE + SKEW + 1)
    is_cut(scene, kind, client, server)
    assert scene.ended == 1
    (line,) = scene.stage.records()
    assert (line["status"], line["complete"], line["issuer"]) == (101 if kind == "tunnel" else 200, False, "a")
    scene.sweeps_at(LIFE + SKEW + 2)
    assert scene.ended == 1


@pytest.mark.parametrize("kind", ["chunked", "tunnel"])
def test_a_grace_is_added_to_its_time(scene: Scene, kind: str) -> None:
    """With stream_grace it goes on for so much longer, and no more."""
    scene.open("prefix: /, stream_grace: 30s")
    client, server = begins(scene, kind)
    scene.sweeps_at(LIFE + SKEW + 29)
    goes_on(scene, kind, client, server)
    scene.sweeps_at(LIFE + SKEW + 31)
    is_cut(scene, kind, client, server)


@pytest.mark.parametrize("kind", KINDS)
def test_c20_a_stream_ends_when_its_token_is_revoked(scene: Scene, kind: str) -> None:
    """At once, whatever the grace; the stream of another subject, of the same issuer and key, goes on (THREATS C20)."""
    stage = scene.open("prefix: /, stream_grace: 1h")
    other = begins(scene, kind, auth=bearer(scene.token(sub="other")))
    client, server = begins(scene, kind)
    scene.revoke("user-of-a")
    is_cut(scene, kind, client, server)
    goes_on(scene, kind, *other)
    assert scene.ended == 1
    assert status_of(is_refused(stage, stage.client(), request(auth=bearer(scene.token())))) == 401
    other[0].lose()


@pytest.mark.parametrize("kind", ["chunked", "tunnel"])
def test_b18_a_stream_ends_when_its_key_is_withdrawn(scene: Scene, kind: str) -> None:
    """At the next sweep; another key of the issuer, and the same key id of another issuer, are other keys (THREATS B18, B17)."""
    scene.open()
    scene.policies.publish("a", "k1", "k2")
    by_a, by_b = begins(scene, kind), begins(scene, kind, auth=bearer(scene.token("b")))
    by_new = begins(scene, kind, auth=bearer(scene.token(kid="k2")))
    scene.policies.publish("a", "k2")
    scene.sweeps_at(1)
    is_cut(scene, kind, *by_a)
    goes_on(scene, kind, *by_new)
    goes_on(scene, kind, *by_b)
    scene.policies.publish("b")
    scene.policies.publish("a")
    scene.sweeps_at(2)
    is_cut(scene, kind, *by_b)
    is_cut(scene, kind, *by_new)
    assert scene.ended == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_route_may_let_its_streams_go_on(scene: Scene, kind: str) -> None:
    """end_streams: false: neither time nor revocation ends what is under way; the next request is refused all the same."""
    stage = scene.open("prefix: /, end_streams: false")
    client, server = begins(scene, kind)
    scene.revoke("user-of-a")
    scene.sweeps_at(10 * LIFE)
    goes_on(scene, kind, client, server)
    assert scene.ended == 0
    assert status_of(is_refused(stage, stage.client(), request(auth=bearer(scene.token())))) == 401
    client.lose()


def test_the_route_decides_whether_streams_end(scene: Scene) -> None:
    """Two routes, one token, one worker: each as its route says."""
    scene.open("prefix: /, end_streams: false", rest="\n  - {name: strict, prefix: /strict}")
    lax = begins(scene, "chunked")
    strict = begins(scene, "chunked", target="/strict/x")
    scene.revoke("user-of-a")
    is_cut(scene, "chunked", *strict)
    goes_on(scene, "chunked", *lax)
    lax[0].lose()


def test_a_response_that_is_not_begun_is_not_cut(scene: Scene) -> None:
    """While the endpoint thinks, nothing ends: its answer arrives whole. What goes on after that is cut at the next sweep."""
    stage = scene.open()
    client = stage.client()
    client.sends(request(auth=bearer(scene.token())))
    server = stage.server()
    scene.revoke("user-of-a")
    scene.sweeps_at(10 * LIFE)
    assert not client.is_gone() and not server.is_gone() and scene.ended == 0
    server.sends(OK)
    assert client.take() == OK and not client.is_gone()
    stage = scene.open()
    scene.revoked.clear()
    client = stage.client()
    client.sends(request(auth=bearer(scene.token())))
    server = stage.server()
    scene.revoke("user-of-a")
    server.sends(response("200 OK", "Transfer-Encoding: chunked", body=b"5\r\nfirst\r\n"))
    assert not client.is_gone()
    client.take()
    scene.stage.context.sweep()
    is_cut(scene, "chunked", client, server)


def test_what_was_answered_whole_leaves_the_connection_alone(scene: Scene) -> None:
    """A keep-alive connection whose last response was complete has nothing that could end; its next request is judged."""
    stage = scene.open()
    client = stage.client()
    passes(stage, client, request(auth=bearer(scene.token())))
    scene.revoke("user-of-a")
    assert not client.is_gone() and scene.ended == 0
    assert status_of(is_refused(stage, client, request(auth=bearer(scene.token())))) == 401
    passes(stage, client, request(auth=bearer(scene.token(sub="other"))))


@pytest.mark.parametrize(
    ("route", "auth"), [("public: true", b""), ("allow_missing: true", b""), ("report_only: true", b"")]
)
def test_what_passed_without_a_token_ends_by_itself(scene: Scene, route: str, auth: bytes) -> None:
    """Nobody's stream has no token to end with."""
    scene.open(f"prefix: /, {route}")
    client, server = begins(scene, "chunked", auth=auth)
    scene.revoke("user-of-a")
    scene.sweeps_at(10 * LIFE)
    goes_on(scene, "chunked", client, server)
    server.sends(b"0\r\n\r\n")
    assert client.take().endswith(b"0\r\n\r\n") and not client.is_gone() and scene.ended == 0


@pytest.mark.parametrize("kind", ["length", "tunnel"])
@pytest.mark.parametrize("short", ["a", "b"])
def test_of_two_tokens_the_earlier_end_counts(scene: Scene, kind: str, short: str) -> None:
    """all_of: whichever token ends first, by time or revocation, ends the stream."""
    issuers = {"a": "", "b": "from_headers: [{name: X-B, scheme: ''}]"}
    for how in ("time", "revocation"):
        scene.revoked.clear()
        scene.open("prefix: /, require: {all_of: [a, b]}", issuers=issuers)
        ends = {label: scene.born + (100 if label == short and how == "time" else LIFE) for label in "ab"}
        client, server = begins(
            scene,
            kind,
            f"X-B: {scene.token('b', exp=ends['b'])}",
            auth=bearer(scene.token("a", exp=ends["a"])),
        )
        scene.sweeps_at(100 + SKEW - 1)
        goes_on(scene, kind, client, server)
        if how == "time":
            scene.sweeps_at(100 + SKEW + 1)
        else:
            scene.revoke(f"user-of-{short}")
        is_cut(scene, kind, client, server)


def test_an_upload_whose_response_is_under_way_is_cut_with_it(scene: Scene) -> None:
    """The endpoint answers early and streams while the client still sends: both directions end."""
    stage = scene.open()
    client = stage.client()
    client.sends(request("POST", "/", "Content-Length: 1000", body=b"begin", auth=bearer(scene.token())))
    server = stage.server()
    server.sends(response("200 OK", "Transfer-Encoding: chunked", body=b"5\r\nfirst\r\n"))
    client.take()
    client.sends(b"more")
    scene.revoke("user-of-a")
    is_cut(scene, "chunked", client, server)


def test_a_stalled_reader_is_cut_like_every_other(scene: Scene) -> None:
    """Nothing of what it did not read is waited for."""
    scene.open()
    client, server = begins(scene, "chunked")
    client.side.pause_writing()
    scene.revoke("user-of-a")
    is_cut(scene, "chunked", client, server)


def test_a_fault_while_looking_again_ends_the_stream(scene: Scene) -> None:
    """When nobody can tell whether a token still stands, it does not; the fault is noted."""
    scene.open()
    client, server = begins(scene, "chunked")

    class Broken(set[str]):
        def __contains__(self, subject: object) -> bool:
            raise RuntimeError("no table")

    scene.revoked = Broken()
    scene.policies.verifier.renew()
    scene.stage.context.sweep()
    is_cut(scene, "chunked", client, server)
    assert scene.policies.verifier.gate.faults == 1


def test_a_renewal_without_reason_ends_nothing(scene: Scene) -> None:
    """Looked at again and found good: stream and grant live on, also when the grant was pushed out of the cache meanwhile."""
    scene.open()
    client, server = begins(scene, "chunked")
    scene.policies.verifier.gate.cache.clear()
    for _ in range(3):
        scene.revoke("somebody else")
        goes_on(scene, "chunked", client, server)
    server.sends(b"0\r\n\r\n")
    assert scene.ended == 0 and not client.is_gone()


# --- another configuration --------------------------------------------------------------------------------------------


def reloads(scene: Scene, **issuers: str) -> None:
    """What a worker does with other issuers: the verifier first, then a look at everything under way."""
    headers = {"a": "X-Jwt-Sub", "b": "X-Jwt-Sub-B", "c": "X-Jwt-Sub-C"}
    rest = ", ".join(f"{{claim: sub, header: {headers[label]}, issuer: {label}}}" for label in issuers)
    configuration = Policies("", issuers, f"claim_to_headers: [{rest}]").configuration
    instances = issuer_instances(configuration, {"a": 0, "b": 1, "c": 2})
    scene.policies.verifier.reload(trusted_issuers(configuration, instances))
    scene.stage.context.sweep()


def test_a_changed_policy_ends_no_stream_and_holds_for_the_next_request(scene: Scene) -> None:
    """A response under way keeps the rules under which it began. The hint of its connection does not outlive them: the next request is refused."""
    scene.open()
    client, server = begins(scene, "chunked")
    reloads(scene, a="required_scopes: [s]", b="")
    for _ in range(2):
        scene.stage.context.sweep()
        goes_on(scene, "chunked", client, server)
    server.sends(b"0\r\n\r\n")
    assert scene.ended == 0 and client.take().endswith(b"0\r\n\r\n")
    client.sends(request(auth=bearer(scene.token())))
    assert status_of(client.take()) == 403


def test_an_unchanged_policy_keeps_stream_and_hint(scene: Scene) -> None:
    """The next request of the connection passes without another verification."""
    scene.open()
    client, server = begins(scene, "chunked")
    verified = scene.policies.verifier.gate.cache.misses
    reloads(scene, a="", c="")
    goes_on(scene, "chunked", client, server)
    server.sends(b"0\r\n\r\n")
    client.take()
    passes(scene.stage, client, request(auth=bearer(scene.token())))
    assert scene.ended == 0 and scene.policies.verifier.gate.cache.misses == verified


def test_a_removed_issuer_ends_its_streams(scene: Scene) -> None:
    """Nobody vouches for its tokens any more, as when their key was withdrawn."""
    scene.open()
    client, server = begins(scene, "chunked")
    reloads(scene, b="")
    is_cut(scene, "chunked", client, server)
