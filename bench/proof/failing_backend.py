"""
One of three backends goes bad for a while, in five ways, under a steady open-loop load of GET: it hangs, resets, answers 500 at once while the others
take 100 ms, is stopped (SIGSTOP), or is killed and cannot be connected to.

A GET may fail only if it was in the hands of the bad backend before lbjwt could know: before the first timeout, or among the failures in a row that
eject, with those that were under way at that moment. `failing_backend_posts` uses the same faults with POST.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.proof.registry import Bar, Result
from bench.proof.scene import scene, taken
from tests.harness.load import Sample, drive, jobs
from tests.harness.processes import BackendProcess
from tests.harness.record import Seen
from tests.harness.stage import Stage
from tests.harness.waiting import eventually

TIMEOUT = 0.5  # seconds to the head of a response
SERVER_ERRORS = 5  # responses with 5xx that eject
TIMEOUTS = 3
UNDER_WAY = 0.1  # seconds until the backend is ejected that answers at once
SLACK = 0.3  # seconds: deadlines are walked over every 50 ms, and the machine may be busy
SETTLED = 3.0  # seconds after which the bad backend has next to no share
SHARE = 0.02


@dataclass(slots=True)
class Fault:
    """What a backend does wrong, from `begin` to `end`."""

    begin: Callable[[BackendProcess], None]
    end: Callable[[BackendProcess], None]
    may_fail: Callable[[float], bool] = lambda since: False
    """Whether a GET may fail that began so many seconds after the fault."""
    failures: int = 0
    """GETs that may fail besides."""
    slow: list[int] = field(default_factory=list)


def turns(mode: str) -> Callable[[BackendProcess], None]:
    """From now on it misbehaves so; "": no more."""
    return lambda backend: backend.misbehave(mode)


def sends(number: int) -> Callable[[BackendProcess], None]:
    return lambda backend: os.kill(backend.pid, number)


BEFORE_FIRST_TIMEOUT: Callable[[float], bool] = lambda since: since < TIMEOUT + SLACK  # noqa: E731

FAULTS = {
    "hangs": Fault(turns("hang"), turns(""), BEFORE_FIRST_TIMEOUT, TIMEOUTS),
    "resets": Fault(turns("reset"), turns("")),
    "answers 500 at once": Fault(
        turns("error"), turns(""), lambda since: since < UNDER_WAY, SERVER_ERRORS, [100, 100, 100]
    ),
    "is stopped": Fault(sends(signal.SIGSTOP), sends(signal.SIGCONT), BEFORE_FIRST_TIMEOUT, TIMEOUTS),
    "is killed": Fault(BackendProcess.kill, BackendProcess.start),
}


@dataclass(slots=True)
class Outcome:
    samples: list[Sample]
    records: list[Seen]
    began: float
    """When the fault did, seconds on the monotonic clock."""
    share: float
    """Of the requests that went to the bad backend once the fault had lasted for a while."""
    problems: list[str]


def sent(stage: Stage) -> list[int]:
    """Requests and failures of each endpoint."""
    endpoints: list[dict[str, Any]] = json.loads(stage.balancer.admin_get("/status")[1])["endpoints"]
    return [endpoint["requests"] + endpoint["failures"] for endpoint in endpoints]


def is_back(stage: Stage) -> bool:
    """No endpoint is ejected."""
    endpoints = json.loads(stage.balancer.admin_get("/status")[1])["endpoints"]
    drive(stage.port, jobs(6, stage.token, prefix=f"t{time.monotonic_ns()}"), connections=1)
    return not any(endpoint["ejection"]["ejected"] for endpoint in endpoints)


def under_fault(n: int, rate: float, directory: Path, fault: Fault, method: str, body: bytes | None) -> Outcome:
    """`n` requests; the fault lasts from a tenth of them to the end."""
    cluster = {
        "main": {
            "response_timeout": "500ms",
            "ejection": {"base_time": "1s", "max_time": "2s"},
        }
    }
    directory.mkdir()
    with scene(directory, processes=3, slow=fault.slow, clusters=cluster) as stage:
        bad = stage.processes[0]
        noted: list[tuple[float, list[int]]] = []

        def breaks() -> None:
            time.sleep(n / rate / 10)
            fault.begin(bad)
            noted.append((time.monotonic(), []))
            time.sleep(min(SETTLED, n / rate / 3))
            noted.append((time.monotonic(), sent(stage)))
            time.sleep(n / rate * 9 / 10 - min(SETTLED, n / rate / 3))

        breaker = threading.Thread(target=breaks)
        breaker.start()
        samples = drive(
            stage.port, jobs(n, stage.token, prefix="f", method=method, body=body), rate=rate, connections=300
        )
        breaker.join()
        before, after = noted[1][1], sent(stage)
        fault.end(bad)
        gone = [now - then for now, then in zip(after, before, strict=True)]
        problems = []
        if not eventually(lambda: is_back(stage), 15.0):
            problems.append("it is not back in rotation")
        return Outcome(samples, taken(stage), noted[0][0], gone[0] / max(1, sum(gone)), problems)


def rate_for(n: int) -> float:
    """Requests a second: in a quick run the machine does other things as well."""
    return 1000.0 if n >= 10_000 else 250.0


def run(n: int, directory: Path) -> Result:
    """Each fault in turn."""
    found: list[str] = []
    figures: list[str] = []
    judged = 0
    for name, fault in FAULTS.items():
        outcome = under_fault(n // len(FAULTS), rate_for(n), directory / name.replace(" ", "-"), fault, "GET", None)
        judged += len(outcome.samples)
        failed = [sample for sample in outcome.samples if not sample.is_good]
        late = [sample for sample in failed if not fault.may_fail(sample.at - outcome.began)][fault.failures :]
        found += [f"{name}: {problem}" for problem in outcome.problems]
        found += [
            f"{name}: {sample.status or sample.outcome.value} at {sample.at - outcome.began:.2f} s" for sample in late
        ]
        if outcome.share > SHARE:
            found.append(f"{name}: a share of {100 * outcome.share:.1f} %")
        figures.append(f"{name}: {len(failed)} failed, share {100 * outcome.share:.2f} %")
    return Result(judged, "; ".join(figures), not found, failures=len(found), note="\n".join(found[:12]))


BAR = Bar(
    "failing_backend",
    "one of three backends hangs, resets, answers 500, is stopped or killed: no GET fails but those in its hands before it is ejected, its share "
    "falls to 2 %, and it is back in rotation afterwards",
    5_000,
    55_000,
    run,
    alias="B-8",
)
