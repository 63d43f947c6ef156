"""Backends, shadow verifier, client and load: each does what the proofs rely on, and sees the fault it is there to see."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.harness.backend import Backend
from tests.harness.behaviour import good
from tests.harness.client import Client, Outcome, request
from tests.harness.evil import MISBEHAVIOURS
from tests.harness.ledger import compare
from tests.harness.load import drive, jobs, quantile
from tests.harness.ports import free_port
from tests.harness.processes import BackendProcess
from tests.harness.procfs import fd_count, is_alive, memory
from tests.harness.record import Seen
from tests.harness.script import Hang, Script, Send, Wait
from tests.harness.tokens import ShadowVerifier, TokenFactory
from tests.harness.waiting import eventually


@pytest.fixture(scope="module")
def tokens() -> TokenFactory:
    """One issuer for the module."""
    return TokenFactory()


def test_the_shadow_verifier_has_its_own_opinion(tokens: TokenFactory) -> None:
    """Good tokens of each key type pass; none, two, expired, foreign and misaddressed ones do not."""
    shadow = ShadowVerifier(tokens.jwks(), tokens.issuer, tokens.audience)

    def judge(*values: str) -> str:
        return shadow.judge([value.encode() for value in values])

    for algorithm in ("RS256", "ES256", "EdDSA"):
        token = tokens.mint(algorithm)
        assert [judge(f"Bearer {token}"), judge(f"bearer  {token}")] == ["ok", "ok"]
        assert judge(f"Bearer {token}", f"Bearer {token}") == "several tokens"
    for bad in (
        tokens.mint(lifetime=-120),
        tokens.mint(aud="x"),
        tokens.mint(iss="x"),
        tokens.mint(exp=None),
        TokenFactory().mint(),
        "x",
    ):
        assert judge(f"Bearer {bad}") != "ok"
    assert judge() == "no token"


def test_the_shadow_verifier_forgets_what_has_expired(tokens: TokenFactory) -> None:
    """A remembered token is not accepted past its time."""
    shadow = ShadowVerifier(tokens.jwks(), tokens.issuer, tokens.audience, skew=0.0)
    value = [b"Bearer " + tokens.mint("ES256", exp=int(time.time()) + 1).encode()]
    assert shadow.judge(value) == "ok"
    time.sleep(2.0)
    assert shadow.judge(value) == "ExpiredSignatureError"


def test_a_killed_backend_loses_no_record(tmp_path: Path, tokens: TokenFactory) -> None:
    """What a process saw before SIGKILL is in its file, also when it never answered; a restart goes on on the same port."""
    with BackendProcess("b", tmp_path, tokens) as backend:
        with Client(backend.port) as client:
            client.ask("/r/x", token=tokens.mint(), id="answered")
            client.send(request("/evil/hang", token="wrong", id="hung"))
            assert eventually(lambda: b'"hung"' in backend.records.read_bytes())
        pid = backend.pid
        backend.kill()
        assert not is_alive(pid)
        backend.start()
        with Client(backend.port) as client:
            client.ask("/r/x", id="later", method="POST", body=b"x")
        records = {record.id: record for record in backend.take()}
        assert [(id, record.verified, record.sent) for id, record in records.items()] == [
            ("answered", "ok", True),
            ("hung", "DecodeError", False),
            ("later", "no token", True),
        ]
        assert backend.take() == []


def test_a_fault_of_the_backend_fails_the_run(tokens: TokenFactory) -> None:
    """An exception inside a behaviour is recorded as a violation, never swallowed."""

    def broken(seen: Seen) -> bytes:
        raise RuntimeError("a behaviour with a bug")

    with Backend(broken) as backend:
        with Client(backend.port) as client:
            client.ask("/r/x")
        assert any("a behaviour with a bug" in fault for fault in backend.site.faults)
        assert "unverified" in {finding.kind for finding in compare([], backend.seen)}


@pytest.mark.parametrize("name", sorted(MISBEHAVIOURS))
def test_every_misbehaviour_is_seen_by_a_strict_client(name: str) -> None:
    """Spoken to directly, each evil answer shows: the client does not mistake it for an ordinary exchange."""
    query = {
        "truncate": "size=100&cut=5",
        "malformed": "case=0",
        "bomb": "kind=fields",
        "surplus": "what=response",
        "interim": "n=20",
        "bodied": "status=204",
        "early": "status=413",
        "linger": "ms=1",
    }.get(name, "")
    # A short wait only where nothing may come: the backend may take its time.
    has_end = name in ("split", "surplus", "bodied", "linger")
    has_more = name in ("surplus", "bodied", "linger")
    with Backend(good) as backend, Client(backend.port) as client:
        client.send(request(f"/evil/{name}?{query}", id="evil"))
        answer = client.response(30.0 if has_end else 0.5)
        client.reader.expect(b"GET")
        follow = client.response(30.0 if has_more else 0.3)
    ordinary = answer.is_complete and answer.status == 200 and not answer.interim and follow.outcome is Outcome.TIMEOUT
    assert (not ordinary) is (name != "split")
    if name in ("surplus", "bodied"):
        assert follow.outcome is Outcome.GARBAGE or follow.echo_id == "stray"


def test_a_stall_is_charged_to_every_request_it_delayed() -> None:
    """Open loop: a backend that stands still for half a second shows in the latency of all that arrived meanwhile."""
    began: list[float] = []  # when the first request came

    def stalls(seen: Seen) -> bytes | Script:
        began.append(time.monotonic())
        answer, since = good(seen), began[-1] - began[0]
        if isinstance(answer, bytes) and 0.3 < since < 0.8:
            return Script((Wait(0.8 - since), Send(answer)))
        return answer

    with Backend(stalls) as backend:
        samples = drive(backend.port, jobs(500, "x", prefix="s"), rate=500, connections=4)
    slow = [sample for sample in samples if sample.latency > 0.1]
    assert all(sample.is_good for sample in samples)
    assert len(slow) > 100
    assert quantile((sample.latency for sample in samples), 0.5) < quantile(
        (sample.latency for sample in samples), 0.95
    )


def test_the_load_gives_up_on_a_backend_that_hangs() -> None:
    """A request without an answer ends as TIMEOUT, and the run ends."""
    with Backend(lambda seen: Script((Hang(),))) as backend:
        samples = drive(backend.port, jobs(3, "x", prefix="h"), connections=3, timeout=0.5)
    assert [sample.outcome for sample in samples] == [Outcome.TIMEOUT] * 3


def test_a_refused_connection_is_a_sample_too() -> None:
    """Nobody listens: every request has its failed sample."""
    samples = drive(free_port(), jobs(5, "x", prefix="n"), connections=2)
    assert [(sample.outcome, sample.status) for sample in samples] == [(Outcome.RESET, 0)] * 5


def test_outcomes_are_told_apart() -> None:
    """COMPLETE, TRUNCATED, RESET, NONE and TIMEOUT each for its own reason."""
    expected = {
        "/r/x": Outcome.COMPLETE,
        "/eof/1000": Outcome.COMPLETE,
        "/evil/truncate?size=10&cut=1": Outcome.TRUNCATED,
        "/evil/truncate?size=10&cut=1&framing=eof": Outcome.RESET,
        "/evil/reset": Outcome.RESET,
        "/evil/close": Outcome.NONE,
        "/evil/hang": Outcome.TIMEOUT,
        "/evil/truncate?size=10&cut=1&framing=chunked": Outcome.TRUNCATED,
    }
    with Backend(good) as backend:
        for target, outcome in expected.items():
            with Client(backend.port, timeout=0.5 if outcome is Outcome.TIMEOUT else 30.0) as client:
                assert client.ask(target).outcome is outcome, target


def test_the_backend_holds_back_for_a_slow_reader() -> None:
    """A stream under back-pressure is not buffered in the backend: it is not sent until it is read."""
    with Backend(good) as backend, Client(backend.port, receive_buffer=8192) as client:
        client.send(request("/bytes/50000000", id="big"))
        assert eventually(lambda: backend.seen)
        time.sleep(0.3)
        assert not backend.seen[0].sent
        assert len(client.response(60.0).body) == 50_000_000


def test_procfs_sees_this_process() -> None:
    """Memory and files of a process that is known to have some."""
    pid = threading.main_thread().native_id
    assert pid is not None
    assert memory(pid) > 1 << 20
    assert fd_count(pid) >= 3
    assert is_alive(pid)
