"""Backends close idle connections after a random 0 to 50 ms."""

from __future__ import annotations

from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import Tally, scene, taken
from tests.harness.ledger import compare
from tests.harness.load import drive, jobs

RATE = 2000.0  # requests a second: low enough that connections are idle now and then


def run(n: int, directory: Path) -> Result:
    """Half GET, half POST, interleaved by halves of a round."""
    tally = Tally()
    get_failures = post_failures = excused = 0
    with scene(directory, processes=2, idle_close=(0.0, 0.05)) as stage:
        for number in range(max(1, n // 20_000)):
            count = min(n, 20_000) // 2
            work = [
                job
                for pair in zip(
                    jobs(count, stage.token, prefix=f"get{number}"),
                    jobs(count, stage.token, prefix=f"post{number}", method="POST", body=b"order"),
                    strict=True,
                )
                for job in pair
            ]
            samples = drive(stage.port, work, rate=RATE, connections=64)
            records = taken(stage)
            findings = compare(samples, records)
            crossed = {record.id for record in records if record.crossed}
            tally.crossed += len(crossed)
            get_failures += sum(not sample.is_good for sample in samples if sample.method == "GET")
            failed = {sample.id for sample in samples if sample.method == "POST" and not sample.is_good}
            post_failures += len(failed - crossed)
            excused += len(failed & crossed)
            tally.add(samples, [finding for finding in findings if finding.kind != "loss"])
    allowed = max(1, int(tally.sent / 2 * 0.0001))
    figure = (
        f"{get_failures} GET failed, {post_failures} POST failed (≤ {allowed}), {tally.count('duplication')} duplicates; "
        f"{excused} POST crossed a FIN on the wire"
    )
    passed = get_failures == 0 and post_failures <= allowed and tally.count() == 0
    return Result(tally.sent, figure, passed, failures=get_failures + tally.count(), note=tally.note)


BAR = Bar(
    "idle_close_race",
    "backends close idle connections at random 0–50 ms: 0 GET fail, POST fail ≤ 0.01 %, 0 duplicates",
    2000,
    100_000,
    run,
    alias="B-3",
)
