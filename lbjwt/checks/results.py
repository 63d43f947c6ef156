"""
Online checks, which need the network or block, and their results.

Every check has a time limit; one that fails or hangs is a problem of its own and stops no other.
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Outcome = Literal["ok", "note", "warning", "problem"]

OUTCOMES: Final[tuple[Outcome, ...]] = ("ok", "note", "warning", "problem")
"""From the best to the worst. A note is worth knowing and asks for nothing; a warning asks for something soon; with a problem it does not work."""

LIMIT: Final = 5.0
"""Seconds for a check that has no limit of its own."""


@dataclass(frozen=True, slots=True)
class Result:
    """
    What a check found, without a key, a secret or a token.

    Attributes:
        subject: The part of the configuration, by its path: `issuers.main`.
        check: What was checked: a stable word.
        sentence: What was found, and what to do about it.
    """

    subject: str
    check: str
    outcome: Outcome
    sentence: str


@dataclass(frozen=True, slots=True)
class OnlineCheck:
    """One check. Its subject and word are those of the result when it fails, or does not end within the limit."""

    subject: str
    check: str
    ask: Callable[[], Awaitable[Iterable[Result]]]
    limit: float = LIMIT
    """Seconds."""


def blocking(function: Callable[..., Iterable[Result]], *arguments: object) -> Callable[[], Awaitable[list[Result]]]:
    """
    Return a blocking function as the `ask` of a check: it runs in a thread of its own.

    A thread of asyncio's pool that hangs (a file on a server that is gone, a name that does not resolve) would keep the process from ending.
    """

    def ask() -> Awaitable[list[Result]]:
        future: concurrent.futures.Future[list[Result]] = concurrent.futures.Future()
        future.set_running_or_notify_cancel()

        def work() -> None:
            try:
                future.set_result(list(function(*arguments)))
            except Exception as error:
                future.set_exception(error)

        threading.Thread(target=work, daemon=True, name="lbjwt-doctor").start()
        return asyncio.wrap_future(future)

    return ask


async def run(checks: Sequence[OnlineCheck]) -> list[Result]:
    """Run all checks at once; their results come in the order of the checks."""
    return [result for results in await asyncio.gather(*map(_guarded, checks)) for result in results]


async def _guarded(check: OnlineCheck) -> list[Result]:
    try:
        async with asyncio.timeout(check.limit):
            return list(await check.ask())
    except TimeoutError:
        sentence = (
            f"the check did not end within {check.limit:g} s, because something that it waits for does not respond"
        )
    except Exception as error:  # the other checks go on, whatever this one raises
        sentence = f"the check failed ({type(error).__name__}): this is a bug of lbjwt, please report it"
    return [Result(check.subject, check.check, "problem", sentence)]
