"""The real balancer before a backend that does everything wrong: the client gets its own response, 502, or a visible cut. Nothing else."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client import Outcome, request
from tests.harness.corpus import MALFORMED_RESPONSES
from tests.harness.ledger import compare, summary
from tests.harness.load import Job, drive, jobs
from tests.harness.script import pattern
from tests.harness.stage import Stage
from tests.harness.waiting import eventually


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One backend that misbehaves when asked to."""
    with Stage(tmp_path_factory.mktemp("evil")) as stage:
        yield stage


def is_stopped(pid: int) -> bool:
    """The process stands still after SIGSTOP, with each of its threads."""
    return all(
        (thread / "stat").read_text().rpartition(")")[2].split()[0] == "T"
        for thread in Path(f"/proc/{pid}/task").iterdir()
    )


def still_serves(stage: Stage) -> None:
    """The balancer answers the next request, with that request's own response."""
    with stage.client() as fresh:
        assert fresh.ask("/r/x", token=stage.token, id="next").echo_id == "next"


@pytest.mark.parametrize("what", ["bytes", "response", "crlf"])
@pytest.mark.parametrize("when", ["same", "soon", "idle"])
def test_surplus_never_reaches_the_next_request(stage: Stage, what: str, when: str) -> None:
    """Bytes behind a response are nobody's (RFC 9112 section 6.3): the connection they came on is not used again."""
    for number in range(10):
        with stage.client() as client:
            answer = client.ask(f"/evil/surplus?what={what}&when={when}", token=stage.token, id=f"su-{number}")
            assert (answer.outcome, answer.echo_id) == (Outcome.COMPLETE, f"su-{number}")
            follow = client.ask("/r/x", token=stage.token, id=f"fo-{number}")
            if follow.outcome is not Outcome.NONE and follow.echo_id != f"fo-{number}":
                # Only a request that crossed the bytes on the wire may suffer from them.
                assert [record.crossed for record in stage.seen if record.id == f"fo-{number}"][-1:] == [True], (
                    number,
                    follow,
                )
    still_serves(stage)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_split_responses_arrive_whole(stage: Stage, size: int) -> None:
    """A response in tiny pieces is the same response."""
    with stage.client() as client:
        answer = client.ask(f"/evil/split?size={size}&bytes=300", token=stage.token)
        assert answer.body == pattern(300)
        still_serves(stage)


@pytest.mark.parametrize("code", [100, 102, 103])
def test_interim_floods_are_cut_off(stage: Stage, code: int) -> None:
    """More than eight interim responses are 502, or an end; never a flood to the client."""
    with stage.client() as client:
        answer = client.ask(f"/evil/interim?n=1000&code={code}", token=stage.token)
        assert answer.status in (502, 0), answer
        assert len(answer.interim) <= 8
    still_serves(stage)


def test_an_unasked_101_is_502(stage: Stage) -> None:
    """Nobody asked to switch: no tunnel (THREATS Q3)."""
    with stage.client() as client:
        assert client.ask("/evil/switch", token=stage.token).status == 502
    still_serves(stage)


@pytest.mark.parametrize("framing", ["cl", "chunked", "none"])
@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("HEAD", 404)])
def test_bodies_where_none_may_be(stage: Stage, method: str, status: int, framing: str) -> None:
    """The response ends with its head; the body behind it never becomes the next one."""
    with stage.client() as client:
        answer = client.ask(
            f"/evil/bodied?status={status}&framing={framing}", method=method, token=stage.token, id="bodied"
        )
        assert answer.status in (status, 502)
        assert answer.body == b""
        follow = client.ask("/r/x", token=stage.token, id="follow")
        assert follow.outcome is Outcome.NONE or follow.echo_id == "follow"
    still_serves(stage)


@pytest.mark.parametrize("stay", ["", "&stay=1"])
def test_an_early_response_is_delivered(stage: Stage, stay: str) -> None:
    """413 while the upload runs: the client gets it, both connections end, nothing of the upload becomes a request."""
    for number in range(5):
        with stage.client() as client:
            head = request(
                f"/evil/early?status=413{stay}",
                method="POST",
                token=stage.token,
                id=f"ea-{number}",
                fields=["Content-Length: 50000000"],
            )
            client.send(head + request("/r/hidden", token=stage.token, id="hidden") * 10)
            answer = client.response()
            assert (answer.status, answer.echo_id) == (413, f"ea-{number}")
            assert client.is_closed(4.0)
    assert not any(record.id == "hidden" for record in stage.seen)
    still_serves(stage)


