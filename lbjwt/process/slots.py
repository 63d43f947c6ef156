"""
The children of the supervisor: one slot for each worker, and one for the control process when there is something for it to do.

Forks into slots and collects those that ended. When to fork again and what a death means is decided in `lbjwt.process.supervisor`.
"""

import functools
import gc
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from lbjwt.assembly.state import StateDirectory
from lbjwt.observe._board import STARTING
from lbjwt.process import child, keeper, logs
from lbjwt.process.channel import Channel
from lbjwt.process.restart import RestartSchedule
from lbjwt.process.shared import Shared
from lbjwt.process.succession import Succession

Worker = Callable[[Shared, int], int]
"""Lives in a process of its own: what all share, its slot; returns the exit code."""


@dataclass(slots=True)
class Slot:
    """One place for a worker, or for the control process."""

    index: int
    name: str
    main: Callable[[], int]
    """What its process does; returns the exit code."""
    title: str
    """What ps(1) shows."""
    ends_on: signal.Signals = signal.SIGTERM
    schedule: RestartSchedule = field(default_factory=RestartSchedule)
    pid: int = 0
    """Of the process that lives here; 0 when none does."""
    announced: bool = False
    """It was ready."""
    closed: bool = False
    """Its sockets stopped listening for good. Of the control process: it was told to end."""
    channel: Channel | None = None
    """To the process that lives here."""
    sent: int = 0
    """The last configuration that it was forked with, or that was sent to it."""


class Slots:
    """
    All slots of a service.

    Args:
        mask: Signal mask of the children.
        state: Gives its lock up in them.
        succession: Workers give up the link to the program before.
    """

    def __init__(
        self,
        shared: Shared,
        worker: Worker,
        mask: set[signal.Signals] | set[int],
        state: StateDirectory | None,
        succession: Succession,
    ) -> None:
        self._shared = shared
        self.mask = mask
        self._state = state
        self.succession = succession
        self.workers = [
            Slot(index, f"worker {index}", functools.partial(worker, shared, index), "lbjwt-worker")
            for index in range(shared.board.workers)
        ]
        self.keeper: Slot | None = None
        if shared.wakeups is not None:
            main = functools.partial(keeper.main, shared)
            self.keeper = Slot(shared.board.keeper, "control process", main, "lbjwt-keeper", ends_on=signal.SIGUSR2)
        self.all = self.workers if self.keeper is None else [*self.workers, self.keeper]

    def fork(self, slot: Slot, now: float) -> None:
        """
        Start the process of a slot.

        Args:
            now: Seconds on the monotonic clock.

        Raises:
            OSError: No process or descriptor is to be had.
        """
        slot.schedule.forked_at = now
        slot.announced = False
        board = self._shared.board
        board.set_state(STARTING, slot.index)
        board.set_generation(self._shared.generation, slot.index)
        gc.collect()
        gc.freeze()  # what exists now is shared with the child: its collector must not write into it
        gc.enable()  # the command line has disabled it while it imported
        parent = os.getpid()
        ours, theirs = Channel.pair()
        try:
            pid = os.fork()
            if pid == 0:
                live = functools.partial(self._live, slot, ours, theirs)
                child.become(live, parent, self.mask, name=slot.title, ends_on=slot.ends_on)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        slot.pid, slot.channel, slot.sent = pid, ours, self._shared.generation

    def _live(self, slot: Slot, ours: Channel, theirs: Channel) -> int:
        """The life of a child, in its own process."""
        ours.close()
        self.leave()
        shared = self._shared
        shared.channel = theirs
        shared.board.attach(slot.index)
        if shared.offenders is not None and slot is not self.keeper:
            shared.offenders.attach(slot.index)
        shared.bindings.keep(slot.index)
        if slot is not self.keeper:
            self.succession.leave()
        logs.set_up(slot.name)
        return slot.main()

    def leave(self) -> None:
        """In a child: give up what only the supervisor has."""
        if self._state is not None:
            self._state.leave()
        for slot in self.all:
            if slot.channel is not None:
                slot.channel.close()

    def ended(self) -> Iterator[tuple[Slot, int, int]]:
        """Collect the processes that ended since the last call: slot, process id, exit code (below zero: the signal that killed it)."""
        for slot in self.all:
            if not slot.pid:
                continue
            pid, status = os.waitpid(slot.pid, os.WNOHANG)
            if pid:
                slot.pid = 0
                if slot.channel is not None:
                    slot.channel.close()
                    slot.channel = None
                self._shared.board.clear_gauges(slot.index)
                yield slot, pid, os.waitstatus_to_exitcode(status)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the workers."""
        for slot in self.workers:
            if slot.pid:
                os.kill(slot.pid, number)  # not reaped yet, so the number is still its own
