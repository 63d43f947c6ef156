"""
What the supervisor says about processes that became ready, and what it remembers of that.
"""

import logging

from lbjwt.observe._board import DRAINING, READY
from lbjwt.process.notify import notify
from lbjwt.process.shared import Shared
from lbjwt.process.slots import Slots

log = logging.getLogger("lbjwt.supervisor")


class Announcements:
    """One line when a service, or a process that replaced another, is ready."""

    def __init__(self, shared: Shared, slots: Slots) -> None:
        self.served = False
        """All workers were ready at some time."""
        self.up = False
        """A worker was."""
        self.kept = False
        """A control process was."""
        self._shared = shared
        self._slots = slots

    def look(self, *, stopping: bool) -> None:
        """Tell of those that became ready since the last look."""
        for slot in self._slots.all:
            if not slot.pid or slot.announced or self._shared.board.state(slot.index) not in (READY, DRAINING):
                continue
            slot.announced = True
            if slot is self._slots.keeper:
                if self.kept:
                    log.info("the control process is ready again")
                self.kept = True
                continue
            self.up = True
            if all(other.announced for other in self._slots.workers) and not stopping:
                self._ready()

    def _ready(self) -> None:
        count, endpoints = len(self._slots.workers), self._shared.in_force.endpoint_count
        what = "ready" if not self.served else "all workers are ready again"
        log.info("%s: %d worker%s, %d endpoint%s", what, count, "s"[: count != 1], endpoints, "s"[: endpoints != 1])
        self.served = True
        notify("READY=1")
