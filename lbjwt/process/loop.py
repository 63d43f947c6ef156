"""The event loop of a worker or of the control process: start, run until told to stop, exit code."""

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
"""Seconds between two checks that the supervisor lives, in case the kernel's signal was missed."""

COLLECT_AFTER: Final = 50_000
"""New container objects before a garbage collection; connections break their cycles when they close."""


class Process(ABC):
    """A child of the supervisor."""

    log: logging.Logger
    orphaned: str
    """What it does when the supervisor is gone, for the log."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self.orphan = False
        """The supervisor is gone."""

    def run(self) -> int:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(self._run())

    @abstractmethod
    def prepare(self, loop: asyncio.AbstractEventLoop) -> None:
        """Prepare without waiting, and set the signal handlers: `_stop` ends the process."""

    @abstractmethod
    async def start(self, stack: contextlib.AsyncExitStack) -> None:
        """Begin to serve. The stack is unwound at the end, also when the start fails or is given up."""

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
                # objects of the start live for ever: exempt them from collection
                gc.collect()
                gc.freeze()
                gc.set_threshold(COLLECT_AFTER, 20, 100)
                await self._stop.wait()
        return OK

    async def _watch_parent(self, parent: int) -> None:
        while os.getppid() == parent:
            await asyncio.sleep(PARENT_CHECK)
        self.log.error("the supervisor has ended: %s", self.orphaned)
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
