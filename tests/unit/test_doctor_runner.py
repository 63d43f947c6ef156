"""Looks that hang, fail or take a thread with them, side by side with good ones."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from lbjwt.doctor.model import Finding, Report
from lbjwt.doctor.runner import Look, in_thread, look_at_all
from lbjwt.errors import ConfigurationError


def good(name: str) -> Finding:
    return Finding(name, "c", "ok", "fine")


def test_a_look_that_hangs_or_fails_stops_no_other():
    """Each is a problem of its own, at its place among the findings; the text of a stranger's exception is not repeated."""
    released = threading.Event()

    async def well() -> list[Finding]:
        return [good("a"), good("b")]

    async def for_ever() -> list[Finding]:
        await asyncio.Event().wait()
        return []

    async def in_a_thread_for_ever() -> list[Finding]:
        await in_thread(lambda: released.wait(60))
        return []

    async def broken() -> list[Finding]:
        raise KeyError("eyJhbGciOi")

    looks = [
        Look("a", "c", well),
        Look("hangs", "c", for_ever, 0.05),
        Look("blocks", "c", in_a_thread_for_ever, 0.05),
        Look("broken", "c", broken),
        Look("z", "c", well),
    ]
    started = time.monotonic()
    report = asyncio.run(look_at_all(looks))
    released.set()
    assert time.monotonic() - started < 20
    assert [(one.subject, one.outcome) for one in report.findings] == [
        *[("a", "ok"), ("b", "ok"), ("hangs", "problem"), ("blocks", "problem"), ("broken", "problem")],
        *[("a", "ok"), ("b", "ok")],
    ]
    assert "no end within 0.05 s" in report.findings[2].sentence
    assert "KeyError" in report.findings[4].sentence and "eyJ" not in report.findings[4].sentence


def test_a_thread_hands_back_what_came_of_it():
    """A value, or the exception that was raised."""
    assert asyncio.run(in_thread(lambda: 7)) == 7

    def refuse() -> None:
        raise ConfigurationError("no")

    with pytest.raises(ConfigurationError, match="no"):
        asyncio.run(in_thread(refuse))


def test_a_thread_that_never_ends_holds_no_process():
    """The process ends with its findings although a look of it still waits for a pipe that nobody writes to."""
    code = """
import asyncio, os
from lbjwt.doctor.runner import Look, in_thread, look_at_all
end, _ = os.pipe()
async def look(): return await in_thread(lambda: os.read(end, 1))
print(asyncio.run(look_at_all([Look("s", "c", look, 0.05)])).worst)
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert (finished.stdout, finished.stderr) == ("problem\n", "")


def test_the_worst_outcome_counts():
    """Of none it is ok."""
    assert Report(()).worst == "ok"
    findings = [Finding("s", "c", outcome, "") for outcome in ("note", "warning", "ok", "note")]
    report = Report(tuple(findings))
    assert (report.worst, report.count("note"), report.count("problem")) == ("warning", 2, 0)
