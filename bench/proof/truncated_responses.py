"""Responses cut at a random byte, in every framing, towards HTTP/1.1 and HTTP/1.0 clients."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import in_rounds, scene
from tests.harness.load import Job, jobs


def run(n: int, directory: Path) -> Result:
    """Every response is cut; the ledger knows, and says when the client saw one whole."""
    with scene(directory, processes=2) as stage:

        def work(number: int, count: int) -> Iterator[Job]:
            chance = random.Random(number)
            for index in range(count):
                size = chance.choice([1, 10, 100, 1000, 20_000])
                target = (
                    f"/evil/truncate?framing={chance.choice(['cl', 'chunked', 'eof'])}&by={chance.choice(['close', 'reset'])}"
                    f"&size={size}&cut={chance.randint(1, size)}&id={{id}}"
                )
                yield from jobs(
                    1, stage.token, prefix=f"t{number}-{index}", target=target, version=chance.choice(["1.1", "1.0"])
                )

        tally = in_rounds(stage, n, work, may_fail=True)
    whole = tally.count()
    return Result(tally.sent, f"{whole} looked complete", whole == 0, failures=whole, note=tally.note)


BAR = Bar(
    "truncated_responses",
    "truncated responses: 0 random cuts look complete to the client (Content-Length, chunked, until close)",
    600,
    10_000,
    run,
    alias="B-9",
)
