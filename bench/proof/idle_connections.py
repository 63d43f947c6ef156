"""Idle keep-alive connections."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import cpu_nanoseconds, scene, settle
from tests.harness.client import Client

EACH = 4 << 10  # bytes
CPU = 0.01  # share of one core
WATCHED = 3.0  # seconds


def run(n: int, directory: Path) -> Result:
    """Each connection has served one request before it rests; the connections of a warm-up are gone by then."""
    with scene(directory, processes=1, timeouts={"keep_alive": "300s"}) as stage, ExitStack() as stack:
        for _ in range(100):
            with Client(stage.port) as client:
                client.ask("/r/x", token=stage.token)
        before = settle(stage)
        idle = [stack.enter_context(Client(stage.port)) for _ in range(n)]
        served = sum(client.ask("/r/x", token=stage.token).status == 200 for client in idle)
        each = (settle(stage) - before) / n
        started = cpu_nanoseconds(stage.balancer.pid)
        time.sleep(WATCHED)
        share = (cpu_nanoseconds(stage.balancer.pid) - started) / 1e9 / WATCHED
        again = sum(client.ask("/r/x", token=stage.token).status == 200 for client in idle[::10])
    passed = each <= EACH and share <= CPU and served == n and again == len(idle[::10])
    return Result(
        n,
        f"{each / 1024:.2f} KiB each, {share * 100:.2f} % of a core, {again} of {len(idle[::10])} asked served again",
        passed,
    )


BAR = Bar(
    "idle_connections",
    "idle keep-alive connections: at most 4 KiB each and 1 % of a core",
    1000,
    10_000,
    run,
    alias="D-4",
)
