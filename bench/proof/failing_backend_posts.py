"""The faults of `failing_backend` with POST: nothing is executed twice."""

from __future__ import annotations

from pathlib import Path

from bench.proof.failing_backend import FAULTS, rate_for, under_fault
from bench.proof.registry import Bar, Result
from bench.proof.scene import Tally
from tests.harness.ledger import compare


def run(n: int, directory: Path) -> Result:
    """Each fault in turn; what fails is not sent again, and so may be lost."""
    tally = Tally()
    figures = []
    for name, fault in FAULTS.items():
        outcome = under_fault(
            n // len(FAULTS), rate_for(n), directory / name.replace(" ", "-"), fault, "POST", b"order"
        )
        findings = [finding for finding in compare(outcome.samples, outcome.records) if finding.kind == "duplication"]
        tally.add(outcome.samples, findings)
        figures.append(f"{name}: {sum(not sample.is_good for sample in outcome.samples)} failed")
    return Result(tally.sent, "; ".join(figures), tally.count() == 0, failures=tally.count(), note=tally.note)


BAR = Bar(
    "failing_backend_posts",
    "the same faults with POST: 0 duplicates at backends",
    2_500,
    55_000,
    run,
)
