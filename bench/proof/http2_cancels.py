"""HTTP/2 streams cancelled, and connections killed, at any moment: nothing is left of them."""

from __future__ import annotations

import json
import random
import select
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any

from bench.proof.registry import Bar, Result
from bench.proof.scene import scene, settle
from tests.harness.http2 import Http2Client, head
from tests.harness.ports import free_port
from tests.harness.procfs import usage
from tests.harness.waiting import eventually

TARGETS = ("/r/x", "/slow/5", "/bytes/200000", "/chunked/50000", "/upload")
STREAMS = 20  # at a time on one connection
GROWTH = 2 << 20  # bytes: exchanges that are kept to be used again, with their buffers


def run(n: int, directory: Path) -> Result:
    """Twice N streams cancelled after a random time, a tenth of as many connections reset under load, by four clients at once."""
    port = free_port()
    wrong: list[str] = []
    # A client may take back as many streams as it likes here: what is counted is what is left of them.
    limits = {"http2": {"max_resets": 1_000_000}}
    with scene(
        directory, processes=2, limits=limits, listeners=[{"address": f"127.0.0.1:{port}", "h2c": True}]
    ) as stage:

        def state() -> dict[str, Any]:
            found: dict[str, Any] = json.loads(stage.balancer.admin_get("/status")[1])
            return found

        def held() -> int:
            """Descriptors, those of idle connections to backends left out."""
            return usage(stage.balancer.pid).fds - sum(one["idle_connections"] for one in state()["endpoints"])

        def rest() -> bool:
            now = state()
            return not (
                now["requests_in_flight"]
                or now["connections"]
                or any(one["requests_in_flight"] for one in now["endpoints"])
            )

        def begin(client: Http2Client, chance: random.Random) -> int:
            target = chance.choice(TARGETS)
            upload = target == "/upload"
            return client.begin(head("POST" if upload else "GET", target, token=stage.token), None if upload else b"")

        def work(streams: int, kills: int, seed: int) -> None:
            chance = random.Random(seed)
            while streams > 0 or kills > 0:
                with Http2Client(port) as client:
                    for number in [begin(client, chance) for _ in range(STREAMS)]:
                        if select.select([client.socket], [], [], chance.random() * 0.002)[0]:
                            client.receive()
                        if streams > 0:
                            client.peer.engine.reset_stream(number, 8)
                            client.flush()
                            streams -= 1
                    if client.ask("/r/x", token=stage.token).status != 200:
                        wrong.append("a good request on the same connection failed")
                    if kills > 0:
                        for _ in range(5):
                            begin(client, chance)
                        time.sleep(chance.random() * 0.002)
                        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        kills -= 1

        def volley(streams: int, kills: int) -> None:
            clients = [threading.Thread(target=work, args=(streams // 4, kills // 4, seed)) for seed in range(4)]
            for one in clients:
                one.start()
            for one in clients:
                one.join()
            eventually(rest)

        volley(n // 2, n // 20)
        before, descriptors = settle(stage, 0.1), held()
        growths = []
        for _ in range(2):
            volley(n, n // 10)
            after = settle(stage, 0.1)
            growths.append(after - before)
            before = after
        # A leak grows with every volley; room for more streams at a time than before is taken once.
        eventually(
            lambda: held() <= descriptors, 10.0
        )  # our last look may have left a connection that is not quite closed
        grown, left = min(growths), held() - descriptors
    figure = f"{len(wrong)} requests failed, nothing in flight; descriptors {left:+d}, memory {grown / 1024:+.0f} KiB"
    passed = not wrong and left <= 0 and grown <= GROWTH
    return Result(n, figure, passed, failures=len(wrong), note="\n".join(sorted(set(wrong))[:6]))


BAR = Bar(
    "http2_cancels",
    "HTTP/2 streams cancelled and connections killed at any moment: 0 requests, descriptors or bytes of them are left",
    400,
    10_000,
    run,
)
