"""Floods of HTTP/2 frames: the sender is told to go and is gone, while a good client is served."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import scene, settle
from tests.harness.http2 import ENHANCE_YOUR_CALM, GOAWAY, PREFACE, SETTINGS, Http2Client, frame, frames
from tests.harness.http2_floods import STEPS, floods
from tests.harness.ports import free_port

GONE = 1.0  # seconds from the first frame of a flood to the end of its connection
GROWTH = 8 << 20  # bytes


def attack(port: int, step: Callable[[int], bytes]) -> tuple[float, bool]:
    """One flood, as fast as it can be sent. Seconds until its connection had ended, and whether a GOAWAY said why (a reset may overtake it)."""
    out = b""
    with socket.create_connection(("127.0.0.1", port), 10) as raw:
        begun = time.monotonic()

        def send() -> None:
            try:
                raw.sendall(PREFACE + frame(SETTINGS))
                for at in range(0, STEPS, 100):
                    raw.sendall(b"".join(step(at + more) for more in range(100)))
            except OSError:
                pass

        sender = threading.Thread(target=send)
        sender.start()
        try:
            while data := raw.recv(1 << 18):
                out += data
            told = any(
                kind == GOAWAY and int.from_bytes(payload[4:8]) == ENHANCE_YOUR_CALM
                for kind, _, _, payload in frames(out)
            )
        except ConnectionResetError:
            told = True
        ended = time.monotonic() - begun
        sender.join()
    return ended, told


def run(n: int, directory: Path) -> Result:
    """Every flood in turn, N in all, and a good client on a connection of its own between them and during them."""
    wrong: list[str] = []
    worst = 0.0
    port = free_port()
    with scene(directory, processes=1, listeners=[{"address": f"127.0.0.1:{port}", "h2c": True}]) as stage:
        kinds = floods(stage.token)
        stop = threading.Event()
        served = [0]

        def good() -> None:
            with Http2Client(port) as client:
                while not stop.is_set():
                    reply = client.ask("/r/x", token=stage.token)
                    if reply.status != 200:
                        wrong.append(f"a good request got {reply.status or reply.reset}")
                    served[0] += 1
                    time.sleep(0.002)

        def volley(turns: int) -> None:
            nonlocal worst
            for _ in range(turns):
                for name, step in kinds.items():
                    seconds, told = attack(port, step)
                    worst = max(worst, seconds)
                    if not told or seconds > GONE:
                        wrong.append(f"{name}: ended after {seconds:.2f} s" + ", without its GOAWAY" * (not told))

        visitor = threading.Thread(target=good)
        visitor.start()
        try:
            volley(1)
            before = settle(stage, 0.2)
            turns = max(1, n // len(kinds) - 1)
            volley(turns)
            grown = settle(stage, 0.2) - before
        finally:
            stop.set()
            visitor.join()
        counted = stage.balancer.metric("lbjwt_errors_total", reason="flood")
    asked = (turns + 1) * len(kinds)
    figure = (
        f"{len(wrong)} of {asked} floods or good requests not as promised; the slowest end after {worst:.2f} s; "
        f"memory {grown / 1024:+.0f} KiB; {served[0]} good requests"
    )
    passed = not wrong and grown <= GROWTH and served[0] > 0 and counted >= asked
    return Result(asked, figure, passed, failures=len(wrong), note="\n".join(sorted(set(wrong))[:6]))


BAR = Bar(
    "http2_floods",
    "floods of HTTP/2 frames: told why and gone within 1 s, memory grows by at most 8 MiB, a good client is served",
    34,
    1700,
    run,
)
