"""
The one loop of a worker or of the control process: start, run until told to stop, finish; and the exit code that tells how that went.
"""

import asyncio
import contextlib
import gc
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any, Final

import uvloop

from lbjwt.errors import LbjwtError
from lbjwt.process.child import FAILED, OK, WRONG_CONFIGURATION

PARENT_CHECK: Final = 0.5
"""Seconds between two looks whether the supervisor still lives; the kernel's signal normally tells at once."""

COLLECT_AFTER: Final = 50_000
"""New container objects before the collector looks for cycles. Connections break theirs when they close, so there is next to nothing to find."""


class Process(ABC):
    """What runs in the loop of a child of the supervisor. A start that is given up, or fails, undoes what is on the stack by then."""

    log: logging.Logger
    orphaned: str
    """What follows when the supervisor is gone, for the log."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self.orphan = False
        """The supervisor is gone."""

    def run(self) -> int:
        """Live until told to stop; return the exit code."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(self._run())

    @abstractmethod
    def prepare(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make what needs no waiting, and set the handlers of signals: `_stop` ends the process."""

    @abstractmethod
    async def start(self, stack: contextlib.AsyncExitStack) -> None:
        """Begin to serve. What has to be done at the end goes to the stack."""

    async def _run(self) -> int:
        async with contextlib.AsyncExitStack() as stack:
            try:
                self.prepare(asyncio.get_running_loop())
                watch = asyncio.ensure_future(self._watch_parent(os.getppid()))
                stack.callback(watch.cancel)
                started = await unless_stopped(self.start(stack), self._stop)
            except LbjwtError as error:
                self.log.error("%s", error)
                return WRONG_CONFIGURATION
            except OSError as error:
                cause = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
                self.log.error("cannot start: %s", cause)
                return FAILED
            if started:
                # What the start made lives for ever: the collector need not walk it.
                gc.collect()
                gc.freeze()
                gc.set_threshold(COLLECT_AFTER, 20, 100)
                await self._stop.wait()
        return OK

    async def _watch_parent(self, parent: int) -> None:
        while os.getppid() == parent:
            await asyncio.sleep(PARENT_CHECK)
        self.log.error("the supervisor is gone: %s", self.orphaned)
        self.orphan = True
        self._stop.set()


async def unless_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
    """Await `work`, or give it up when `stop` is set. True when it was done."""
    task = asyncio.ensure_future(work)
    waiter = asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    if not task.done():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return False
    task.result()
    return True
