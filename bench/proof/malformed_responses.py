"""The corpus of malformed responses."""

from __future__ import annotations

from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import scene, taken
from tests.harness.client import Outcome
from tests.harness.corpus import MALFORMED_RESPONSES
from tests.harness.load import Job, drive, jobs


def run(n: int, directory: Path) -> Result:
    """Each case with the connection closed behind it and, where it is a whole message, left open."""
    names = [name for name, _ in MALFORMED_RESPONSES]
    with scene(
        directory, processes=2, clusters={"main": {"response_timeout": "10s"}}, timeouts={"stream_idle": "2s"}
    ) as stage:
        workers = stage.balancer.workers
        work: list[Job] = []
        for number in range(n):
            work += jobs(
                1, stage.token, prefix=f"m-{number}", target=f"/evil/malformed?case={number % len(names)}&id={{id}}"
            )
            work += jobs(1, stage.token, prefix=f"ok-{number}")
        samples = drive(stage.port, work, connections=16)
        records = taken(stage)
        survived = stage.balancer.workers == workers
    last: dict[str, int] = {}
    for record in records:
        last[record.conn] = max(last.get(record.conn, 0), record.ordinal)
    reused = [record for record in records if not record.whole and last[record.conn] > record.ordinal]
    wrong = [
        f"{names[int(sample.id.split('-')[1]) % len(names)]}: {sample.outcome.value} {sample.status}"
        for sample in samples
        if sample.id.startswith("m-") and sample.status != 502 and sample.outcome is Outcome.COMPLETE
    ]
    wrong += [
        f"honest request {sample.id}: {sample.outcome.value} {sample.status}"
        for sample in samples
        if sample.id.startswith("ok-") and not sample.is_good
    ]
    bad = len(wrong) + len(reused) + (not survived)
    figure = f"{len(wrong)} answered wrongly, {len(reused)} connections reused, {'no' if survived else 'a'} worker exit"
    return Result(n, figure, bad == 0, failures=bad, note="\n".join(sorted(set(wrong))[:12]))


BAR = Bar(
    "malformed_responses",
    "malformed responses: each becomes 502 or an abort, its connection is not reused, 0 worker exits",
    len(MALFORMED_RESPONSES),
    4 * len(MALFORMED_RESPONSES),
    run,
    alias="B-12",
)
