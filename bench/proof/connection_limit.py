"""`max_connections: 1` over two workers: the backend never has two connections, and requests that wait too long get 503."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import scene
from tests.harness.load import drive, jobs
from tests.harness.ports import free_port

PENDING = 0.3  # seconds a request waits
SLACK = 0.2  # seconds: the deadlines are walked over every 50 ms, and the machine may be busy
ID = b"\r\nX-Test-Id: "


class Counting:
    """A backend that counts connections which came while another one was open."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", free_port()), backlog=128)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.delay = 0.0  # seconds before each response
        self.connections = self.requests = self.exceeded = 0
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            self.exceeded += any(_is_open(other) for other in list(self._open))
            self._open.add(connection)
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):
            while head := connection.recv(65536):
                while not head.endswith(b"\r\n\r\n"):
                    head += connection.recv(65536)
                self.requests += 1
                time.sleep(self.delay)
                id = head.partition(ID)[2].partition(b"\r\n")[0]
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Echo-Id: %b\r\nContent-Length: 2\r\n\r\nok" % id)
        self._open.discard(connection)
        connection.close()

    def close(self) -> None:
        """End the threads."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for one in [self._listener, *self._open]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _is_open(connection: socket.socket) -> bool:
    """Its far end has not closed it: the end would have arrived before the next connection did."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def run(n: int, directory: Path) -> Result:
    """`n` requests of 32 clients, then eight at once to a backend that is slower than they wait."""
    backend = Counting()
    limits = {"main": {"max_connections": 1, "max_pending": 64, "pending_timeout": "10s"}}
    short = {"main": {**limits["main"], "pending_timeout": f"{1000 * PENDING:.0f}ms"}}
    found: list[str] = []
    figures: list[str] = []
    try:
        (directory / "many").mkdir()
        with scene(
            directory / "many", processes=0, behaviours=(), endpoints=[backend.address], workers=2, clusters=limits
        ) as stage:
            samples = drive(stage.port, jobs(n, stage.token, prefix="m"), connections=32)
            found += [f"{sample.status or sample.outcome.value}" for sample in samples if not sample.is_good]
            figures.append(
                f"{backend.exceeded} of {backend.connections:,} connections too many, {backend.requests:,} requests"
            )
        (directory / "slow").mkdir()
        with scene(
            directory / "slow", processes=0, behaviours=(), endpoints=[backend.address], workers=2, clusters=short
        ) as stage:
            backend.delay = 2 * PENDING
            samples = drive(stage.port, jobs(8, stage.token, prefix="s"), connections=8)
            expired = [sample for sample in samples if sample.status == 503]
            found += [
                f"{sample.status} after {sample.latency:.2f} s"
                for sample in samples
                if not sample.is_good and not (sample.status == 503 and 0.0 <= sample.latency - PENDING <= SLACK)
            ]
            figures.append(f"{len(expired)} of 8 expired")
            if not expired:
                found.append("no request expired")
    finally:
        backend.close()
    return Result(
        n,
        "; ".join(figures),
        not found and not backend.exceeded,
        failures=backend.exceeded + len(found),
        note="\n".join(found[:12]),
    )


BAR = Bar(
    "connection_limit",
    "max_connections 1 over two workers: the backend never has two connections, and a request that waits for longer than pending_timeout gets 503",
    0,
    100_000,
    run,
    alias="B-17",
)
