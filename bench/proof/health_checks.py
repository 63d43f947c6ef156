"""Active checks take a dead backend out of rotation and bring it back, and a flapping one costs next to nothing."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import Tally, scene, taken
from tests.harness.ledger import compare
from tests.harness.load import drive, jobs
from tests.harness.stage import Stage

RATE = 500.0  # requests a second
OUT = 2.0  # seconds until a dead backend is out of rotation
CHECK = {"type": "tcp", "interval": "1s", "timeout": "500ms", "rise": 2, "fall": 2}


def until(stage: Stage, address: str, healthy: int) -> float:
    """Seconds until the checks say so of an endpoint; more than ten: they never did."""
    begin = time.monotonic()
    while (seconds := time.monotonic() - begin) <= 10.0:
        if stage.balancer.metric("lbjwt_endpoint_healthy", endpoint=address) == healthy:
            break
        time.sleep(0.02)
    return seconds


def flap(stage: Stage, stop: threading.Event, kills: list[float]) -> None:
    """Kill one backend and start it again, each time for half a second."""
    backend = stage.processes[0]
    while not stop.wait(0.5):
        backend.kill()
        kills.append(time.monotonic())
        time.sleep(0.5)
        backend.start()


def run(n: int, directory: Path) -> Result:
    """First one backend dies and comes back, then it flaps under load."""
    outs, backs = [], []
    with scene(directory, processes=3, clusters={"main": {"health_check": CHECK}}) as stage:
        backend = stage.processes[0]
        for _ in range(max(2, n // 3000)):
            backend.kill()
            outs.append(until(stage, backend.address, 0))
            backend.start()
            backs.append(until(stage, backend.address, 1))
        stop = threading.Event()
        kills: list[float] = []
        flapping = threading.Thread(target=flap, args=(stage, stop, kills))
        flapping.start()
        try:
            work = jobs(n, stage.token, prefix="f", target="/slow/3?{id}")
            samples = drive(stage.port, work, rate=RATE, connections=32)
        finally:
            stop.set()
            flapping.join()
        tally = Tally()
        tally.add(samples, compare(samples, taken(stage), may_fail=True))
    failed = sum(sample.status != 200 for sample in samples)
    figure = (
        f"out after {max(outs):.2f} s at most, back after {min(backs):.2f} to {max(backs):.2f} s ({len(outs)} deaths); "
        f"{failed} of {n:,} failed in {len(kills)} flaps"
    )
    # Two checks that pass are at least 0.9 s apart.
    good = max(outs) <= OUT and min(backs) >= 0.8 and max(backs) <= 2 * OUT
    return Result(n, figure, good and bool(kills) and failed <= n // 100 and not tally.count(), note=tally.note)


BAR = Bar(
    "health_checks",
    "checked each second, a dead backend is out of rotation within 2 s, back after 2 passed checks; flapping each second fails ≤ 1 % of requests",
    1500,
    30_000,
    run,
    alias="B-6",
)
