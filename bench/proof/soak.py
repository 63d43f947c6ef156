"""A million requests: memory and files stay where they were, and the ledgers agree throughout."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from statistics import median

from bench.proof.registry import Bar, Result
from bench.proof.scene import in_rounds, scene
from tests.harness.load import Job, jobs
from tests.harness.waiting import eventually

WARM_SHARE = 10  # one request in ten warms up
FLAT = 0.05
SLOPE = 0.1 * 1024  # bytes per 1,000 requests
NOISE = 256 << 10  # bytes; a short run cannot tell a slope from one page more or less
TOKENS = 200


def steady_slope(marks: list[tuple[int, int, int]]) -> float:
    """Bytes per 1,000 requests: the median over all pairs of marks (Theil-Sen), which one late step of the allocator does not move."""
    return median(
        (later[1] - sooner[1]) / (later[0] - sooner[0]) * 1000
        for index, sooner in enumerate(marks)
        for later in marks[index + 1 :]
    )


def run(n: int, directory: Path) -> Result:
    """Mixed work over many tokens: GET, POST, HEAD, refusals, larger bodies, fresh connections."""
    marks: list[tuple[int, int, int]] = []  # requests so far, bytes of memory, files
    with scene(directory, processes=2) as stage:
        tokens = [stage.tokens.mint("ES256", sub=f"user-{number}") for number in range(TOKENS)]
        expired = stage.tokens.mint(lifetime=-600)

        def work(number: int, count: int) -> Iterable[Job]:
            tenth = count // 10
            token = tokens[number % TOKENS]
            kinds = [
                *(jobs(tenth // 20 + 1, other, prefix=f"t{number}-{index}") for index, other in enumerate(tokens[:20])),
                jobs(tenth, token, prefix=f"post{number}", method="POST", body=b"order" * 20),
                jobs(tenth // 2, token, prefix=f"head{number}", method="HEAD"),
                jobs(tenth // 2, expired, prefix=f"bad{number}"),
                jobs(tenth // 20, token, prefix=f"big{number}", target="/bytes/20000?{id}"),
                jobs(tenth // 2, token, prefix=f"fresh{number}", fresh_every=1),
            ]
            done = 20 * (tenth // 20 + 1) + tenth + 3 * (tenth // 2) + tenth // 20
            return chain(*kinds, jobs(max(0, count - done), token, prefix=f"get{number}"))

        def at_rest() -> bool:
            return not json.loads(stage.balancer.admin_get("/status")[1])["connections"]

        def mark(sent: int) -> None:
            eventually(at_rest)  # our connections are closed; a busy machine may not have told the balancer yet
            usage = stage.balancer.usage()
            marks.append((sent, usage.rss, usage.fds))

        in_rounds(stage, max(2000, n // WARM_SHARE), lambda number, count: work(100_000 + number, count))
        mark(0)
        tally = in_rounds(stage, n, work, after_round=mark)
    start, end = marks[0], marks[-1]
    grown = end[1] - start[1]
    slope = steady_slope(marks)
    files = end[2] - start[2]
    passed = (
        grown <= FLAT * start[1]
        and (slope <= SLOPE or (n < 100_000 and grown <= NOISE))
        and abs(files) <= 4
        and tally.count() == 0
    )
    figure = (
        f"memory {grown / 1024:+.0f} KiB on {start[1] / 1048576:.1f} MiB ({grown / start[1] * 100:+.2f} %), {slope / 1024:+.3f} KiB per 1,000, "
        f"files {files:+d}, {tally.count()} findings"
    )
    return Result(tally.sent, figure, passed, failures=tally.count(), note=tally.note)


BAR = Bar(
    "soak",
    "memory flat within 5 % (slope at most 0.1 KiB per 1,000 requests), open files within 4 of the start, ledgers agree",
    6_000,
    1_000_000,
    run,
    alias="S-1",
)
