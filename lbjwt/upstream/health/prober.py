"""
Checks endpoints for all workers, each on its own schedule, and writes the results to the shared state of endpoints, where every worker reads them.

It is the only writer of `check`, `checked_at` and `transitions`. A prober that replaces one that died goes on from what is there.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable
from typing import Final

from lbjwt.observe._endpoint_states import SERVICE_NAMES, EndpointStates
from lbjwt.upstream.health.history import FAILING, NOT_CHECKED, PASSING, CheckHistory
from lbjwt.upstream.health.probe import NotMade, Target, probe

AT_ONCE: Final = 100
"""Checks under way at the same time; each takes a file descriptor of a process that has other work. With 1,000 endpoints of which none answers
within a timeout of 2 s, each is checked every 20 s; checks that are answered take milliseconds."""

SPREAD: Final = 1.0
"""Seconds within which the first checks of new endpoints start; a few of them start within milliseconds."""
STEP: Final = 0.005
"""Seconds between the first checks of two endpoints, at most."""

KEPT: Final = 5.0
"""Seconds for which the result of an endpoint that is not checked any more stays: until every worker has applied the configuration without it."""

DISABLED: Final = SERVICE_NAMES.index("disabled")

log = logging.getLogger("lbjwt.health")


class Prober:
    """
    Checks endpoints in the running loop, from `use` until `stop`.

    Args:
        changed: Called when an endpoint was checked for the first time, and when one passes or fails from now on.
    """

    def __init__(self, states: EndpointStates, changed: Callable[[], None]) -> None:
        self.states = states
        self.changed = changed
        self.slots = asyncio.Semaphore(AT_ONCE)
        self._checked: dict[int, _Checked] = {}
        self._forgetting: dict[int, asyncio.TimerHandle] = {}
        self._clear_others: bool = True

    def use(self, targets: Iterable[Target], *, at_start: bool = False) -> None:
        """
        Check these endpoints from now on, each with a row of its own. One that was checked the same way goes on undisturbed. One whose check is
        another one now keeps its state and is checked at once. The result of one that left is forgotten.

        Args:
            at_start: Nothing came before: an endpoint that passes its first check is no newcomer to the rotation.
        """
        loop = asyncio.get_running_loop()
        before, self._checked = self._checked, {}
        fresh: list[Target] = []
        for target in targets:
            known = before.get(target.row)
            if known is not None and known.target == target:
                self._checked[target.row] = before.pop(target.row)
            else:
                fresh.append(target)
        for known in before.values():
            known.stop()
        now = loop.time()
        step = min(STEP, SPREAD / max(1, len(fresh)))
        for at, target in enumerate(fresh):
            self._checked[target.row] = _Checked(self, target, now + at * step, newcomer=not at_start)
        self._forget(row for row in before if row not in self._checked)
        if self._clear_others:  # of a prober that died before it could
            self._clear_others = False
            for row in range(self.states.rows):
                if row not in self._checked:
                    self._clear(row)

    def _forget(self, rows: Iterable[int]) -> None:
        loop = asyncio.get_running_loop()
        for row in rows:
            self._forgetting[row] = loop.call_later(KEPT, self._clear, row)
        for row in [
            row for row in self._forgetting if row in self._checked
        ]:  # it came back, or the row is another endpoint's
            self._forgetting.pop(row).cancel()

    def _clear(self, row: int) -> None:
        self._forgetting.pop(row, None)
        if self.states.read(row)["check"] != NOT_CHECKED:
            self.states.set(row, "check", NOT_CHECKED)
        self.states.set(row, "checked_at", 0.0)

    def failure(self, row: int) -> str:
        """Why the last check of the endpoint in this row failed; "" when it passed, or there was none."""
        known = self._checked.get(row)
        return "" if known is None else known.failure

    async def stop(self) -> None:
        """Check nothing any more; what is known stays."""
        for timer in self._forgetting.values():
            timer.cancel()
        checked, self._checked, self._forgetting = self._checked, {}, {}
        for known in checked.values():
            known.stop()
        await asyncio.gather(*(known.task for known in checked.values()), return_exceptions=True)


class _Checked:
    """One endpoint that is checked."""

    def __init__(self, prober: Prober, target: Target, due: float, *, newcomer: bool) -> None:
        self.target = target
        self.failure = ""
        self._prober = prober
        self._newcomer = newcomer
        self._history = CheckHistory(target.check, prober.states.read(target.row)["check"], due)
        self.task = asyncio.get_running_loop().create_task(self._run(), name="health check")

    def stop(self) -> None:
        self.task.cancel()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._history.due - loop.time())
            async with self._prober.slots:
                started = loop.time()
                failure: str | None
                try:
                    failure = None if self._is_disabled() else await probe(self.target)
                except NotMade:
                    failure = None
                except Exception:  # a fault of ours: it says nothing of the endpoint, and the next check may go well
                    log.exception("the health check of endpoint %s failed", self.target.address)
                    failure = None
            self._ended(failure, started, loop.time())

    def _is_disabled(self) -> bool:
        """The operator took the endpoint out of service with its checks: what is known of it stays."""
        return bool(self._prober.states.read(self.target.row)["service"] == DISABLED)

    def _ended(self, failure: str | None, started: float, now: float) -> None:
        states, row, history = self._prober.states, self.target.row, self._history
        was = history.state
        moved = history.ended(None if failure is None else not failure, started, now, random.random())  # noqa: S311 - spreads load, hides nothing
        if failure is None:
            return
        self.failure = failure
        first = states.read(row)["checked_at"] == 0.0
        if moved:
            if history.state == PASSING and (was == FAILING or self._newcomer):
                states.set(
                    row, "serving_since", time.monotonic()
                )  # before `check`: a worker that sees it pass also sees since when
            states.set(row, "check", history.state)
            if was != NOT_CHECKED or history.state == FAILING:
                states.add(row, "transitions")
                self._log()
        states.set(row, "checked_at", time.time())
        if moved or first:
            self._prober.changed()

    def _log(self) -> None:
        target, count = self.target, self._history.in_row
        if self._history.state == FAILING:
            sentence = "endpoint %s of cluster %s fails its health check: %s (%d in a row)"
            log.warning(sentence, target.address, target.cluster, self.failure, count)
        else:
            sentence = "endpoint %s of cluster %s passes its health check again (%d in a row)"
            log.info(sentence, target.address, target.cluster, count)
