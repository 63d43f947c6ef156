"""Clients that ask for 10 MiB and read nothing."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import scene, settle, taken
from tests.harness.client import Client, request

BODY = 10 << 20  # bytes
EACH = 160 << 10  # bytes


def run(n: int, directory: Path) -> Result:
    """Memory of the balancer for each stalled reader, and whether the backends were held back."""
    with scene(directory, processes=2) as stage, ExitStack() as stack:
        with Client(stage.port) as client:
            for number in range(20):
                client.ask("/bytes/100000", token=stage.token, id=f"w{number}")
        taken(stage)
        before = settle(stage)
        readers = [stack.enter_context(Client(stage.port, receive_buffer=8192, timeout=60.0)) for _ in range(n)]
        for number, client in enumerate(readers):
            client.send(request(f"/bytes/{BODY}", token=stage.token, id=f"s{number}"))
        records = taken(stage)
        deadline = time.monotonic() + 60.0
        while len(records) < n and time.monotonic() < deadline:
            time.sleep(0.1)
            records += taken(stage)
        each = (settle(stage, 1.0) - before) / n
        unpaused = sum(record.sent for record in records)
        stalled = readers[0].response(60.0)  # a reader that wakes up gets everything
        with Client(stage.port) as client:
            served = client.ask("/r/x", token=stage.token).status == 200
    passed = each <= EACH and unpaused == 0 and len(records) == n and len(stalled.body) == BODY and served
    figure = f"{each / 1024:.1f} KiB each, {len(records)} requests at backends, {unpaused} of them not held back"
    return Result(
        n,
        figure,
        passed,
        note="" if served and len(stalled.body) == BODY else "service suffered, or a reader that woke up was cut",
    )


BAR = Bar(
    "stalled_readers",
    "stalled readers of 10 MiB bodies: at most 160 KiB each, backends held back",
    100,
    1000,
    run,
    alias="D-3",
)
