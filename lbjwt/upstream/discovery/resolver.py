"""
Keeps names resolved: asks when each one is due, and tells when its addresses changed.

Runs in the control process, or in the loop of an embedded balancer. A name that cannot be resolved keeps its addresses and is tried again with a
growing delay; the log says so once, and once when it is over.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lbjwt.upstream.discovery.answers import Found, Question, Resolved
from lbjwt.upstream.discovery.schedule import Bounds, Schedule

AT_ONCE: Final = 20
"""Names that are resolved at the same time. Each one may open two sockets, or two for each of its SRV targets."""

SHOWN: Final = 10
"""Addresses in one line of the log."""

log = logging.getLogger("lbjwt.discovery")

Ask = Callable[[Question, Sequence[Found]], Awaitable[Resolved]]


@dataclass(slots=True)
class NameStatus:
    """What is known of one name, for the admin API."""

    failures: int = 0
    """Rounds of queries that failed, since the start of this process."""
    cause: str = ""
    """Of the last one; "" when it brought everything."""
    resolved_at: float = 0.0
    """Seconds since the epoch of the last good answer; 0: none yet."""
    asked: bool = False
    """A first round has ended."""


class Resolver:
    """
    Resolves names until `stop`.

    Args:
        ask: Resolves one name; see `lookup.Lookup`.
        changed: Called after addresses of some name changed.
    """

    def __init__(self, ask: Ask, changed: Callable[[], None]) -> None:
        self.answers: dict[Question, tuple[Found, ...]] = {}
        self.status: dict[Question, NameStatus] = {}
        self._ask = ask
        self._changed = changed
        self._schedule: Schedule[Question] = Schedule()
        self._running: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._timer: asyncio.TimerHandle | None = None
        self._first = asyncio.Event()

    def use(self, names: Mapping[Question, Bounds], known: Mapping[Question, tuple[Found, ...]]) -> None:
        """
        Resolve these names from now on, and forget the others.

        Args:
            known: Of names that are new here: what they were before.
        """
        for question in names:
            if question not in self.answers and known.get(question):
                self.answers[question] = known[question]
        for question in self.answers.keys() - names.keys():
            del self.answers[question]
        self.status = {question: self.status.get(question, NameStatus()) for question in names}
        self._schedule.use(names, time.monotonic())
        self._first.clear()
        self._look_whether_first()
        self._turn()

    async def first(self, timeout: float) -> bool:
        """Wait until each name was asked for once; False after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._first.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = time.monotonic()
        for question in self._schedule.take_due(now):
            task = loop.create_task(self._resolve(question), name="resolve")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        due = self._schedule.next()
        if due != float("inf"):
            self._timer = loop.call_later(max(0.0, due - now), self._turn)

    async def _resolve(self, question: Question) -> None:
        async with self._slots:
            before = self.answers.get(question, ())
            try:
                result = await self._ask(question, before)
            except Exception:  # a fault of ours must not end the resolving of this name
                log.exception("resolving %s failed, its addresses stay", question)
                result = Resolved(before, None, "a fault of lbjwt")
        now = time.monotonic()
        status = self.status.get(question)
        if status is None:  # nobody wants it any more
            return
        if result.failure:
            self._schedule.failed(question, now)
        else:
            self._schedule.answered(question, result.ttl or 0.0, now)
        self._note(question, status, result)
        status.asked = True
        if result.found != before:
            self.answers[question] = result.found
            _tell_change(question, before, result.found)
            self._changed()
        self._look_whether_first()
        self._turn()

    def _note(self, question: Question, status: NameStatus, result: Resolved) -> None:
        if result.ttl is not None:
            status.resolved_at = time.time()
        if result.failure:
            status.failures += 1
            if not status.cause:
                count = len(result.found)
                kept = (
                    f"its {count} known address{'es' * (count != 1)} stay{'s' * (count == 1)} in use"
                    if count
                    else "it has no known address"
                )
                log.error("name %s cannot be resolved: %s; %s", question, result.failure, kept)
        elif status.cause:
            log.info("name %s is resolved again", question)
        status.cause = result.failure

    def _look_whether_first(self) -> None:
        if all(status.asked for status in self.status.values()):
            self._first.set()


def _tell_change(question: Question, before: Sequence[Found], after: Sequence[Found]) -> None:
    old, new = (dict.fromkeys(_text(one) for one in found) for found in (before, after))
    added, removed = [one for one in new if one not in old], [one for one in old if one not in new]
    parts = [
        f"{', '.join(every[:SHOWN])}{' and more' * (len(every) > SHOWN)} {word}"
        for every, word in ((added, "added"), (removed, "removed"))
        if every
    ]
    log.info(
        "name %s has %d address%s: %s",
        question,
        len(after),
        "es" * (len(after) != 1),
        "; ".join(parts) or "other weights",
    )


def _text(found: Found) -> str:
    if not found.port:
        return found.host
    return f"[{found.host}]:{found.port}" if ":" in found.host else f"{found.host}:{found.port}"
