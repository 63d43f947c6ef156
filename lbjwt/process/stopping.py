"""
How a service ends: the first signal drains, the second ends it now, and processes that are late are killed. A program that another one has replaced
drains without a signal, and then the first signal changes nothing.
"""

import logging
import os
import signal
import time
from typing import Final

from lbjwt.observe._board import READY, STARTING
from lbjwt.process.child import FAILED, OK
from lbjwt.process.notify import notify
from lbjwt.process.shared import Shared
from lbjwt.process.slots import Slots

HURRY: Final = 0.5
"""Seconds from the second SIGTERM to SIGKILL."""
ECHO: Final = 0.1
"""Seconds within which a second signal counts as the first one: timeout(1) signals its child and then the group, other wrappers repeat Ctrl-C."""
GRACE: Final = 1.0
"""Seconds a worker gets beyond ``timeouts.drain`` before it is killed."""
KEEPER_GRACE: Final = 5.0
"""Seconds the keeper gets beyond the last worker: one that was only just forked hears the signal once it runs, on a busy machine seconds later."""

log = logging.getLogger("lbjwt.supervisor")


class Stopping:
    """The end of a service, from the first signal on."""

    def __init__(self, shared: Shared, slots: Slots) -> None:
        self.stops = 0
        """SIGTERM and SIGINT so far, without echoes."""
        self.deadline = float("inf")
        """Then SIGKILL; seconds on the monotonic clock."""
        self.code = OK
        """Exit code of the service."""
        self._shared = shared
        self._slots = slots
        self._succession = slots.succession
        self._replaced = False  # another program serves, and no signal came since then
        self._stopped_at = 0.0  # the first signal

    @property
    def is_done(self) -> bool:
        """True when it was told to stop and nobody is left."""
        return bool(self.stops) and not any(slot.pid for slot in self._slots.all) and not self._succession.awaited

    def signalled(self, name: str, now: float) -> None:
        """SIGTERM or SIGINT came."""
        if self.stops and now - self._stopped_at < ECHO:
            return
        if self._replaced:
            self._replaced, self._stopped_at = False, now
            return
        self.stops += 1
        if self.stops == 1:
            self._stopped_at = now
            self._shared.board.start_draining()
            notify("STOPPING=1")
            timeouts = self._shared.configuration.timeouts
            duck, drain = timeouts.lame_duck, timeouts.drain
            self.deadline = now + duck + drain + GRACE
            first = f"not ready, but serving for {duck:g} s, then " if duck else ""
            log.info("%s: %sdraining for at most %g s; a second signal ends lbjwt immediately", name, first, drain)
            self._slots.send(signal.SIGTERM)
            self._succession.abort()
        else:
            self.deadline = min(self.deadline, now + HURRY)
            log.info("%s again: ending immediately", name)
            self._slots.send(signal.SIGUSR2)

    def give_up(self, code: int, now: float) -> None:
        """End with this exit code, because nothing can be served."""
        self.code = code
        self.stops, self._stopped_at = 1, now
        self._shared.board.start_draining()
        self.deadline = now + GRACE
        self._slots.send(signal.SIGTERM)

        self._succession.abort()

    def replaced(self, pid: int, now: float) -> None:
        """Another program serves: drain at once. Readiness does not change, because the service is ready."""
        drain = self._shared.configuration.timeouts.drain
        log.info("upgraded: process %d serves; this one is draining for at most %g s", pid, drain)
        self._shared.board.hand_over()
        self.stops, self._stopped_at, self._replaced = 1, now, True
        self.deadline = now + drain + GRACE
        self._slots.send(signal.SIGTERM)

    def turn(self, now: float) -> None:
        """Do what is due, in each turn of the supervisor's loop."""
        self._succession.bury()
        self._close_doors()
        self._tell_finishing()
        self._end_keeper()
        if now >= self.deadline:
            self._kill()

    def _close_doors(self) -> None:
        """Refuse new clients once a worker has stopped accepting, because our copy of its socket would still queue them."""
        for slot in self._slots.workers:
            if not slot.closed and (not slot.pid or self._shared.board.state(slot.index) not in (STARTING, READY)):
                self._shared.bindings.refuse(slot.index)
                slot.closed = True
                if all(other.closed for other in self._slots.workers):
                    self._shared.bindings.refuse(None)

    def _tell_finishing(self) -> None:
        """The program that replaced this one hears when no worker here will judge another request."""
        board, workers = self._shared.board, self._slots.workers
        if self._succession.has_news_due and all(not slot.pid or board.is_finishing(slot.index) for slot in workers):
            self._succession.finishing()

    def _end_keeper(self) -> None:
        """Tell the keeper to end when the workers are gone or a second signal came."""
        keeper = self._slots.keeper
        if keeper is None or not keeper.pid or keeper.closed:
            return
        if self.stops > 1 or not any(slot.pid for slot in self._slots.workers):
            keeper.closed = True
            if self.stops == 1:
                self.deadline = time.monotonic() + KEEPER_GRACE
            os.kill(keeper.pid, keeper.ends_on)

    def _kill(self) -> None:
        """Kill the processes that are left, except a control process that was not told to end yet: that happens when the workers are gone."""
        self.deadline = float("inf")
        late = [slot for slot in self._slots.all if slot.pid and (slot is not self._slots.keeper or slot.closed)]
        if late and self.stops == 1:
            self.code = FAILED
            log.error("processes did not end in time and were killed: %s", ", ".join(slot.name for slot in late))
        for slot in late:
            os.kill(slot.pid, signal.SIGKILL)
        self._succession.bury(kill=True)
