"""What a waiting connection costs: 5,000 keep-alive connections that have each had one answer."""

from __future__ import annotations

import resource
import socket
import time
from contextlib import ExitStack

from bench.child import BenchError

CONNECTIONS = 5_000
SETTLE = 0.5  # seconds after the last answer, before memory is read


def allow_files(count: int) -> None:
    """
    Raise this process's limit of open files, which its children inherit.

    Raises:
        BenchError: The system does not allow that many.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise BenchError(f"{count} open files are needed, {hard} are allowed: ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _one_answer(connection: socket.socket, request: bytes) -> None:
    connection.sendall(request)
    answer = b""
    while not answer.endswith(b"hello world\n"):
        piece = connection.recv(4096)
        if not piece:
            raise BenchError(f"a connection was closed instead of answered: {answer[:60]!r}")
        answer += piece


def hold(stack: ExitStack, port: int, token: str, count: int) -> None:
    """
    Open connections, have one request answered on each, and leave them open until the stack closes.

    Raises:
        BenchError: One was not answered.
    """
    request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    for number in range(count):
        try:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            _one_answer(connection, request)
        except OSError as error:
            raise BenchError(f"connection {number + 1} of {count} failed: {error}") from error
    time.sleep(SETTLE)