@pytest.mark.parametrize("kind", ["line", "fields", "endless"])
def test_response_head_bombs_are_502(stage: Stage, kind: str) -> None:
    """A head over the limits is refused when the limit is reached (THREATS Q13)."""
    with stage.client() as client:
        assert client.ask(f"/evil/bomb?kind={kind}", token=stage.token).status == 502
    still_serves(stage)


@pytest.mark.parametrize("name", ["reset", "close"])
def test_an_end_instead_of_an_answer_is_502(stage: Stage, name: str) -> None:
    """Nothing came: 502 for a POST, which is never sent twice, and for a GET after its one retry."""
    before = len(stage.seen)
    with stage.client() as client:
        assert client.ask(f"/evil/{name}", method="POST", token=stage.token, id="once", body=b"x").status == 502
    assert len(stage.seen) - before == 1
    with stage.client() as client:
        assert client.ask(f"/evil/{name}", token=stage.token).status == 502
    still_serves(stage)


@pytest.mark.parametrize("after", [5, 20, 60])
def test_a_reset_inside_the_head_is_502(stage: Stage, after: int) -> None:
    """Half a head is no head."""
    with stage.client() as client:
        assert client.ask(f"/evil/reset?after={after}", token=stage.token).status == 502
    still_serves(stage)


@pytest.mark.parametrize("number", range(len(MALFORMED_RESPONSES)), ids=[name for name, _ in MALFORMED_RESPONSES])
def test_malformed_responses_are_502_or_an_abort(stage: Stage, number: int) -> None:
    """No malformed response looks like a good one, and its connection is not used again."""
    with stage.client() as client:
        answer = client.ask(f"/evil/malformed?case={number}", token=stage.token)
    assert answer.status == 502 or answer.outcome is not Outcome.COMPLETE, (MALFORMED_RESPONSES[number], answer.head)
    with stage.client() as client:
        assert client.ask("/r/x", token=stage.token, id="next").echo_id == "next"


def test_a_crowd_of_misbehaviours_harms_nobody_else(stage: Stage) -> None:
    """Good and evil requests mixed over shared backend connections: every good one gets its own whole response."""
    names = [
        "surplus?when=same",
        "surplus?when=idle&ms=2",
        "surplus?what=bytes&when=soon",
        "interim?n=50",
        "switch?",
        "bodied?status=204",
        "reset?",
        "close?",
        "truncate?cut=10",
        "malformed?case=3",
        "split?size=5",
        "linger?ms=3",
    ]
    before = len(stage.seen)
    work: list[Job] = []
    for number in range(60):
        work += jobs(4, stage.token, prefix=f"good-{number}")
        work += jobs(1, stage.token, prefix=f"evil-{number}", target=f"/evil/{names[number % len(names)]}&id={{id}}")
    samples = drive(stage.port, work, connections=8, timeout=10.0)
    findings = compare(samples, stage.seen[before:], may_fail=True)
    assert not findings, summary(findings)
    crossed = {
        record.id for record in stage.seen[before:] if record.crossed
    }  # stray bytes or a FIN were on their way: nobody can know
    bad = [sample for sample in samples if sample.id.startswith("good") and not sample.is_good]
    assert not [sample for sample in bad if sample.id not in crossed], (bad, crossed)


@pytest.mark.parametrize("request_first", [False, True])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("what", ["response", "end"])
def test_what_came_while_the_balancer_stood_still_is_seen(
    stage: Stage, what: str, method: str, request_first: bool
) -> None:
    """Bytes or a FIN on an idle connection are noticed before a request is sent on it, whichever event comes first."""
    (worker,) = stage.balancer.workers
    backend = stage.backends[0]
    body = b"x" if method == "POST" else None

    done = threading.Event()

    def misbehave() -> None:
        for connection in list(backend.site.connections):
            if what == "end":
                connection.transport.close()
            else:
                os.write(
                    connection.transport.get_extra_info("socket").fileno(),
                    b"HTTP/1.1 200 OK\r\nX-Echo-Id: stray\r\nContent-Length: 0\r\n\r\n",
                )
        backend.call_soon(done.set)  # a transport that is closed closes its socket with the next turn of the loop

    for number in range(5):
        with stage.client() as client:
            assert client.ask("/r/x", token=stage.token).status == 200
            os.kill(worker, signal.SIGSTOP)
            try:
                assert eventually(lambda: is_stopped(worker))  # it may have been at work on another core
                for ask in (True, False) if request_first else (False, True):
                    if ask:
                        client.send(request("/r/x", method=method, token=stage.token, id=f"still-{number}", body=body))
                    else:
                        done.clear()
                        backend.call_soon(misbehave)
                        assert done.wait(30.0)
            finally:
                os.kill(worker, signal.SIGCONT)
            assert client.response().echo_id == f"still-{number}"
