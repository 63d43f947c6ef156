"""What a reload costs the requests of that second."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.proof.hot_reload import kinds
from bench.proof.registry import Bar, Result
from bench.proof.reloadscene import Document, Reloads, Watchers, reload_scene, series
from bench.proof.scene import taken
from tests.harness.ledger import compare
from tests.harness.load import Sample, drive, jobs, quantile
from tests.harness.ports import free_port

RATE = 300.0  # requests a second: far from what the machine can do, so that a queue means a stall
FACTOR = 2.0
VISIBLE = 2.0  # seconds
CLIENT_TURN = 0.0002  # seconds; else the thread that asks for reloads holds up the one that times responses
ROUTES = 200  # so that building a configuration is work


def large(document: Document) -> None:
    """Add many routes, each with a rule of its own."""
    document["routes"] = [
        *(
            {
                "name": f"r{number}",
                "prefix": f"/route/{number}",
                "cluster": "main",
                "rules": [{"claim": "groups", "contains": f"group-{number}"}],
            }
            for number in range(ROUTES)
        ),
        *document["routes"],
    ]


@contextlib.contextmanager
def _short_turns() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(CLIENT_TURN)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def run(n: int, directory: Path) -> Result:
    """As many quiet seconds as seconds with a reload in each, in one run; the p99 of both."""
    with _short_turns(), reload_scene(directory) as stage:
        reloads = Reloads(stage)
        large(reloads.document)
        reloads.publish("post")
        watchers = Watchers(stage)
        steps = kinds(reloads.document, free_port())
        good: list[list[Sample]] = []
        times: list[float] = []
        findings = 0
        for phase in range(4):  # quiet and busy in turn, so that other work on the machine meets both
            seconds = n // 2
            with ThreadPoolExecutor(1) as pool:
                future = pool.submit(series, reloads, watchers, steps, seconds, 1.0, ("signal",)) if phase % 2 else None
                work = jobs(int(RATE * seconds), stage.token, prefix=f"p{phase}", fresh_every=10)
                samples = drive(stage.port, work, rate=RATE, connections=100)
                times += future.result() if future is not None else []
            findings += len(compare(samples, taken(stage)))
            good.append([sample for sample in samples if sample.is_good])
        watchers.close()
    quiet = quantile((sample.latency for sample in good[0] + good[2]), 0.99) * 1000
    busy = quantile((sample.latency for sample in good[1] + good[3]), 0.99) * 1000
    judged = n >= 20  # below that the 99th percentile is the machine's
    figure = (
        f"p99 {busy:.2f} ms in seconds with a reload, {quiet:.2f} ms in quiet ones ({busy / quiet:.2f} ×); "
        f"seen by every worker within {max(times):.2f} s; {findings} findings"
    )
    passed = (busy <= FACTOR * quiet or not judged) and max(times) <= VISIBLE and not findings
    return Result(n, figure, passed, failures=findings)


BAR = Bar(
    "reload_latency",
    "p99 in seconds with a reload (200 routes) at most twice that of quiet seconds; every worker serves the new configuration within 2 s",
    6,
    60,
    run,
    alias="R7",
)
