"""h2load and what it reports: the load of the HTTP/2 cases. The figures are those of ``wrk.Load``, and are judged by ``wrk.judge``."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import child
from bench.child import BenchError
from bench.wrk import Load

_FINISHED = re.compile(r"^finished in ([0-9.]+)(us|ms|s|m),", re.MULTILINE)
_REQUESTS = re.compile(
    r"^requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout$",
    re.MULTILINE,
)
_STATUSES = re.compile(r"^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx$", re.MULTILINE)
_DATA = re.compile(r"^traffic: .*, [0-9.]+[KMG]?B \((\d+)\) data$", re.MULTILINE)
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def parse(output: str, times: list[int]) -> Load:
    """
    The figures of a run.

    Args:
        output: What h2load printed.
        times: Of each answer, in microseconds, from its log.

    Raises:
        BenchError: A line of figures is missing, or the connections did not speak HTTP/2.
    """
    finished, requests, statuses, data = (
        pattern.search(output) for pattern in (_FINISHED, _REQUESTS, _STATUSES, _DATA)
    )
    if finished is None or requests is None or statuses is None or data is None:
        raise BenchError(f"h2load printed no figures: {output.strip()[-400:] or 'nothing'}")
    if not re.search(r"^Application protocol: h2c?$", output, re.MULTILINE):
        raise BenchError("h2load did not agree on HTTP/2")
    done, _, failed, errored, timeouts = (int(found) for found in requests.groups())
    times.sort()
    return Load(
        requests=done,
        seconds=float(finished[1]) * _SECONDS[finished[2]],
        bytes=int(data[1]),
        connect_errors=0,  # one that could not be made counts as errored
        read_errors=failed + errored,
        write_errors=0,
        timeouts=timeouts,
        refused=sum(int(count) for count in statuses.groups()[1:]),  # whatever is no 2xx was not asked for
        p50_us=_percentile(times, 0.50),
        p99_us=_percentile(times, 0.99),
    )


def _percentile(times: list[int], share: float) -> float:
    return float(times[min(len(times) - 1, int(len(times) * share))]) if times else 0.0


def run(
    url: str,
    arguments: tuple[str, ...],
    *,
    seconds: float,
    cores: tuple[int, ...],
    connections: int,
    streams: int,
    midway: Callable[[], None] | None = None,
) -> Load:
    """
    Run h2load pinned to ``cores`` and return its figures; ``midway`` is called once while it runs.

    Args:
        arguments: Of h2load, such as the header fields.
        streams: Of each connection, at a time.

    Raises:
        BenchError: h2load is missing, failed, or printed no figures.
    """
    program = shutil.which("h2load")
    if program is None:
        raise BenchError("h2load is missing: apt-get install nghttp2-client")
    with TemporaryDirectory(prefix="bench-h2load-") as directory:
        log = Path(directory) / "log"
        options = [f"-c{connections}", f"-m{streams}", f"-D{max(1, round(seconds))}", f"--log-file={log}"]
        output = child.load("h2load", [program, *options, *arguments, url], seconds=seconds, cores=cores, midway=midway)
        lines = log.read_text().splitlines() if log.exists() else []
        return parse(output, [int(line.rpartition("\t")[2]) for line in lines])
