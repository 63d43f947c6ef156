"""Requests that wait for keys: a token with an unknown key id parks its connection, and one fetch later it is judged once more.

Each playbook runs whole, byte by byte, and under TLS. Who fetches, and how often, is not played here: `ask` answers for it.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.playbooks.messages import OK, bodies
from tests.playbooks.policies import Policies, bearer, field_of, status_of, token
from tests.playbooks.stage import Client, Stage, request
from tests.playbooks.steps import counts, is_refused, passes
from tests.playbooks.tls_stage import TlsStage, Turns

NEW = "k2"
"""The id of a key that is not published when a playbook begins."""


class Scene:
    """A stage whose requests wait for keys, and what was asked for."""

    def __init__(self, make: Callable[..., Stage]) -> None:
        self._make = make
        self.asked: list[int] = []
        self.answer = True
        self.fault: Exception | None = None

    def open(self, policies: Policies | None = None, **options: Any) -> Stage:
        self.policies = policies or Policies()
        self.stage = self._make(**self.policies.options(self.ask, **options))
        return self.stage

    def ask(self, issuer: int) -> bool:
        self.asked.append(issuer)
        if self.fault is not None:
            raise self.fault
        return self.answer

    def settles(self, label: str = "a", *kids: str) -> None:
        """The attempt that was asked for ends; kids: what the issuer has now, if that is known."""
        if kids:
            self.policies.publish(label, *kids)
        self.stage.key_wait.fetch_done(self.policies.index(label))

    @property
    def waiting(self) -> int:
        return int(self.stage.totals["waiting"])


@pytest.fixture(params=["whole", "byte by byte", "TLS", "TLS byte by byte"])
def scene(request: pytest.FixtureRequest, files: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    pieces = 1 if "byte" in request.param else None
    turns = Turns()
    if "TLS" in request.param:
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: turns)
    scene = Scene(
        lambda **options: (
            TlsStage(turns, files, pieces, **options) if "TLS" in request.param else Stage(pieces, **options)
        )
    )
    yield scene
    turns.turn()
    assert scene.waiting == 0, "somebody waits for ever"
    assert scene.stage.totals["in_flight"] == 0, "an exchange was not finished"


def parks(scene: Scene, data: bytes | None = None) -> Client:
    """A client whose request waits: nobody hears of it, and it hears of nobody."""
    before, opened = scene.waiting, len(scene.stage.opened)
    client = scene.stage.client()
    client.sends(request(auth=bearer(token("a", NEW))) if data is None else data)
    assert scene.waiting == before + 1 and client.take() == b"" and len(scene.stage.opened) == opened
    assert not client.is_gone()
    return client


def is_served(scene: Scene, client: Client) -> bytes:
    """What waited reached an endpoint and is answered; returns what the endpoint saw."""
    seen = scene.stage.server().take()
    scene.stage.server().sends(OK)
    answer = client.take()
    assert status_of(answer) == 200 and answer.endswith(b"\r\n\r\nok")
    return seen


def test_the_first_token_of_a_new_key_waits_and_passes(scene: Scene) -> None:
    """Judged when the keys are there, forwarded with its identity, counted as accepted and nothing else; the connection goes on."""
    stage = scene.open()
    client = parks(scene)
    assert scene.asked == [0]
    scene.settles("a", "k1", NEW)
    assert scene.waiting == 0 and b"\r\nX-Jwt-Sub: user-of-a\r\n" in is_served(scene, client)
    passes(stage, client, request(auth=bearer(token("a", NEW))))
    assert (stage.totals["accepted"], sum(stage.totals["refusals"]), stage.totals["waited"]) == (2, 0, 1)
    assert scene.asked == [0]


def test_a_fault_of_the_question_refuses_and_is_counted(scene: Scene) -> None:
    """Nobody waits for an answer that cannot come; the connection and the next request go on as if it had been no."""
    stage = scene.open()
    scene.fault = RuntimeError("the board is gone")
    client = stage.client()
    client.sends(request(auth=bearer(token("a", NEW))))
    assert status_of(client.take()) == 401 and not client.is_gone()
    gate = scene.policies.verifier.gate
    assert (gate.faults, gate.last_fault) == (1, "RuntimeError")
    assert counts(stage, 0)["refusals"] == {"UNKNOWN_KEY": 1} and stage.totals["waited"] == 0
    scene.fault = None
    client = parks(scene)
    scene.settles("a", "k1", NEW)
    is_served(scene, client)


def test_an_attempt_that_brings_nothing_refuses_at_once(scene: Scene) -> None:
    """401, once, without asking a second time; the connection goes on, and its next request may wait again."""
    stage = scene.open()
    client = parks(scene)
    scene.settles()
    assert status_of(client.take()) == 401 and not client.is_gone()
    assert counts(stage, 0)["refusals"] == {"UNKNOWN_KEY": 1} and scene.asked == [0] and scene.waiting == 0
    client.sends(request(auth=bearer(token("a", NEW))))
    assert scene.waiting == 1 and scene.asked == [0, 0]
    scene.settles("a", NEW)
    is_served(scene, client)


def test_a_fetch_that_never_ends_is_not_waited_for(scene: Scene) -> None:
    """After its time the request is judged with the keys there are: 401; before, nothing happens to it."""
    stage = scene.open(max_wait=0.0)
    client = parks(scene)
    stage.context.expire()
    assert status_of(client.take()) == 401 and scene.waiting == 0 and not client.is_gone()
    scene.settles("a", NEW)  # too late for that one, and nobody is disturbed
    assert client.take() == b""
    client.lose()
    stage = scene.open(max_wait=60.0)
    client = parks(scene)
    stage.context.expire()
    assert scene.waiting == 1 and client.take() == b""
    scene.settles()
    assert status_of(client.take()) == 401


def test_b4_so_many_wait_and_no_more(scene: Scene) -> None:
    """The third of two is refused at once, for this issuer only; a place that is free again is used (THREATS B4)."""
    stage = scene.open(max_waiting=2)
    clients = [parks(scene), parks(scene)]
    late = stage.client()
    assert status_of(is_refused(stage, late, request(auth=bearer(token("a", NEW, jti="3"))))) == 401
    assert scene.asked == [0, 0], "nobody is asked for one who cannot wait"
    other = stage.client()
    other.sends(request(auth=bearer(token("b", NEW))))
    assert scene.waiting == 3 and scene.asked == [0, 0, 1]
    clients[0].lose()
    late.sends(request(auth=bearer(token("a", NEW))))
    assert scene.waiting == 3
    scene.settles("a", NEW)
    assert scene.waiting == 1, "who waits for another issuer waits on"
    servers = [stage.server(0), stage.server(1)]
    for client, server in zip((clients[1], late), servers, strict=True):
        server.sends(OK)
        assert status_of(client.take()) == 200
    scene.settles("b")
    assert status_of(other.take()) == 401


def test_b4_in_the_cool_down_nobody_waits(scene: Scene) -> None:
    """When no fetch is under way, nor begun for it, an unknown key id is refused at once; so it is when asking fails (THREATS B4)."""
    stage = scene.open()
    scene.answer = False
    client = stage.client()
    for _ in range(3):
        assert status_of(is_refused(stage, client, request(auth=bearer(token("a", NEW))))) == 401
    assert scene.waiting == 0 and stage.totals["waited"] == 0 and len(scene.asked) == 3

    def broken(issuer: int) -> bool:
        raise RuntimeError("no board")

    policies = Policies()
    stage = scene._make(**policies.options(broken))
    assert status_of(is_refused(stage, stage.client(), request(auth=bearer(token("a", NEW))))) == 401


@pytest.mark.parametrize("bad", ["x.y.z", token("a", exp=1), token("a", iss="https://stranger.test")])
def test_only_an_unknown_key_id_is_worth_waiting_for(scene: Scene, bad: str) -> None:
    """Every other bad token is refused at once, and a good one never waits."""
    stage = scene.open()
    client = stage.client()
    assert status_of(is_refused(stage, client, request(auth=bearer(bad)))) == 401
    passes(stage, client, request(auth=bearer(token("a"))))
    assert scene.asked == []


def test_others_are_served_meanwhile(scene: Scene) -> None:
    """Known tokens, tokens of other issuers and refusals do not wait for those who do."""
    stage = scene.open()
    client = parks(scene)
    other = stage.client()
    passes(stage, other, request(auth=bearer(token("a"))))
    passes(stage, other, request(auth=bearer(token("b"))))
    is_refused(stage, other, request(auth=b""))
    assert scene.waiting == 1
    scene.settles("a", NEW)
    is_served(scene, client)


def test_a_client_that_goes_away_leaves_nothing_behind(scene: Scene, tmp_path: Path) -> None:
    """Its place is free, no exchange was begun, the log says that it went, and the keys that come disturb nobody."""
    stage = scene.open(log=tmp_path / "log")
    client = parks(scene)
    client.lose(ConnectionResetError())
    assert scene.waiting == 0 and stage.totals["connections"] == 0
    scene.settles("a", NEW)
    assert stage.opened == [] and stage.totals["requests"] == [1, 0, 0, 0, 0, 0]
    (record,) = stage.records()
    assert (record["status"], record["reason"], record["path"], record["complete"]) == (
        499,
        "client_closed",
        "/",
        False,
    )


def test_a_client_that_ends_its_side_still_gets_its_answer(scene: Scene) -> None:
    """With allow_half_close, half-closed while it waits: forwarded or refused as any, then the connection ends."""
    scene.open(allow_half_close=True)
    client = parks(scene)
    client.ends()
    assert scene.waiting == 1 and not client.is_gone()
    scene.settles("a", "k1", NEW)
    scene.stage.server().sends(OK)
    answer = client.take()
    assert status_of(answer) == 200 and field_of(answer, "Connection") == "close" and client.is_gone()
    client.lose()
    client = parks(scene, request(auth=bearer(token("b", NEW))))
    client.ends()
    scene.settles("b")
    answer = client.take()
    assert status_of(answer) == 401 and field_of(answer, "Connection") == "close"
    assert client.is_gone() or client.transport.ended
    client.lose()


@pytest.mark.parametrize("framing", ["Content-Length: 10", "Transfer-Encoding: chunked"])
def test_a_client_that_ends_its_side_within_its_body_has_given_up(scene: Scene, framing: str) -> None:
    """The rest of that body will never come: nobody waits for it any longer than while it would not have waited for keys."""
    stage = scene.open()
    client = parks(scene, request("POST", "/", framing, body=b"5\r\nhe", auth=bearer(token("a", NEW))))
    client.ends()
    scene.settles("a", NEW)
    if stage.opened:
        stage.server()
    client.take()
    assert client.is_gone()
    client.lose()
    assert all(server.is_gone() for server in stage.opened)


def test_a_pipeline_waits_behind_its_first_request(scene: Scene) -> None:
    """Nothing behind a request that waits is looked at, however good it is; then all are answered in order (THREATS H15)."""
    stage = scene.open()
    data = [request("GET", f"/{at}", auth=bearer(token("a", kid))) for at, kid in enumerate((NEW, "k1", NEW))]
    client = parks(scene, b"".join(data))
    assert scene.asked == [0]
    scene.settles("a", "k1", NEW)
    for at in range(3):
        assert stage.server().take().startswith(b"GET /%d " % at)
        stage.server().sends(OK)
    assert re.findall(rb"HTTP/1.1 (\d+)", client.take()) == [b"200"] * 3
    client = parks(scene, request(auth=bearer(token("b", NEW))) * 2)
    scene.settles("b")
    assert scene.waiting == 1, "the second waits in its turn"
    assert status_of(client.take()) == 401
    scene.settles("b")
    assert status_of(client.take()) == 401 and scene.asked == [0, 1, 1]


def test_s8_who_sends_on_and_on_while_waiting_is_not_read_any_more(scene: Scene) -> None:
    """Past 64 KiB reading stops until the request was judged; nothing of what came is lost (THREATS S8)."""
    stage = scene.open()
    size = 100_000
    client = parks(scene, request("POST", "/", f"Content-Length: {size}", auth=bearer(token("a", NEW))))
    stage.pieces, content = (997 if stage.pieces else None), bytes(range(250)) * (size // 250)
    sent = 0
    while not client.is_paused() and sent < size:
        client.sends(content[sent : sent + 20_000])
        sent += 20_000
    assert client.is_paused() and 64_000 < sent <= size and scene.waiting == 1
    scene.settles("a", NEW)
    server = stage.server()
    client.sends(content[sent:])
    assert server.take().endswith(b"\r\n\r\n" + content)
    server.sends(OK)
    assert status_of(client.take()) == 200


def test_a_body_that_comes_while_waiting_is_forwarded_whole(scene: Scene) -> None:
    """With a length and chunked, all of it or some of it before the keys, the endpoint gets the same bytes."""
    stage = scene.open()
    for kid, early in ((NEW, 11), (NEW, 4), (NEW, 0)):
        client = parks(scene, request("POST", "/", "Content-Length: 11", auth=bearer(token("a", kid))))
        client.sends(b"hello world"[:early])
        assert scene.waiting == 1
        scene.settles("a", "k1", NEW)
        server = stage.server()
        client.sends(b"hello world"[early:])
        assert server.take().endswith(b"\r\n\r\nhello world")
        server.sends(OK)
        assert status_of(client.take()) == 200
        client.lose()
        scene.policies.publish("a", "k1")
    client = parks(scene, request("POST", "/", "Transfer-Encoding: chunked", auth=bearer(token("a", NEW))))
    client.sends(b"5\r\nhello\r\n")
    scene.settles("a", "k1", NEW)
    server = stage.server()
    client.sends(b"6\r\n world\r\n0\r\n\r\n")
    assert bodies(server.take()) == b"hello world"
    server.sends(OK)
    assert status_of(client.take()) == 200


def test_a_refused_body_that_came_while_waiting_is_no_request(scene: Scene) -> None:
    """What was held behind the refused head is skipped by its length, and the next request is served (THREATS H16)."""
    stage = scene.open()
    hidden = request("GET", "/hidden")
    data = request("POST", "/", f"Content-Length: {len(hidden)}", body=hidden, auth=bearer(token("a", NEW)))
    client = parks(scene, data + request("GET", "/next", auth=bearer(token("b"))))
    scene.settles()
    assert stage.server().take().startswith(b"GET /next ")
    stage.server().sends(OK)
    assert re.findall(rb"HTTP/1.1 (\d+)", client.take()) == [b"401", b"200"]


def test_a_drain_lets_those_who_wait_have_their_answer(scene: Scene) -> None:
    """They are no idle connections; the answer is the last one of its connection."""
    stage = scene.open()
    passing, failing = parks(scene), parks(scene, request(auth=bearer(token("b", NEW))))
    stage.context.drain(0.0)
    stage.context.expire()
    assert scene.waiting == 2
    scene.settles("a", NEW)
    stage.server().sends(OK)
    scene.settles("b")
    for client, status in ((passing, 200), (failing, 401)):
        answer = client.take()
        assert status_of(answer) == status and field_of(answer, "Connection") == "close"
        client.lose()


def test_the_end_of_the_worker_ends_those_who_wait(scene: Scene) -> None:
    """Reset like all that is under way, and nobody is left in the book."""
    stage = scene.open()
    client = parks(scene)
    stage.context.close()
    assert client.transport.aborted
    client.lose()
    assert scene.waiting == 0


def test_keys_that_are_withdrawn_meanwhile_are_no_keys(scene: Scene) -> None:
    """When the wait ends with no key at all the answer is 503, as for everybody; a token of a known key that went is refused too."""
    stage = scene.open()
    client = parks(scene)
    scene.policies.publish("a")
    scene.settles()
    answer = client.take()
    assert status_of(answer) == 503 and field_of(answer, "Retry-After")
    assert counts(stage, 0)["refusals"] == {"KEYS_UNAVAILABLE": 1}


def test_the_second_of_two_tokens_can_be_the_one_that_waits(scene: Scene) -> None:
    """all_of: the issuer whose key is unknown is asked for, and both tokens are judged again."""
    policies = Policies(
        "  - {name: both, prefix: /, require: {all_of: [a, b]}}",
        {"a": "", "b": "from_headers: [{name: X-B, scheme: ''}]"},
    )
    scene.open(policies)
    data = request("GET", "/", f"X-B: {token('b', NEW)}", auth=bearer(token("a")))
    client = parks(scene, data)
    assert scene.asked == [1]
    scene.settles("b", NEW)
    assert b"\r\nX-Jwt-Sub: user-of-a\r\nX-Jwt-Sub-B: user-of-b\r\n" in is_served(scene, client)


def test_where_a_refusal_is_only_reported_the_wait_is_the_same(scene: Scene, tmp_path: Path) -> None:
    """report_only: with its key the token is accepted; without it passes as nobody, and is reported once."""
    stage = scene.open(Policies("  - {name: try, prefix: /, report_only: true}"), log=tmp_path / "log")
    client = parks(scene)
    scene.settles()
    assert b"X-Jwt-Sub" not in is_served(scene, client)
    client.sends(request(auth=bearer(token("a", NEW))))
    scene.settles("a", NEW)
    assert b"X-Jwt-Sub: user-of-a" in is_served(scene, client)
    assert counts(stage, 0) == {"refusals": {}, "reported": {"UNKNOWN_KEY": 1}} and stage.totals["accepted"] == 1
    lines = stage.records()
    assert [line.get("would_refuse") for line in lines] == ["unknown_key", None]


def test_whoever_waits_is_no_offender_yet(scene: Scene) -> None:
    """A request that waited and passed is held against nobody; one that waited in vain is, once."""
    policies = Policies(rest="fail_limit: {failures: 9}")
    scene.open(policies)
    assert policies.offenders is not None
    client = parks(scene)
    assert policies.offenders.failures("192.0.2.7", time.monotonic()) == 0
    scene.settles("a", NEW)
    is_served(scene, client)
    client = parks(scene, request(auth=bearer(token("b", NEW))))
    scene.settles("b")
    client.take()
    assert policies.offenders.failures("192.0.2.7", time.monotonic()) == 1


def test_a_client_that_reads_nothing_while_it_waits(scene: Scene) -> None:
    """It waits no longer for that; judged, it is like every client that reads nothing: not served before it reads, given up in the end."""
    stage = scene.open(max_wait=0.0)
    client = parks(scene)
    client.side.pause_writing()
    stage.context.expire()
    assert scene.waiting == 0 and not client.is_gone() and stage.opened == []
    client.side.resume_writing()
    assert status_of(client.take()) == 401
    stage = scene.open(max_wait=0.0, stream_idle=0.0)
    client = parks(scene)
    client.side.pause_writing()
    stage.context.expire()
    assert scene.waiting == 0
    stage.context.expire()
    assert client.transport.aborted
    client.lose()
