"""Checks that hang, fail or take a thread with them, side by side with good ones."""

import asyncio
import subprocess
import sys
import threading
import time

from lbjwt.checks.results import OnlineCheck, Result, blocking, run


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

    def for_ever_in_a_thread() -> list[Result]:
        released.wait(60)
        return []

    async def broken() -> list[Result]:
        raise KeyError("eyJhbGciOi")

    checks = [
        OnlineCheck("a", "c", well),
        OnlineCheck("hangs", "c", for_ever, 0.05),
        OnlineCheck("blocks", "c", blocking(for_ever_in_a_thread), 0.05),
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
    """Results, or the exception that was raised."""

    def refuse() -> list[Result]:
        raise LookupError

    results = asyncio.run(
        run([OnlineCheck("a", "c", blocking(lambda: [good("a")])), OnlineCheck("b", "c", blocking(refuse))])
    )
    assert results[0] == good("a")
    assert results[1].outcome == "problem" and "LookupError" in results[1].sentence


def test_a_thread_that_never_ends_holds_no_process():
    """The process ends with its findings although a look of it still waits for a pipe that nobody writes to."""
    code = """
import asyncio, os
from lbjwt.checks.results import OnlineCheck, blocking, run
end, _ = os.pipe()
look = blocking(lambda: [os.read(end, 1)])
print(asyncio.run(run([OnlineCheck("s", "c", look, 0.05)]))[0].outcome)
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert (finished.stdout, finished.stderr) == ("problem\n", "")
