"""Backends send surplus bytes, second responses and early bytes on idle connections; nobody gets another's response."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import in_rounds, scene
from tests.harness.load import Job, jobs

EVIL_SHARE = 0.05


def run(n: int, directory: Path) -> Result:
    """One response in twenty comes with more than itself."""
    with scene(directory, processes=2) as stage:

        def work(number: int, count: int) -> Iterator[Job]:
            chance = random.Random(number)
            honest = jobs(count, stage.token, prefix=f"h{number}")
            for index in range(count):
                if chance.random() < EVIL_SHARE:
                    target = (
                        f"/evil/surplus?what={chance.choice(['bytes', 'response', 'response', 'crlf'])}"
                        f"&when={chance.choice(['same', 'soon', 'idle'])}"
                        f"&ms={chance.choice(['0', '0.5', '1', '3', '10'])}&id={{id}}"
                    )
                    yield from jobs(1, stage.token, prefix=f"e{number}-{index}", target=target)
                else:
                    yield next(honest)

        tally = in_rounds(stage, n, work, may_fail=True, connections=48)
    crossed = tally.count()
    note = f"{tally.crossed} requests crossed stray bytes on the wire and prove nothing either way\n{tally.note}"
    return Result(
        tally.sent,
        f"{crossed} findings (cross-delivery {tally.count('cross-delivery')})",
        crossed == 0,
        failures=crossed,
        note=note,
    )


BAR = Bar(
    "surplus_bytes",
    "0 tagged responses go to a wrong request while backends send surplus bytes, second responses and early bytes",
    3000,
    1_000_000,
    run,
    alias="B-10",
)
