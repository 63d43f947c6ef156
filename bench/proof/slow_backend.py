"""
One of three backends is ten times as slow as the others, under `balancing: least_time`: it gets so little that it does not decide the p99 of all
requests. Under least requests it would: its share of them is about a twentieth.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import Tally, scene, taken
from tests.harness.ledger import compare
from tests.harness.load import drive, jobs, quantile

RATE = 200.0  # requests a second: what Python backends answer without a queue of their own
QUICK, SLOW = 20, 200  # milliseconds that a backend takes
FACTOR = 2.0


def measured(n: int, directory: Path, slow: int, tally: Tally) -> tuple[float, float]:
    """The p99 in seconds of `n` requests when one backend takes `slow` milliseconds, and its share of them."""
    directory.mkdir()
    delays = [slow, QUICK, QUICK]
    with scene(directory, processes=3, slow=delays, clusters={"main": {"balancing": "least_time"}}) as stage:
        samples = drive(stage.port, jobs(n, stage.token, prefix="s"), rate=RATE, connections=200)
        records = taken(stage)
    tally.add(samples, compare(samples, records))
    counts = Counter(record.backend for record in records)
    return quantile((sample.latency for sample in samples), 0.99), counts["b0"] / max(1, len(records))


def run(n: int, directory: Path) -> Result:
    """Without the slow one, then with it."""
    tally = Tally()
    quiet, _ = measured(n // 2, directory / "quiet", QUICK, tally)
    slow, share = measured(n // 2, directory / "slow", SLOW, tally)
    failed = tally.count()
    figure = f"p99 {slow * 1000:.0f} ms, quiet {quiet * 1000:.0f} ms; share of the slow one {100 * share:.2f} %"
    return Result(n, figure, not failed and slow <= FACTOR * quiet, failures=failed, note=tally.note)


BAR = Bar(
    "slow_backend",
    "p99 at most twice the quiet one while one of three backends takes ten times as long, with `balancing: least_time`",
    0,
    20_000,
    run,
    alias="B-15",
)
