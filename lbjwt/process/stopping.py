"""
How a service ends: the first signal drains, the second ends it now, and whoever is late is killed.
"""

import logging
import os
import signal
import time
from typing import Final

from lbjwt.net.sockets import stop_listening
from lbjwt.observe._board import READY, STARTING
from lbjwt.process.child import FAILED, OK
from lbjwt.process.shared import Shared
from lbjwt.process.slots import Slots

HURRY: Final = 0.5
"""Seconds from the second SIGTERM to SIGKILL."""
ECHO: Final = 0.1
"""Seconds within which a second signal counts as the first one: timeout(1) signals its child and then the group, other wrappers repeat Ctrl-C."""
GRACE: Final = 1.0
"""Seconds a worker gets beyond ``timeouts.drain`` before it is killed, and the keeper beyond the last worker."""

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
        self._stopped_at = 0.0  # the first signal

    @property
    def is_done(self) -> bool:
        """True when it was told to stop and nobody is left."""
        return bool(self.stops) and not any(slot.pid for slot in self._slots.all)

    def signalled(self, name: str, now: float) -> None:
        """SIGTERM or SIGINT came."""
        if self.stops and now - self._stopped_at < ECHO:
            return
        self.stops += 1
        if self.stops == 1:
            self._stopped_at = now
            self._shared.board.start_draining()
            drain = self._shared.configuration.timeouts.drain
            self.deadline = now + drain + GRACE
            log.info("%s: draining for at most %g s; a second signal ends lbjwt immediately", name, drain)
            self._slots.send(signal.SIGTERM)
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

    def turn(self, now: float) -> None:
        """Do what is due, in each turn of the supervisor's loop."""
        self._close_doors()
        self._end_keeper()
        if now >= self.deadline:
            self._kill()

    def _close_doors(self) -> None:
        """Refuse new clients once a worker has stopped accepting, because our copy of its socket would still queue them."""
        for slot in self._slots.workers:
            if not slot.closed and (not slot.pid or self._shared.board.state(slot.index) not in (STARTING, READY)):
                stop_listening(self._shared.bindings.of(slot.index))
                slot.closed = True

    def _end_keeper(self) -> None:
        """Tell the keeper to end when the workers are gone or a second signal came."""
        keeper = self._slots.keeper
        if keeper is None or not keeper.pid or keeper.closed:
            return
        if self.stops > 1 or not any(slot.pid for slot in self._slots.workers):
            keeper.closed = True
            if self.stops == 1:
                self.deadline = time.monotonic() + GRACE
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
