"""The final response comes while the upload still runs."""

from __future__ import annotations

import select
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import scene, taken
from tests.harness.client import Client, Response, request

PIECE = request("/r/hidden", id="hidden") * 50  # an upload that would be requests, were it read as such


def upload(client: Client, head: bytes, size: int) -> Response:
    """Send until the response begins, then read it."""
    client.send(head)
    sent = 0
    try:
        while sent < size and not select.select([client.socket], [], [], 0)[0]:
            if select.select([], [client.socket], [], 0.002)[1]:
                sent += client.socket.send(PIECE[: size - sent])
    except OSError:
        pass  # closed on us; the response may still be there to read
    return client.response()


def run(n: int, directory: Path) -> Result:
    """413 and 401, from backends that close and from backends that leave the connection open."""
    lost: list[str] = []
    still_open = 0
    with scene(directory, processes=2) as stage:
        for number in range(n):
            status, stay = (413, 401)[number % 2], "&stay=1" if number % 4 < 2 else ""
            with Client(stage.port) as client:
                head = request(
                    f"/evil/early?status={status}{stay}&id=e-{number}",
                    method="POST",
                    token=stage.token,
                    id=f"e-{number}",
                    fields=["Content-Length: 100000000"],
                )
                answer = upload(client, head, 2_000_000)
                if (answer.status, answer.echo_id, answer.is_complete) != (status, f"e-{number}", True):
                    lost.append(f"e-{number}: {answer.outcome.value} {answer.status} {answer.problem}")
                elif not client.is_closed(3.0):
                    still_open += 1
        records = taken(stage)
    ghosts = sum(record.id in ("hidden", "") for record in records)
    last: dict[str, int] = {}
    for record in records:
        last[record.conn] = max(last.get(record.conn, 0), record.ordinal)
    reused = sum(last[record.conn] > record.ordinal for record in records)
    bad = len(lost) + still_open + ghosts + reused
    figure = f"{n - len(lost)} of {n} delivered, {still_open} client connections left open, {reused} backend connections reused, {ghosts} desync"
    return Result(n, figure, bad == 0, failures=bad, note="\n".join(lost[:6]))


BAR = Bar(
    "early_responses",
    "early final response during an upload: delivered 100 %, both connections closed, 0 desync",
    120,
    5000,
    run,
    alias="B-13",
)
