"""One of three backends is killed every second and comes back, under a steady open-loop load; `post_retries` does the same with POST."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from bench.proof.keyscene import stepwise
from bench.proof.registry import Bar, Result
from bench.proof.scene import Tally, scene, taken
from tests.harness.ledger import compare
from tests.harness.load import Sample, drive, jobs, quantile
from tests.harness.processes import BackendProcess
from tests.harness.record import Seen

RATE = 1000.0  # requests a second
CONNECTIONS = 200


def under_chaos(
    n: int, directory: Path, method: str, body: bytes | None
) -> tuple[list[Sample], list[Seen], list[tuple[float, float]]]:
    """
    `n` requests at 1,000 a second; backends die in turn, each after 1,000 requests more, and are back 300 requests later.

    Counted in requests, of which at most `CONNECTIONS` are under way: so none meets two deaths, however slow the machine is. Times before and
    after each kill are noted.
    """
    kills: list[tuple[float, float]] = []
    with scene(directory, processes=3) as stage, ThreadPoolExecutor(1) as pool:

        def kill(backend: BackendProcess) -> None:
            before = time.monotonic()
            backend.kill()
            kills.append((before, time.monotonic()))

        steps: dict[int, Callable[[], object]] = {}
        for number, at in enumerate(range(700, n, 1000)):
            backend = stage.processes[number % len(stage.processes)]
            steps[at] = partial(kill, backend)
            steps[at + 300] = partial(pool.submit, backend.start)
        work = jobs(n, stage.token, prefix="c", method=method, body=body, target="/slow/3?{id}")
        samples = drive(stage.port, stepwise(iter(work), steps), rate=RATE, connections=CONNECTIONS)
        return samples, taken(stage), kills


def run(n: int, directory: Path) -> Result:
    """GET: nothing may fail."""
    samples, records, kills = under_chaos(n, directory, "GET", None)
    tally = Tally()
    tally.add(samples, compare(samples, records))
    failed = tally.count()
    latency = quantile((sample.latency for sample in samples), 0.99)
    return Result(
        n,
        f"{failed} findings in {len(kills)} kills, p99 {latency * 1000:.0f} ms",
        failed == 0 and bool(kills),
        failures=failed,
        note=tally.note,
    )


BAR = Bar(
    "backend_kill",
    "0 failed idempotent requests while 1 of 3 backends is killed and restarted every second, at 1,000 requests/s",
    2500,
    60_000,
    run,
    alias="B-1",
)
