"""Retries between real processes: two workers, backends that refuse, hang or break, and a ledger of every request that reached one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.proof.retry_budget import MOST, SPARE
from tests.harness.balancer import Balancer
from tests.harness.behaviour import good, ordinary, slowed
from tests.harness.ledger import compare, summary
from tests.harness.load import drive, jobs
from tests.harness.ports import deaf, free_port
from tests.harness.record import Seen
from tests.harness.script import Close, Script, Send, Wait
from tests.harness.stage import Stage
from tests.harness.waiting import eventually

WORKERS = 2
ALWAYS_ALLOWED = 3  # requests sent again at a time whatever the budget says


def busy(seen: Seen) -> bytes:
    """Every request gets 503."""
    return ordinary(seen, b"503 Busy")


def busy_after(seconds: float) -> Callable[[Seen], Script]:
    return lambda seen: Script((Wait(seconds), Send(busy(seen))))


def broken_after(seconds: float) -> Callable[[Seen], Script]:
    return lambda seen: Script((Wait(seconds), Close()))


def route(**keys: Any) -> dict[str, Any]:
    """Changes to the configuration: two workers and one route."""
    return {"workers": WORKERS, "routes": [{"name": "all", **keys}]}


def total(balancer: Balancer, metric: str) -> float:
    return sum(
        float(line.rpartition(" ")[2])
        for line in balancer.admin_get("/metrics")[1].decode().splitlines()
        if line.startswith(metric)
    )


def test_a_chosen_status_is_seen_by_no_get_and_no_post_arrives_twice(tmp_path: Path) -> None:
    """One of three backends answers 503: each GET gets its 200 from another one, each POST what its only backend said."""
    changes = route(retry={"attempts": 2, "on": ["connect_failure", "reset", 503]})
    with Stage(tmp_path, behaviours=[busy, good, good], clusters={"main": {"ejection": False}}, **changes) as stage:
        work = [*jobs(600, stage.token, prefix="get"), *jobs(300, stage.token, prefix="post", method="POST", body=b"x")]
        samples = drive(stage.port, work, connections=ALWAYS_ALLOWED)
        assert {sample.status for sample in samples if sample.id.startswith("get")} == {200}
        assert {sample.status for sample in samples if sample.id.startswith("post")} == {200, 503}
        arrived = Counter(record.id for record in stage.seen)
        assert all(arrived[f"post-{number}"] == 1 for number in range(300))
        findings = compare(samples, stage.seen, retries=2, may_fail=True)
        assert not findings, summary(findings)
        retries = sum(arrived[f"get-{number}"] - 1 for number in range(600))
        assert retries == total(stage.balancer, "lbjwt_retries_total") > 0


def test_a_try_that_hangs_costs_no_get(tmp_path: Path) -> None:
    """One of two backends never answers in time: its GETs go to the other one after `try_timeout`, its POSTs fail once."""
    rule = {"attempts": 1, "on": ["connect_failure", "reset", "timeout"], "try_timeout": "1s"}
    changes = route(retry=rule)
    with Stage(tmp_path, behaviours=[slowed(5000), good], **changes) as stage:
        work = [*jobs(40, stage.token, prefix="get"), *jobs(20, stage.token, prefix="post", method="POST", body=b"x")]
        samples = drive(stage.port, work, connections=ALWAYS_ALLOWED)
        assert {sample.status for sample in samples if sample.id.startswith("get")} == {200}
        arrived = Counter(record.id for record in stage.seen)
        assert max(arrived[f"post-{number}"] for number in range(20)) == 1
        records = stage.balancer.settled_access_log(len(work))
        assert any(record["retries"] == 1 and record["failed_endpoints"] for record in records)


@pytest.mark.quiet
def test_the_deadline_of_a_route_holds_over_all_tries(tmp_path: Path) -> None:
    """Every backend hangs: 504 at the deadline, not after three try timeouts."""
    rule = {"attempts": 5, "on": ["timeout"], "try_timeout": "400ms"}
    with Stage(tmp_path, behaviours=[slowed(5000)] * 3, **route(timeout="1s", retry=rule)) as stage:
        samples = drive(stage.port, jobs(6, stage.token, prefix="get"), connections=ALWAYS_ALLOWED)
        assert [sample.status for sample in samples] == [504] * 6
        assert all(0.9 <= sample.latency < 1.6 for sample in samples), [sample.latency for sample in samples]
        records = stage.balancer.settled_access_log(6)
        assert {record["reason"] for record in records} == {"route_timeout"}
        assert all(record["attempts"] >= 2 for record in records)


def test_an_endpoint_that_swallows_packets_costs_no_request(tmp_path: Path) -> None:
    """The route's timeout is shorter than `connect_timeout`: every request has its response in time, and the endpoint is ejected."""
    port = free_port()
    silent = f"127.0.0.1:{port}"
    limits = {"main": {"connect_timeout": "2700ms"}}
    with (
        deaf("127.0.0.1", port),
        Stage(
            tmp_path, behaviours=[good, good], endpoints=[silent], clusters=limits, **route(timeout="2400ms")
        ) as stage,
    ):
        samples = drive(stage.port, jobs(60, stage.token, prefix="get"), rate=100.0, connections=60)
        samples += drive(stage.port, jobs(60, stage.token, prefix="post", method="POST", body=b"x"), rate=100.0)
        assert {sample.status for sample in samples} == {200}, [s for s in samples if s.status != 200][:3]
        assert eventually(lambda: stage.balancer.metric("lbjwt_endpoint_ejected", endpoint=silent))


@pytest.mark.parametrize("failing", [busy_after(0.05), broken_after(0.05)], ids=["status", "reset"])
def test_when_all_backends_fail_their_load_grows_by_a_fifth_at_most(
    tmp_path: Path, failing: Callable[[Seen], Script]
) -> None:
    """100 clients, two workers, three backends that fail every request: the budget of 20 % holds over both workers, and is used."""
    changes = route(retry={"attempts": 1, "on": ["connect_failure", "reset", 503]})
    with Stage(tmp_path, behaviours=[failing] * 3, **changes) as stage:
        samples = drive(stage.port, jobs(3000, stage.token, prefix="get"), connections=100)
        assert {sample.status for sample in samples} <= {502, 503}
        arrived = len(stage.seen)
        assert 3000 < arrived <= MOST * 3000 + SPARE, arrived
        assert total(stage.balancer, "lbjwt_retries_over_budget_total") > 0
        endpoints = json.loads(stage.balancer.admin_get("/status")[1])["endpoints"]
        assert sum(endpoint["requests"] for endpoint in endpoints) == arrived
