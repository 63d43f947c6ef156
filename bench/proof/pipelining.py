"""A thousand pipelined requests on one connection."""

from __future__ import annotations

import threading
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import scene, settle
from tests.harness.client import Client, request

PIPELINE = 1000
GROWTH = 1 << 20  # bytes


def run(n: int, directory: Path) -> Result:
    """All are sent without waiting for an answer; the answers come in order."""
    wrong: list[str] = []
    with scene(directory, processes=2) as stage:

        def pipeline(prefix: str) -> None:
            with Client(stage.port, timeout=15.0) as client:
                data = b"".join(
                    request("/r/x", token=stage.token, id=f"{prefix}-{number}") for number in range(PIPELINE)
                )
                sender = threading.Thread(target=client.send, args=(data, ["GET"] * PIPELINE))
                sender.start()
                for number in range(PIPELINE):
                    answer = client.response()
                    if answer.echo_id != f"{prefix}-{number}":
                        wrong.append(f"{prefix}-{number}: {answer.outcome.value} {answer.status} {answer.echo_id}")
                        break
                sender.join()

        pipeline("warm")
        before = settle(stage)
        for turn in range(n // PIPELINE):
            pipeline(f"p{turn}")
        grown = settle(stage) - before
    figure = f"{len(wrong)} out of order or lost, memory {grown / 1024:+.0f} KiB"
    return Result(n, figure, not wrong and grown <= GROWTH, failures=len(wrong), note="\n".join(wrong[:4]))


BAR = Bar(
    "pipelining",
    "1,000 pipelined requests on a connection: in order, 0 lost, memory grows by at most 1 MiB",
    1000,
    20_000,
    run,
    alias="H-8",
)
