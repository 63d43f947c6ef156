"""
What the bars with backends by other authors share: starting such a server, and judging what clients saw by the server's own list of requests.

Such a server has no shadow verifier and no record of connections. It tells which request it answers in `X-Echo-Id`, and writes one line
`METHOD ID` for each request that it served.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.load import Job, Sample, drive, jobs
from tests.harness.stage import Stage
from tests.harness.waiting import eventually

BURST = 32  # requests at once


@contextmanager
def running(command: Sequence[str], ready: Callable[[], bool], log: Path, folder: Path) -> Iterator[None]:
    """
    A server in the foreground, ended on leaving.

    Raises:
        RuntimeError: It did not become ready; with the end of its output.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder)
    try:
        if not eventually(lambda: process.poll() is not None or ready()) or process.poll() is not None:
            raise RuntimeError(f"{command[0]} does not serve: {log.read_text(errors='replace')[-2000:]}")
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(slots=True)
class Judged:
    """What became of requests to a server of another author."""

    sent: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """By method: no whole 2xx answer to this very request."""
    duplicates: int = 0
    """Requests that may not be sent again and were served more than once."""
    first: list[str] = field(default_factory=list)

    def add(self, samples: list[Sample], served: Counter[tuple[str, str]]) -> None:
        """One more round; `served` counts method and id of every request the server saw."""
        self.sent += len(samples)
        for sample in samples:
            if not sample.is_good:
                self.failed[sample.method] += 1
                self.first.append(
                    f"{sample.method} {sample.id}: {sample.outcome.value} {sample.status} {sample.problem}"
                )
            if sample.method == "POST" and served[sample.method, sample.id] > 1:
                self.duplicates += 1
                self.first.append(f"{sample.id} was served {served[sample.method, sample.id]} times")

    @property
    def note(self) -> str:
        """The first few findings."""
        return "\n".join(self.first[:8])


def allowed_posts(requests: int) -> int:
    """
    How many POSTs of so many requests may fail because they crossed the FIN of the server: these cannot be sent again.

    0.5 % of the requests, and at least those of one burst: they cross together, so a few hundred requests say little of the rate.
    """
    return max(BURST // 2, requests // 200)


def served(log: Path) -> Counter[tuple[str, str]]:
    """What a server wrote down: how often it served each method and id."""
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter((method, id) for method, _, id in (line.partition(" ") for line in lines))


def burst(stage: Stage, prefix: str, count: int) -> list[Sample]:
    """`count` requests, `BURST` at once: GET and POST in turn."""
    pairs = zip(
        jobs((count + 1) // 2, stage.token, prefix=f"{prefix}-get"),
        jobs((count + 1) // 2, stage.token, prefix=f"{prefix}-post", method="POST", body=b"order " * 50),
        strict=True,
    )
    work: list[Job] = [job for pair in pairs for job in pair]
    return drive(stage.port, work[:count], connections=BURST)


def around_the_timeout(stage: Stage, prefix: str, count: int, timeout: float) -> list[Sample]:
    """Bursts with as long a pause between them as the server keeps idle connections, give or take 30 ms: it closes them as requests come."""
    chooser = random.Random(prefix)
    samples: list[Sample] = []
    for number in range(-(-count // BURST)):
        begin = time.monotonic()
        samples += burst(stage, f"{prefix}{number}", min(BURST, count - len(samples)))
        pause = timeout + chooser.uniform(-0.03, 0.03) - 0.5 * (time.monotonic() - begin)
        if len(samples) < count:
            time.sleep(max(0.0, pause))
    return samples
