"""
Looks that cannot hurt each other: every one has a time limit, and one that fails or hangs is a finding of its own and stops no other.

A look that waits for the network is a coroutine. One that blocks (a file on a server that is gone, a name that does not resolve) runs in a thread
that nobody waits for at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from lbjwt.doctor.model import Finding, Report

__all__ = ["LIMIT", "Look", "in_thread", "look_at_all"]

T = TypeVar("T")

LIMIT: Final = 5.0
"""Seconds for a look that says nothing else: none of them needs one."""


@dataclass(frozen=True, slots=True)
class Look:
    """
    One look.

    Attributes:
        subject, check: Of the finding when it fails or does not end.
        look: Does it.
        limit: Seconds.
    """

    subject: str
    check: str
    look: Callable[[], Awaitable[Iterable[Finding]]]
    limit: float = LIMIT


async def look_at_all(looks: Sequence[Look]) -> Report:
    """All at once; the findings come in the order of the looks."""
    return Report.of(await asyncio.gather(*map(_guarded, looks)))


async def in_thread(function: Callable[[], T]) -> T:
    """What a blocking function returns or raises. Should the caller give up, the thread is left to itself, and keeps no process alive."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():  # nobody waits any more
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result, fault = None, None
        try:
            result = function()
        except Exception as error:
            fault = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: all was given up
            loop.call_soon_threadsafe(settle, result, fault)

    threading.Thread(target=work, daemon=True, name="lbjwt-doctor").start()
    return await future


async def _guarded(look: Look) -> list[Finding]:
    try:
        async with asyncio.timeout(look.limit):
            return list(await look.look())
    except TimeoutError:
        sentence = f"no end within {look.limit:g} s; something it waits for hangs"
    except Exception as error:  # whatever one look meets, the others go on
        sentence = f"could not be looked at ({type(error).__name__}), which is a fault of lbjwt worth reporting"
    return [Finding(look.subject, look.check, "problem", sentence)]
