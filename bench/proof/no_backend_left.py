"""All backends are down: clients are told at once, and served again as soon as one backend is back."""

from __future__ import annotations

import time
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import scene
from tests.harness.load import quantile

TOLD = 0.005  # seconds to the 503
BACK = 1.0  # seconds from the first backend that accepts to the first response
ROUND = 500  # requests while all are down


def run(n: int, directory: Path) -> Result:
    """In each round two backends are killed and the first one is started again."""
    found: list[str] = []
    told: list[float] = []
    backs: list[float] = []
    with scene(directory) as stage:
        for _ in range(max(1, n // ROUND)):
            for backend in stage.processes:
                backend.kill()
            client = stage.client()
            for _ in range(min(n, ROUND)):
                begin = time.monotonic()
                answer = client.ask(token=stage.token)
                told.append(time.monotonic() - begin)
                if answer.status != 503 or not answer.field("Retry-After"):
                    found.append(f"{answer.status}, Retry-After {answer.field('Retry-After')!r}")
            stage.processes[0].start()
            begin = time.monotonic()
            while client.ask(token=stage.token).status != 200 and time.monotonic() - begin < 10.0:
                time.sleep(0.01)
            backs.append(time.monotonic() - begin)
            stage.processes[1].start()
    slow = quantile(told, 0.99)
    figure = (
        f"503 within {1e3 * slow:.2f} ms (p99); first response after {max(backs):.2f} s at most ({len(backs)} rounds)"
    )
    good = not found and slow <= TOLD and max(backs) <= BACK
    return Result(len(told), figure, good, failures=len(found), note="\n".join(found[:12]))


BAR = Bar(
    "no_backend_left",
    "all backends are down: every request gets 503 with Retry-After within 5 ms, and the first response comes within 1 s after one is back",
    0,
    5_000,
    run,
    alias="B-7",
)
