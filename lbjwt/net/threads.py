"""
Work in a thread that ends with it.

A thread of `asyncio.to_thread` stays for the next work. While a process has a second thread, even one that sleeps, the kernel counts each use of a
descriptor and the allocator locks: every request costs about 5 % more.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Call `work` in a thread of its own, and return or raise what it does. A cancelled caller does not wait for it."""
    executor = ThreadPoolExecutor(1, "lbjwt")
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, lambda: work(*args, **named))
    finally:
        executor.shutdown(wait=False)
