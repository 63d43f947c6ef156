"""Checks that hang, fail or take a thread with them, side by side with good ones."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from lbjwt.checks.results import OnlineCheck, Result, in_thread, run
from lbjwt.errors import ConfigurationError


def good(name: str) -> Result:
    return Result(name, "c", "ok", "fine")


def test_a_check_that_hangs_or_fails_stops_no_other():
    """Each is a problem of its own, at its place among the findings; the text of a stranger's exception is not repeated."""
    released = threading.Event()

    async def well() -> list[Result]:
        return [good("a"), good("b")]

    async def for_ever() -> list[Result]:
        await asyncio.Event().wait()
        return []

    async def in_a_thread_for_ever() -> list[Result]:
        await in_thread(lambda: released.wait(60))
        return []

    async def broken() -> list[Result]:
        raise KeyError("eyJhbGciOi")

    checks = [
        OnlineCheck("a", "c", well),
        OnlineCheck("hangs", "c", for_ever, 0.05),
        OnlineCheck("blocks", "c", in_a_thread_for_ever, 0.05),
        OnlineCheck("broken", "c", broken),
        OnlineCheck("z", "c", well),
    ]
    started = time.monotonic()
    results = asyncio.run(run(checks))
    released.set()
    assert time.monotonic() - started < 20
    assert [(one.subject, one.outcome) for one in results] == [
        *[("a", "ok"), ("b", "ok"), ("hangs", "problem"), ("blocks", "problem"), ("broken", "problem")],
        *[("a", "ok"), ("b", "ok")],
    ]
    assert "did not end within 0.05 s" in results[2].sentence
    assert "KeyError" in results[4].sentence and "eyJ" not in results[4].sentence


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
from lbjwt.checks.results import OnlineCheck, in_thread, run
end, _ = os.pipe()
async def look(): return await in_thread(lambda: os.read(end, 1))
print(asyncio.run(run([OnlineCheck("s", "c", look, 0.05)]))[0].outcome)
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert (finished.stdout, finished.stderr) == ("problem\n", "")
