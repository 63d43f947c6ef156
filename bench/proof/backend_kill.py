"""One of three backends is killed every second and comes back, under a steady open-loop load; `post_retries` uses the same chaos."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import Tally, scene, taken
from tests.harness.ledger import compare
from tests.harness.load import Sample, drive, jobs, quantile
from tests.harness.record import Seen
from tests.harness.stage import Stage

RATE = 1000.0  # requests a second


def chaos(stage: Stage, stop: threading.Event, kills: list[tuple[float, float]]) -> None:
    """Kill one backend a second, in turn, each down for 300 ms; times of kill and return are noted."""
    number = 0
    while not stop.wait(0.7):
        backend = stage.processes[number % len(stage.processes)]
        before = time.monotonic()
        backend.kill()
        after = time.monotonic()
        kills.append((before, after))
        time.sleep(0.3)
        backend.start()
        number += 1


def under_chaos(
    n: int, directory: Path, method: str, body: bytes | None
) -> tuple[list[Sample], list[Seen], list[tuple[float, float]]]:
    """`n` requests at 1,000 a second while backends die."""
    with scene(directory, processes=3) as stage:
        stop = threading.Event()
        kills: list[tuple[float, float]] = []
        killer = threading.Thread(target=chaos, args=(stage, stop, kills))
        killer.start()
        try:
            samples = drive(
                stage.port,
                jobs(n, stage.token, prefix="c", method=method, body=body, target="/slow/3?{id}"),
                rate=RATE,
                connections=200,
            )
        finally:
            stop.set()
            killer.join()
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
