"""What several bars share: a scene, rounds of load with their ledger, and the counting of findings."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.harness.ledger import Finding, compare, summary
from tests.harness.load import Job, Sample, drive
from tests.harness.procfs import tree
from tests.harness.record import Seen
from tests.harness.stage import Stage

ROUND = 50_000  # requests judged at a time: a million records need not fit in memory


def scene(directory: Path, processes: int = 2, **options: Any) -> Stage:
    """Backends as processes, the balancer with one worker, no access log unless asked for."""
    options.setdefault("access_log", ...)
    return Stage(directory, processes=processes, **options)


def taken(stage: Stage) -> list[Seen]:
    """What the backends saw since the last call."""
    return [record for backend in stage.processes for record in backend.take()]


class Tally:
    """Findings of many rounds, by kind, with the first few kept."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.first: list[Finding] = []
        self.sent = 0
        self.crossed = 0

    def add(self, samples: list[Sample], findings: list[Finding]) -> None:
        """One more round."""
        self.sent += len(samples)
        self.kinds.update(finding.kind for finding in findings)
        self.statuses.update(f"{sample.status or sample.outcome.value}" for sample in samples)
        self.first = (self.first + findings)[:8]

    def count(self, *kinds: str) -> int:
        """Findings of these kinds; of all kinds without arguments."""
        return sum(self.kinds[kind] for kind in kinds) if kinds else self.kinds.total()

    @property
    def note(self) -> str:
        """Statuses seen, and what was found."""
        statuses = "client saw " + ", ".join(f"{count:,} × {status}" for status, count in self.statuses.most_common(8))
        return statuses + (f"\n{summary(self.first)}" if self.first else "")


def in_rounds(
    stage: Stage,
    total: int,
    work: Callable[[int, int], Iterable[Job]],
    *,
    connections: int = 32,
    may_fail: bool = False,
    after_round: Callable[[int], None] | None = None,
    timeout: float = 30.0,
) -> Tally:
    """
    `total` requests in rounds, closed loop, each round with its ledger.

    Args:
        work: (round number, count) -> the jobs of that round; ids must differ between rounds.
        after_round: Called with the number of requests sent so far.
    """
    tally = Tally()
    size = min(ROUND, max(1, total // 4))
    number = 0
    while tally.sent < total:
        samples = drive(
            stage.port, work(number, min(size, total - tally.sent)), connections=connections, timeout=timeout
        )
        records = taken(stage)
        tally.crossed += sum(record.crossed for record in records)
        tally.add(samples, compare(samples, records, may_fail=may_fail))
        number += 1
        if after_round is not None:
            after_round(tally.sent)
    return tally


def cpu_nanoseconds(pid: int) -> int:
    """Processor time of a process tree, exact to the nanosecond (the scheduler's own account)."""
    total = 0
    for member in tree(pid):
        try:
            total += int(Path(f"/proc/{member}/schedstat").read_text().split()[0])
        except OSError:
            continue
    return total


def settle(stage: Stage, seconds: float = 0.5) -> int:
    """Wait for memory to come to rest; returns bytes."""
    time.sleep(seconds)
    return stage.balancer.usage().rss
