"""Heads, chunk extensions and trailers without end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import repeat
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import cpu_nanoseconds, scene, settle
from tests.harness.client import Client, Outcome, request

CPU = 5.0  # milliseconds each
GROWTH = 1 << 20  # bytes
MIB = 1 << 20


def bombs(token: str) -> dict[str, Callable[[], Iterator[bytes]]]:
    """Name -> pieces of one bomb."""
    start = request("/r/x", token=token)[:-2]
    chunked = request("/r/x", method="POST", token=token, fields=["Transfer-Encoding: chunked"])

    def then(first: bytes, rest: bytes, size: int = MIB) -> Callable[[], Iterator[bytes]]:
        def pieces() -> Iterator[bytes]:
            yield first
            yield from repeat(rest, size // len(rest))

        return pieces

    return {
        "1 MiB line": then(start + b"X-Long: ", b"l" * 65536),
        "100k fields": then(start, b"X-A: b\r\n" * 8192),
        "10 MiB URL": then(b"GET /", b"u" * 65536, 10 * MIB),
        "CRLF flood": then(b"\r\n", b"\r\n" * 32768),
        "64 KiB chunk extension": then(chunked + b"5;", b"e" * 65536, 65536),
        "endless trailers": then(chunked + b"5\r\nhello\r\n0\r\n", b"X-T: t\r\n" * 8192),
        "method without end": then(b"G", b"E" * 65536),
        "spaces in value": then(start + b"X-Space:", b" " * 65536),
        "chunks of one byte with extensions": then(chunked, b"1;abcdefgh\r\nx\r\n" * 4096),
    }


def throw(client: Client, pieces: Iterator[bytes]) -> None:
    """Send all of it, whatever comes back, or until the connection ends."""
    client.socket.settimeout(1.0)
    with suppress(OSError):
        for piece in pieces:
            client.socket.sendall(piece)


def run(n: int, directory: Path) -> Result:
    """Every bomb in turn, N in all; processor time by the scheduler's account."""
    wrong: list[str] = []
    with scene(directory, processes=1) as stage:
        kinds = bombs(stage.token)
        worst: dict[str, float] = {}

        def volley(turns: int) -> None:
            for name, pieces in kinds.items():
                started = cpu_nanoseconds(stage.balancer.pid)
                for _ in range(turns):
                    with Client(stage.port) as client:
                        client.reader.expect(b"GET")
                        throw(client, pieces())
                        answer = client.response(2.0)
                        if not 400 <= answer.status < 500 and answer.outcome is not Outcome.RESET:
                            wrong.append(f"{name}: {answer.outcome.value} {answer.status}")
                worst[name] = (cpu_nanoseconds(stage.balancer.pid) - started) / turns / 1e6

        volley(1)
        before = settle(stage)
        volley(max(1, n // len(kinds)))
        grown = settle(stage) - before
        with Client(stage.port) as client:
            served = client.ask("/r/x", token=stage.token).status == 200
    name, cost = max(worst.items(), key=lambda entry: entry[1])
    figure = f"{len(wrong)} not refused, at most {cost:.2f} ms of processor ({name}), memory {grown / 1024:+.0f} KiB"
    passed = not wrong and cost <= CPU and grown <= GROWTH and served
    return Result(n, figure, passed, note="\n".join(sorted(set(wrong))[:6]))


BAR = Bar(
    "head_bombs",
    "header, chunk and trailer bombs: refused, at most 5 ms of processor each, memory grows by at most 1 MiB",
    27,
    450,
    run,
    alias="D-5",
)
