"""Programs the benchmark starts: pinned to cores, output to a file, gone when the benchmark goes. Ended by their own ids only."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

START_SECONDS = 15.0  # from the start of a program to its first accepted connection
STOP_SECONDS = 5.0  # from SIGTERM to SIGKILL

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class BenchError(Exception):
    """A measurement that cannot be made or does not count; the sentence says why."""


def _tail(log: Path) -> str:
    """The last lines a program printed, as one."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-3:]) or "it printed nothing"


def _wait_until_listening(program: subprocess.Popen[bytes], port: int, name: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if program.poll() is not None:
            raise BenchError(f"{name} ended with status {program.returncode} while it started: {_tail(log)}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise BenchError(f"{name} accepted no connection within {START_SECONDS:.0f} s: {_tail(log)}")


def _stop(program: subprocess.Popen[bytes]) -> None:
    program.terminate()
    with suppress(subprocess.TimeoutExpired):
        program.wait(STOP_SECONDS)
    with suppress(
        ProcessLookupError
    ):  # workers that outlived their parent are in its process group, which is ours alone
        os.killpg(program.pid, signal.SIGKILL)
    program.wait()


@contextmanager
def running(name: str, command: list[str], *, port: int, cores: tuple[int, ...], directory: Path) -> Iterator[int]:
    """
    Start a program pinned to ``cores``, yield its process id once ``port`` accepts, and end it with all its children.

    Raises:
        BenchError: It ended early or never listened; the sentence carries the end of its output.
    """
    log = directory / f"{name}.log"

    def prepare() -> None:
        os.sched_setaffinity(0, cores)
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    with log.open("wb") as output:
        program = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=prepare,
        )
    try:
        _wait_until_listening(program, port, name, log)
        yield program.pid
        if program.poll() is not None:
            raise BenchError(f"{name} ended with status {program.returncode} under load: {_tail(log)}")
    finally:
        _stop(program)


def load(
    name: str, command: list[str], *, seconds: float, cores: tuple[int, ...], midway: Callable[[], None] | None
) -> str:
    """
    Run a program that makes load for so many seconds, pinned to ``cores``, and return what it printed.

    Args:
        midway: Called after seven tenths of the time.

    Raises:
        BenchError: It did not end.
    """
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    try:
        if midway is not None:
            time.sleep(seconds * 0.7)
            midway()
        output, _ = process.communicate(timeout=seconds + 30)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{name} did not end within {seconds + 30:.0f} s") from error
    finally:
        process.kill()
        process.wait()
    return output
