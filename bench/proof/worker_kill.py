"""A worker is frozen, connections queue up behind it, and it is killed: the queue is not lost."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import scene
from tests.harness.client import Client, request
from tests.harness.stage import Stage

QUEUED = 400  # connections that arrive while one of four workers stands still


def sockets_of(pid: int) -> set[tuple[int, int]]:
    """(local port, remote port) of the TCP connections a process holds."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(os.readlink(entry).removeprefix("socket:[").removesuffix("]"))
        except OSError:
            continue
    found = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[9] in inodes:
            found.add((int(fields[1].rpartition(":")[2], 16), int(fields[2].rpartition(":")[2], 16)))
    return found


def one_kill(stage: Stage, number: int) -> tuple[int, int, float]:
    """Queued connections lost, requests in flight lost that were not the victim's, seconds until the queue was served."""
    with ExitStack() as stack:
        flying = [stack.enter_context(Client(stage.port, timeout=8.0)) for _ in range(40)]
        for client in flying:
            client.send(request("/slow/1500", token=stage.token))
        time.sleep(0.3)
        victim = stage.balancer.workers[number % 4]
        owned = {remote for local, remote in sockets_of(victim) if local == stage.port}
        os.kill(victim, signal.SIGSTOP)
        queue = [stack.enter_context(Client(stage.port, timeout=8.0)) for _ in range(QUEUED)]
        for index, client in enumerate(queue):
            client.send(request("/r/x", token=stage.token, id=f"q{number}-{index}"))
        time.sleep(0.2)
        killed = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        lost = sum(client.response().echo_id != f"q{number}-{index}" for index, client in enumerate(queue))
        served = time.monotonic() - killed
        others = sum(
            client.response().status != 200 for client in flying if client.socket.getsockname()[1] not in owned
        )
        return lost, others, served


def run(n: int, directory: Path) -> Result:
    """One kill for every 400 connections."""
    with scene(directory, processes=1, workers=4, clusters={"main": {"max_connections": 4096}}) as stage:
        kills = [one_kill(stage, number) for number in range(n // QUEUED)]
    lost, others, slowest = (
        sum(kill[0] for kill in kills),
        sum(kill[1] for kill in kills),
        max(kill[2] for kill in kills),
    )
    figure = f"{lost} queued connections lost in {len(kills)} kills, {others} of other workers' requests hurt, queue served within {slowest:.2f} s"
    return Result(n, figure, lost == 0 and others == 0 and slowest <= 1.0, failures=lost + others)


BAR = Bar(
    "worker_kill",
    "kill -9 of one of 4 workers: only its requests in flight fail, 0 queued connections reset, replacement serving within 1 s",
    400,
    4000,
    run,
    alias="W1",
)
