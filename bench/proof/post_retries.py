"""The deaths of `backend_kill` with POST: nothing is executed twice, and only what was in flight on the dead backend fails."""

from __future__ import annotations

from pathlib import Path

from bench.proof.backend_kill import under_chaos
from bench.proof.registry import Bar, Result
from bench.proof.scene import Tally
from tests.harness.ledger import compare

SLACK = 0.02  # seconds around a kill: the client's clock readings are not the kernel's


def run(n: int, directory: Path) -> Result:
    """A failure is excused only when the request was on its way at the instant of a kill."""
    samples, records, kills = under_chaos(n, directory, "POST", b"order")
    tally = Tally()
    tally.add(samples, [finding for finding in compare(samples, records) if finding.kind != "loss"])
    failed = [sample for sample in samples if not sample.is_good]
    unexcused = [
        sample
        for sample in failed
        if not any(
            sample.at - SLACK <= after and before <= sample.at + sample.latency + SLACK for before, after in kills
        )
    ]
    bad = tally.count() + len(unexcused)
    figure = f"{tally.count('duplication')} duplicates, {len(failed)} failed in {len(kills)} kills, {len(unexcused)} of them not in flight at a kill"
    return Result(n, figure, bad == 0 and bool(kills), failures=bad, note=tally.note)


BAR = Bar(
    "post_retries",
    "the same chaos with POST: 0 duplicates at backends, and only requests in flight on the dead backend fail",
    2500,
    60_000,
    run,
    alias="B-2",
)
