"""Kept connections that are idle when a drain begins and send during it: each request is answered."""

from __future__ import annotations

import random
import select
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from copy import deepcopy
from functools import partial
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.releases import Releases, Upgrades
from bench.proof.reloadscene import Reloads, reload_scene
from tests.harness.client import Client, Outcome
from tests.harness.ports import free_port
from tests.harness.stage import Stage
from tests.harness.waiting import eventually

ROUNDS = 20
SPREAD = 3.0  # seconds over which the clients of one round send


def has_ended(client: Client) -> bool:
    """Whether the service has closed the idle connection."""
    if not select.select([client.socket], [], [], 0)[0]:
        return False
    try:
        return not client.socket.recv(1, socket.MSG_PEEK)
    except OSError:
        return True


class Crowd:
    """The clients of one round, each with an idle connection that has served a request."""

    def __init__(self, stage: Stage, stack: ExitStack, port: int, count: int, name: str) -> None:
        self.stage = stage
        self.stack = stack
        self.name = name
        self.clients = [stack.enter_context(Client(port)) for _ in range(count)]
        self.failures: list[str] = []
        self.closed = 0  # connections that were closed, in order, before their client sent
        self.told = 0  # responses with Connection: close
        for number, client in enumerate(self.clients):
            self._ask(number, client, "before")

    def _ask(self, number: int, client: Client, when: str) -> None:
        id = f"{self.name}-{when}-{number}"
        try:
            response = client.ask(f"/r/{id}", token=self.stage.token, id=id)
        except OSError as problem:
            self.failures.append(f"{id}: {problem}")
            return
        if response.outcome is not Outcome.COMPLETE or response.status != 200 or response.echo_id != id:
            self.failures.append(f"{id}: {response.outcome.value} {response.status} {response.problem}")
        elif response.field("Connection").lower() == "close":
            self.told += 1

    def send_at_random(self, seed: int, begun: Callable[[], bool]) -> None:
        """Each client sends once, at a random time after it has begun; one that sees its connection closed opens another."""
        if not eventually(begun, 60.0):
            raise TimeoutError("what the clients wait for has not begun within a minute")
        choose = random.Random(seed)
        begin = time.monotonic()
        for at, number in sorted((choose.uniform(0, SPREAD), number) for number in range(len(self.clients))):
            time.sleep(max(0.0, begin + at - time.monotonic()))
            client = self.clients[number]
            if has_ended(client):
                self.closed += 1
                client = self.stack.enter_context(Client(self.stage.port))
            self._ask(number, client, "during")


def run(n: int, directory: Path) -> Result:
    """Rounds in turn: a reload, a reload that removes the clients' listener, an upgrade of the program."""
    rounds = ROUNDS if n >= 1000 else 3
    releases = Releases(directory)
    crowds: dict[str, list[Crowd]] = {"reload": [], "listener": [], "upgrade": []}
    with (
        reload_scene(directory, program=releases.program, timeouts={"keep_alive": "300s", "drain": "10s"}) as stage,
        ThreadPoolExecutor(1) as pool,
    ):
        upgrades = Upgrades(stage)
        reloads = Reloads(stage)
        first = deepcopy(reloads.document)

        def upgrade() -> None:
            upgrades.start()
            upgrades.wait()

        for number in range(rounds):
            kind = list(crowds)[number % 3]
            port = stage.port
            trigger: Callable[[], object] = partial(reloads.publish, "post")
            expected = upgrades.handovers() + (kind == "upgrade")
            if kind == "listener":
                port = free_port()
                reloads.document["listeners"].append({"address": f"127.0.0.1:{port}"})
                reloads.publish("post")
                reloads.document.update(deepcopy(first))
            elif kind == "upgrade":
                releases.install(f"2.{number}.0")
                trigger = upgrade
            with ExitStack() as stack:
                crowd = Crowd(stage, stack, port, n // rounds, f"{kind}-{number}")
                future = pool.submit(trigger)
                crowd.send_at_random(number, lambda: upgrades.handovers() >= expected)  # noqa: B023 - used before it changes
                future.result()
            crowds[kind].append(crowd)
    failures = [text for group in crowds.values() for crowd in group for text in crowd.failures]
    kept = sum(crowd.closed + crowd.told for crowd in crowds["reload"])
    figure = f"{len(failures)} of {n:,} failed" + "".join(
        f"; {kind}: {sum(crowd.told for crowd in group)} told to close, {sum(crowd.closed for crowd in group)} closed while idle"
        for kind, group in crowds.items()
    )
    wrong = [f"{kept} connections did not outlive an ordinary reload"] if kept else []
    return Result(
        n, figure, not failures and not wrong, failures=len(failures), note="\n".join([*wrong, *failures[:8]])
    )


BAR = Bar(
    "drain_idle_clients",
    "idle kept connections that send during a reload, the end of their listener or an upgrade: 0 fail, none is closed by an ordinary reload",
    300,
    10_000,
    run,
    alias="R4",
)
