"""Checks that hang, fail or take a thread with them, side by side with good ones."""

import asyncio
import subprocess
import sys
import threading
import time

from lbjwt.checks.registry import guarded, in_thread
from lbjwt.checks.results import Result


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

    async def all_at_once() -> list[Result]:
        found = await asyncio.gather(
            guarded("a", "c", well()),
            guarded("hangs", "c", for_ever(), 0.05),
            guarded("blocks", "c", in_thread(for_ever_in_a_thread), 0.05),
            guarded("broken", "c", broken()),
            guarded("z", "c", well()),
        )
        return [result for results in found for result in results]

    started = time.monotonic()
    results = asyncio.run(all_at_once())
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

    assert asyncio.run(guarded("a", "c", in_thread(lambda: [good("a")]))) == [good("a")]
    (failed,) = asyncio.run(guarded("b", "c", in_thread(refuse)))
    assert failed.outcome == "problem" and "LookupError" in failed.sentence


def test_a_thread_that_never_ends_holds_no_process():
    """The process ends with its findings although a look of it still waits for a pipe that nobody writes to."""
    code = """
import asyncio, os
from lbjwt.checks.registry import guarded, in_thread
end, _ = os.pipe()
print(asyncio.run(guarded("s", "c", in_thread(lambda: [os.read(end, 1)]), 0.05))[0].outcome)
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert (finished.stdout, finished.stderr) == ("problem\n", "")
