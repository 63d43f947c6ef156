"""
Worthless tokens in great numbers, from a process of its own: pipelined over a few connections at a fixed rate, answers only counted.

`python -m tests.harness.flood PORT KIND RATE SECONDS TOKEN` is the child and prints what came back as JSON; `Flood` starts it.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from tests.harness.processes import PR_SET_PDEATHSIG

CONNECTIONS = 8
TICK = 0.004  # seconds between two bursts
MOST_BEHIND = 512  # requests unanswered on one connection; then it waits
ANSWER = re.compile(
    rb"HTTP/1\.1 (\d\d\d) [^\r\n]*\r\n(?:[^\r\n]+\r\n)*?[Cc]ontent-[Ll]ength: (\d+)\r\n(?:[^\r\n]+\r\n)*\r\n"
)


def _text(size: int) -> str:
    """Random base64url of so many bytes."""
    return base64.urlsafe_b64encode(random.randbytes(size)).rstrip(b"=").decode()


def unknown_kid(token: str) -> Callable[[], str]:
    """The claims of the token under a header with a key id that nobody has, and a signature of the right length."""
    _, payload, _ = token.split(".")

    def make() -> str:
        header = base64.urlsafe_b64encode(b'{"alg":"ES256","kid":"%s"}' % random.randbytes(9).hex().encode())
        return f"{header.rstrip(b'=').decode()}.{payload}.{_text(64)}"

    return make


def garbage(token: str) -> Callable[[], str]:
    """Text of the token's length that is no token."""
    return lambda: _text(len(token) * 3 // 4)


def bad_signature(token: str) -> Callable[[], str]:
    """The token with another signature each time: the dearest refusal there is."""
    signed, _, signature = token.rpartition(".")
    size = len(signature) * 3 // 4
    return lambda: f"{signed}.{_text(size)}"


KINDS = {"unknown-kid": unknown_kid, "garbage": garbage, "bad-signature": bad_signature}


class _Pipe:
    """One connection with requests on their way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 5.0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(20.0)
        self.behind = 0
        self.pending = b""

    def take(self, counts: Counter[str]) -> bool:
        """Count the answers that came; False at the end of the connection."""
        try:
            data = self.socket.recv(1 << 18)
        except OSError:
            return False
        if not data:
            return False
        self.pending += data
        at = 0
        while match := ANSWER.match(self.pending, at):
            end = match.end() + int(match[2])
            if end > len(self.pending):
                break
            counts[match[1].decode()] += 1
            self.behind -= 1
            at = end
        self.pending = self.pending[at:]
        return True


def run(port: int, kind: str, rate: float, seconds: float, token: str) -> dict[str, Any]:
    """Flood, wait for the last answers, and tell: requests sent, answers by status, requests lost with a closed connection."""
    make = KINDS[kind](token)
    pipes = [_Pipe(port) for _ in range(CONNECTIONS)]
    counts: Counter[str] = Counter()
    sent = lost = turn = 0
    start = time.monotonic()
    while True:
        now = time.monotonic() - start
        due = int(min(now, seconds) * rate) - sent
        while due > 0:
            pipe = pipes[turn % CONNECTIONS]
            turn += 1
            burst = min(due, max(1, int(rate * TICK / CONNECTIONS)))
            if pipe.behind < MOST_BEHIND:
                pipe.socket.sendall(
                    b"".join(
                        b"GET /flood HTTP/1.1\r\nHost: example.test\r\nAuthorization: Bearer %b\r\n\r\n"
                        % make().encode()
                        for _ in range(burst)
                    )
                )
                pipe.behind += burst
                sent += burst
            elif all(other.behind >= MOST_BEHIND for other in pipes):
                break
            due -= burst
        readable = select.select([pipe.socket for pipe in pipes], [], [], TICK)[0]
        for index, pipe in enumerate(pipes):
            if pipe.socket in readable and not pipe.take(counts):
                lost += pipe.behind
                pipe.socket.close()
                pipes[index] = _Pipe(port)
        if now >= seconds and (not any(pipe.behind for pipe in pipes) or now > seconds + 10.0):
            break
    for pipe in pipes:
        pipe.socket.close()
    return {"sent": sent, "statuses": dict(counts), "lost": lost, "seconds": time.monotonic() - start}


class Flood:
    """`with Flood(port, "garbage", 1000.0, 5.0, token) as flood: …` and, after it, `flood.result`."""

    def __init__(self, port: int, kind: str, rate: float, seconds: float, token: str) -> None:
        self._command = [sys.executable, "-m", "tests.harness.flood", str(port), kind, str(rate), str(seconds), token]
        self._seconds = seconds
        self.result: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._process.kill()
        out, _ = self._process.communicate(timeout=self._seconds + 30.0)
        if error is None:
            self.result = json.loads(out)


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != 1:
        print(json.dumps(run(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), sys.argv[5])))
