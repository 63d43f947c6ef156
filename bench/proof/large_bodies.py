"""A large upload and a large download to a slow reader at flat memory."""

from __future__ import annotations

import time
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import scene, settle
from tests.harness.client import Client, request
from tests.harness.stage import Stage

MIB = 1 << 20
GROWTH = 4 * MIB  # bytes
PIECE = bytes(range(256)) * 1024  # 256 KiB of the upload
PAUSE = 0.002  # seconds between two reads of the slow reader: some 100 MiB/s


def run(n: int, directory: Path) -> Result:
    """n: bytes each way. Memory of the balancer is looked at every 32 MiB."""
    with scene(directory, processes=1) as stage:
        with Client(stage.port) as client:
            client.ask("/bytes/1000000", token=stage.token)
        before = settle(stage)
        up = _upload(stage, n, before)
        down = _download(stage, n, before)
        with Client(stage.port) as client:
            served = client.ask("/r/x", token=stage.token).status == 200
    passed = served and up[0] == n and down[0] == n and up[1] < GROWTH and down[1] < GROWTH
    figure = (
        f"{up[0] / MIB:.0f} MiB up: +{up[1] / MIB:.2f} MiB; "
        f"{down[0] / MIB:.0f} MiB down to a slow reader: +{down[1] / MIB:.2f} MiB"
    )
    return Result(n, figure, passed, note="" if served else "service suffered")


def _upload(stage: Stage, n: int, before: int) -> tuple[int, int]:
    """Bytes taken with a 200 behind them, and the most memory seen over `before`."""
    most = 0
    with Client(stage.port, timeout=60.0) as client:
        client.send(request("/upload", method="POST", token=stage.token, id="up", fields=[f"Content-Length: {n}"]))
        for at in range(0, n, len(PIECE)):
            client.send(PIECE[: n - at])
            if at % (32 * MIB) == 0:
                most = max(most, stage.balancer.usage().rss - before)
        answer = client.response(60.0)
        most = max(most, stage.balancer.usage().rss - before)
    return (n if answer.status == 200 else 0), most


def _download(stage: Stage, n: int, before: int) -> tuple[int, int]:
    """Bytes received, and the most memory seen over `before`."""
    most = received = 0
    with Client(stage.port, receive_buffer=65536, timeout=60.0) as client:
        client.send(request(f"/bytes/{n}", token=stage.token, id="down"))
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.socket.recv(65536)
        received = len(head.partition(b"\r\n\r\n")[2])
        mark = 0
        while received < n and (piece := client.socket.recv(MIB)):
            received += len(piece)
            time.sleep(PAUSE)
            if received // (32 * MIB) > mark:
                mark = received // (32 * MIB)
                most = max(most, stage.balancer.usage().rss - before)
    return received, most


BAR = Bar(
    "large_bodies",
    "1 GiB up and 1 GiB down to a slow reader: the worker grows by less than 4 MiB",
    64 * MIB,
    1024 * MIB,
    run,
    alias="GIB",
)
