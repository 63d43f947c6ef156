"""wrk and what it reports. The load itself is ``bench/load/load.lua``; here it is started, read and judged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import child
from bench.child import BenchError

SCRIPT = Path(__file__).parent / "load" / "load.lua"
_MARK = "measured "


@dataclass(frozen=True)
class Load:
    """One closed-loop run, as wrk saw it. ``refused`` counts answers with a status of 400 or more."""

    requests: int
    seconds: float
    bytes: int
    connect_errors: int
    read_errors: int
    write_errors: int
    timeouts: int
    refused: int
    p50_us: float
    p99_us: float

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return self.requests / self.seconds


def parse(output: str) -> Load:
    """
    The figures of a run from what wrk printed.

    Raises:
        BenchError: The line of figures is missing or is not what the script writes.
    """
    for line in output.splitlines():
        if line.startswith(_MARK):
            try:
                return Load(**json.loads(line[len(_MARK) :]))
            except (ValueError, TypeError) as error:
                raise BenchError(f"wrk printed figures that cannot be read: {error}") from error
    raise BenchError(f"wrk printed no figures: {output.strip()[-400:] or 'nothing'}")


def judge(load: Load, *, refusals: bool, least_bytes: int) -> None:
    """
    Accept a run only when every answer was the one asked for.

    Args:
        refusals: Every answer must be an error status; otherwise none may be.
        least_bytes: Least length of a single answer.

    Raises:
        BenchError: With the first thing that is wrong.
    """
    if load.requests == 0:
        raise BenchError("no request was answered")
    troubles = (
        ("connections failed", load.connect_errors),
        ("reads failed", load.read_errors),
        ("writes failed", load.write_errors),
        ("requests timed out", load.timeouts),
    )
    for what, count in troubles:
        if count:
            raise BenchError(f"{count} {what} of {load.requests} requests")
    if refusals and load.refused != load.requests:
        raise BenchError(f"only {load.refused} of {load.requests} requests without a token were refused")
    if not refusals and load.refused:
        raise BenchError(f"{load.refused} of {load.requests} good requests were refused")
    if load.bytes < load.requests * least_bytes:
        raise BenchError(f"answers are too short: {load.bytes // load.requests} bytes each, {least_bytes} expected")


def run(
    url: str,
    arguments: tuple[str, ...],
    *,
    seconds: float,
    cores: tuple[int, ...],
    connections: int,
    threads: int = 1,
    midway: Callable[[], None] | None = None,
) -> Load:
    """
    Run wrk pinned to ``cores`` and return its figures; ``midway`` is called once while it runs.

    Raises:
        BenchError: wrk is missing, failed, or printed no figures.
    """
    program = shutil.which("wrk")
    if program is None:
        raise BenchError("wrk is missing: apt-get install wrk")
    command = [
        program,
        f"-t{threads}",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        "-s",
        str(SCRIPT),
        url,
        "--",
        *arguments,
    ]
    return parse(child.load("wrk", command, seconds=seconds, cores=cores, midway=midway))
