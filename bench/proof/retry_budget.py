"""Every backend answers 503 after 20 ms, and the route asks for two more tries: the budget keeps the backends from three times the load."""

from __future__ import annotations

from pathlib import Path

from bench.proof.registry import Bar, Result
from tests.harness.behaviour import ordinary
from tests.harness.load import drive, jobs
from tests.harness.record import Seen
from tests.harness.script import Script, Send, Wait
from tests.harness.stage import Stage, issuer

MOST = 1.2  # requests at the backends for each that clients sent
SPARE = 12  # more: while fewer than three are sent again at a time, the budget is not asked, which happens at the two ends of a run


def overloaded(seen: Seen) -> Script:
    """503, after a time in which other requests come."""
    return Script((Wait(0.02), Send(ordinary(seen, b"503 Service Unavailable"))))


def run(n: int, directory: Path) -> Result:
    """Closed loop, 64 requests at once, two workers, each with a budget of its own."""
    with Stage(
        directory,
        tokens=issuer(),
        behaviours=(overloaded,) * 3,
        workers=2,
        access_log=...,
        clusters={"main": {"retry_budget": "20%"}},
        routes=[{"name": "all", "retry": {"attempts": 2, "on": ["connect_failure", "reset", 503]}}],
    ) as stage:
        samples = drive(stage.port, jobs(n, stage.token, prefix="b"), connections=64)
        reached = len(stage.seen)
        passed_on = sum(sample.status == 503 for sample in samples)
    load = reached / n
    figure = f"{load:.3f} × the offered requests reached the backends (≤ {MOST} and {SPARE} requests), {passed_on:,} of {n:,} got their 503"
    return Result(
        n,
        figure,
        n < reached <= MOST * n + SPARE and passed_on == n,
        note="" if reached > n else "nothing was tried again",
    )


BAR = Bar(
    "retry_budget",
    "all backends fail: at most 1.2 times the offered requests reach them with a budget of 20 %, and every client gets the failure",
    4000,
    100_000,
    run,
    alias="B-14",
)
