"""What the loops of workers and keeper have in common: when to stop, and what the collector need not walk."""

import asyncio
import contextlib
import gc
import os
from collections.abc import Coroutine
from typing import Any, Final

PARENT_CHECK: Final = 0.5
"""Seconds between two looks whether the supervisor still lives; the kernel's signal normally tells at once."""

COLLECT_AFTER: Final = 50_000
"""New container objects before the collector looks for cycles. Connections break theirs when they close, so there is next to nothing to find."""


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


async def parent_gone(parent: int) -> None:
    """Return when the parent process is another one than this: the supervisor died."""
    while os.getppid() == parent:
        await asyncio.sleep(PARENT_CHECK)


def freeze() -> None:
    """What the start made lives for ever: the collector need not walk it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 100)
