"""
One of three backends is a black hole, in two ways: its accept queue is full, so that nothing answers a connect, or it accepts and answers nothing.

With a full queue the timeout of the route is shorter than `connect_timeout`. No request may fail: each goes on to another backend in time. Where the
connection is accepted, a request fails with 504 once its timeout has passed, until the backend is ejected. After that one probe at a time reaches it.
"""

from __future__ import annotations

import socket
import threading
import time
from itertools import pairwise
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import scene
from tests.harness.load import Sample, drive, jobs
from tests.harness.ports import deaf, free_port
from tests.harness.stage import Stage

RATE = 100.0  # requests a second
TIMEOUT = 2.0  # seconds to the head of a response
TOLERANCE = 0.05  # of it
FAILURES = 5  # requests that may fail until the backend is ejected
INTERVAL = 1.0  # seconds of the first ejection, ± 10 %


class Silent:
    """A listener that takes connections and requests, and answers nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", free_port()), backlog=128)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.times: list[float] = []
        """When each connection came, seconds on the monotonic clock."""
        self._held: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                self._held.append(self._listener.accept()[0])
            except OSError:
                return
            self.times.append(time.monotonic())

    def close(self) -> None:
        """End the thread and all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for one in [self._listener, *self._held]:
            one.close()


def failed(samples: list[Sample]) -> list[Sample]:
    return [sample for sample in samples if not sample.is_good]


def ejections(stage: Stage, address: str) -> float:
    return sum(
        value
        for (name, labels), value in stage.balancer.metrics()
        if name == "lbjwt_endpoint_ejections_total" and ("endpoint", address) in labels
    )


def full_queue(n: int, directory: Path, found: list[str]) -> str:
    """Nothing answers a connect."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    limits = {"main": {"connect_timeout": "2s", "ejection": {"base_time": f"{INTERVAL:.0f}s"}}}
    with (
        deaf("127.0.0.1", port),
        scene(directory, endpoints=[address], clusters=limits, routes=[{"name": "all", "timeout": "1s"}]) as stage,
    ):
        samples = drive(stage.port, jobs(n, stage.token, prefix="q"), rate=RATE, connections=200)
        found += [
            f"full queue: {sample.status or sample.outcome.value} after {sample.latency:.2f} s"
            for sample in failed(samples)
        ]
        if n / RATE > 3.0 and not ejections(stage, address):
            found.append("full queue: it was not ejected")
        return f"full queue: {len(failed(samples))} failed, slowest {max(sample.latency for sample in samples):.2f} s"


def silent_accept(n: int, directory: Path, found: list[str]) -> str:
    """Nothing answers a request."""
    silent = Silent()
    limits = {
        "main": {
            "response_timeout": f"{TIMEOUT:.0f}s",
            "pending_timeout": "1s",
            "ejection": {"base_time": f"{INTERVAL:.0f}s", "max_time": f"{INTERVAL:.0f}s"},
        }
    }
    try:
        with scene(directory, endpoints=[silent.address], clusters=limits) as stage:
            samples = drive(stage.port, jobs(n, stage.token, prefix="s"), rate=RATE, connections=400)
    finally:
        silent.close()
    bad = failed(samples)
    found += [f"silent accept: {sample.status or sample.outcome.value}" for sample in bad if sample.status != 504]
    late = [abs(sample.latency - TIMEOUT) / TIMEOUT for sample in bad]
    found += [f"silent accept: 504 off by {100 * off:.1f} %" for off in late if off > TOLERANCE]
    if len(bad) > FAILURES:
        found.append(f"silent accept: {len(bad)} failed before it was ejected")
    # Each of them had a connection of its own. The requests of later ones are probes, which go to another backend in the end.
    after = silent.times[len(bad) :]
    gaps = [later - at for at, later in pairwise(after)]
    found += [f"silent accept: two probes within {gap:.2f} s" for gap in gaps if gap < 0.9 * INTERVAL]
    return f"silent accept: {len(bad)} × 504, off by {100 * max(late, default=0):.1f} % at most, {len(after)} probes"


def run(n: int, directory: Path) -> Result:
    """Half of the requests for each."""
    found: list[str] = []
    figures = []
    for part in (full_queue, silent_accept):
        (directory / part.__name__).mkdir()
        figures.append(part(n // 2, directory / part.__name__, found))
    return Result(n // 2 * 2, "; ".join(figures), not found, failures=len(found), note="\n".join(found[:12]))


BAR = Bar(
    "blackhole_backend",
    "one of three backends answers no connect, or no request: no request fails by the first, at most 5 by the second, with 504 at the timeout ± 5 %; "
    "then at most one probe in each ejection reaches it",
    0,
    4_000,
    run,
    alias="B-4",
)
