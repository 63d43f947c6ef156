"""Clients that go away before their answer: their requests end at the backends, and the log tells them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from bench.proof.registry import Bar, Result
from bench.proof.scene import scene
from tests.harness.client import Client, request

PATIENCE = 0.3  # seconds a client waits
ANSWER = 3000  # milliseconds a backend takes
NOTICE = 0.5  # seconds until nothing of it may be left
WAVE = 250  # clients at once


def run(n: int, directory: Path) -> Result:
    """Waves of clients that close, reset, or close in the middle of an upload while their backend thinks."""
    late: list[str] = []
    with scene(directory, processes=2, access_log={"path": str(directory / "access.log")}) as stage:

        def state() -> dict[str, Any]:
            found: dict[str, Any] = json.loads(stage.balancer.admin_get("/status")[1])
            return found

        for start in range(0, n, WAVE):
            clients = [Client(stage.port) for _ in range(min(WAVE, n - start))]
            for number, client in enumerate(clients, start):
                upload = number % 3 == 2
                head = request(
                    f"/slow/{ANSWER}",
                    token=stage.token,
                    id=f"gone-{number}",
                    method="POST" if upload else "GET",
                    fields=["Content-Length: 100000"] if upload else [],
                )
                client.send(head + b"u" * 50_000 * upload)
            sent = time.monotonic()
            time.sleep(max(0.0, PATIENCE - (time.monotonic() - sent)))
            for number, client in enumerate(clients):
                client.abort() if number % 2 else client.close()
            time.sleep(NOTICE)
            now = state()
            busy = sum(endpoint["requests_in_flight"] for endpoint in now["endpoints"])
            if busy or now["requests_in_flight"] or now["connections"]:
                late.append(
                    f"clients from {start}: {now['requests_in_flight']} requests, {busy} at backends, {now['connections']} connections"
                )
        lines = stage.balancer.settled_access_log(n)
    told = sum(line["reason"] == "client_closed" and line["status"] == 499 and not line["complete"] for line in lines)
    figure = f"{len(late)} of {-(-n // WAVE)} waves left something after {NOTICE:g} s; the log tells {told} of {n}"
    return Result(n, figure, not late and told == n, failures=n - told + len(late), note="\n".join(late[:6]))


BAR = Bar(
    "client_aborts",
    "clients that give up 0.3 s into a 3 s answer: 0 requests in flight at backends 0.5 s later, each told in the log",
    250,
    1000,
    run,
    alias="B-16",
)
