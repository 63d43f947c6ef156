"""
The supervisor: owns the listening sockets and the board, keeps a worker in every slot and one control process (keeper) if one is needed, passes
signals on and reloads the configuration. It serves nothing itself.

Worker and keeper are imported before the fork, so that children share their memory and start fast. Neither imports aiohttp.

It has no thread and no event loop, so it can fork safely at any time; its signals stay blocked, and sigtimedwait(2) takes them.

| signal | while running | while draining |
| --- | --- | --- |
| SIGTERM, SIGINT | readiness false at once, workers drain, then the keeper ends | all end now, killed after half a second |
| SIGUSR1 | workers reopen the access log | the same |
| SIGHUP | the configuration is read again and applied | ignored |

Exit codes: see `lbjwt.process.child`. A drain takes at most ``timeouts.drain`` and one second, and the keeper one second more.
"""

import contextlib
import logging
import os
import signal
import sys
import time
from typing import Final

from lbjwt.assembly.cluster import new_offenders
from lbjwt.assembly.descriptors import shortage
from lbjwt.assembly.issuers import issuer_instances
from lbjwt.assembly.keys import new_feed
from lbjwt.assembly.rows import new_board, row_names
from lbjwt.assembly.state import StateDirectory, StateDirectoryError, state_needed
from lbjwt.config.model import Configuration
from lbjwt.config.reading import FixedSource, Source
from lbjwt.net.descriptors import raise_limit
from lbjwt.net.sockets import BindError, stop_listening
from lbjwt.observe.log_file import AccessLogError, try_log
from lbjwt.observe.rows import Rows
from lbjwt.process import logs, worker
from lbjwt.process.announcements import Announcements
from lbjwt.process.bindings import Bindings, worker_count
from lbjwt.process.child import FAILED, WRONG_CONFIGURATION
from lbjwt.process.deliver import Deliveries
from lbjwt.process.reload import Reload
from lbjwt.process.shared import Shared, keeper_needed
from lbjwt.process.slots import Slot, Slots, Worker
from lbjwt.process.stopping import Stopping
from lbjwt.process.wakeups import Wakeups
from lbjwt.process.watch import Watch

BOARD_POLL: Final = 0.02
"""Seconds between two reads of the board while workers start or begin to drain; otherwise only signals wake the supervisor."""

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1, signal.SIGHUP)

log = logging.getLogger("lbjwt.supervisor")


def hash_is_randomised() -> bool:
    """True when this process hashes bytes with a key of its own."""
    ignored = bool(sys.flags.ignore_environment)
    return bool(sys.flags.hash_randomization) and (
        ignored or os.environ.get("PYTHONHASHSEED", "random") in ("", "random")
    )


def run(configuration: Configuration, source: Source | None = None, *, worker: Worker = worker.main) -> int:
    """
    Serve until told to stop; return the exit code.

    Args:
        configuration: Checked.
        source: Where it came from, for reloads; None: it stays as it is.
        worker: What runs in the worker processes.
    """
    logs.set_up("supervisor")
    if not hash_is_randomised():
        # Tokens and header values are dictionary keys: with a known seed a client could make them collide.
        log.error("PYTHONHASHSEED is set and makes hashes predictable; unset it")
        return WRONG_CONFIGURATION
    with contextlib.ExitStack() as stack:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, mask)
        state: StateDirectory | None = None
        directory = wakeups = None
        try:
            if too_few := shortage(configuration, raise_limit()):
                log.warning("%s", too_few)
            board = new_board(configuration, worker_count(configuration))
            rows = Rows(board)
            numbers = rows.assign(row_names(configuration))
            if configuration.access_log is not None:
                try_log(configuration.access_log.path)
            bindings = Bindings.bind(configuration)
            if keeper_needed(configuration):
                wakeups = Wakeups(worker_count(configuration))
                stack.callback(wakeups.close)
            if state_needed(configuration):
                state = StateDirectory(configuration.state_directory)
                directory = stack.enter_context(state)
            feed = (
                new_feed(issuer_instances(configuration, numbers.issuers), directory) if wakeups is not None else None
            )
            offenders = new_offenders(configuration, board.workers)
            shared = Shared(configuration, bindings, board, numbers, offenders, wakeups, directory, feed)
            stack.callback(lambda: shared.bindings.close())
        except (BindError, AccessLogError, MemoryError) as error:
            log.error("%s", error)
            return FAILED
        except OSError as error:
            log.error("cannot start: %s", error.strerror)
            return FAILED
        except StateDirectoryError as error:
            log.error("%s", error)
            return WRONG_CONFIGURATION
        slots = Slots(shared, worker, mask, state)
        deliveries = Deliveries(shared, slots, rows)
        stack.callback(deliveries.close)
        source = source or FixedSource(configuration)
        return _Supervisor(shared, slots, source, Reload(shared, slots, source, deliveries)).run()


def _wait(seconds: float) -> int | None:
    """Return the number of the next signal, or None after `seconds` without one."""
    if seconds == float("inf"):
        return signal.sigwaitinfo(SIGNALS).si_signo
    came = signal.sigtimedwait(SIGNALS, seconds)
    return None if came is None else came.si_signo


class _Supervisor:
    """Decides who is forked, what a death means, and which signal does what."""

    def __init__(self, shared: Shared, slots: Slots, source: Source, reload: Reload) -> None:
        self._shared = shared
        self._board = shared.board
        self._slots = slots
        self._told = Announcements(shared, slots)
        self._stopping = Stopping(shared, slots)
        self._reload = reload
        self._watch = Watch(source)

    def run(self) -> int:
        for name, address in self._shared.bindings.describe():
            log.info("%s on %s", name, address)
        while not self._stopping.is_done:
            now = time.monotonic()
            if not self._stopping.stops:
                for slot in self._empty():
                    if slot.schedule.due <= now:
                        self._fork(slot, now)
            came = _wait(self._patience(time.monotonic()))
            if came is not None:
                self._signalled(came)
            self._told.look(stopping=bool(self._stopping.stops))
            self._reap()
            now = time.monotonic()
            if self._stopping.stops:
                self._stopping.turn(now)
            else:
                if self._shared.configuration.watch and self._watch.has_changed(now):
                    log.info("the configuration file has changed")
                    self._reload.request()
                self._reload.turn(now)
        log.info("stopped")
        return self._stopping.code

    def _empty(self) -> list[Slot]:
        """The slots to fork into. Before the first worker was ready, a slot that failed is not tried again."""
        return [
            slot
            for slot in self._slots.all
            if not slot.pid and (self._told.up or slot is self._slots.keeper or not slot.schedule.failures)
        ]

    def _patience(self, now: float) -> float:
        """Seconds until something is due without a signal."""
        due = self._stopping.deadline
        if not self._stopping.stops:
            due = min([due, self._reload.due(now), *(slot.schedule.due for slot in self._empty())])
            if self._shared.configuration.watch:
                due = min(due, self._watch.due)
            looking = any(slot.pid and not slot.announced for slot in self._slots.all)
        else:
            looking = not all(slot.closed for slot in self._slots.workers)
        if looking:
            due = min(due, now + BOARD_POLL)
        return max(0.0, due - now)

    def _fork(self, slot: Slot, now: float) -> None:
        if self._stopping.stops:  # a fork before this one failed, and the start was given up
            return
        try:
            self._slots.fork(slot, now)
        except OSError as error:
            self._failed(slot, now, FAILED, f"cannot start the {slot.name}: {error.strerror}")

    def _signalled(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._reload.stop()
            self._stopping.signalled(signal.Signals(number).name, time.monotonic())
        elif number == signal.SIGUSR1:
            log.info("SIGUSR1: workers reopen the access log")
            self._slots.send(signal.SIGUSR1)
        elif number == signal.SIGHUP and not self._stopping.stops:
            self._reload.request()

    def _reap(self) -> None:
        for slot, pid, code in self._slots.ended():
            self._bury(slot, pid, code)

    def _bury(self, slot: Slot, pid: int, code: int) -> None:
        """Log how a process ended, and decide what follows."""
        if self._stopping.stops:
            return
        cause = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        if code == WRONG_CONFIGURATION and not (self._told.kept if slot is self._slots.keeper else self._told.served):
            # it logged the cause; another start would fail too
            self._give_up(code, f"{slot.name} cannot start")
            return
        self._failed(slot, time.monotonic(), code, f"{slot.name} (process {pid}) {cause}")

    def _failed(self, slot: Slot, now: float, code: int, what: str) -> None:
        """A process that should run does not: start another later, or give up the start of the service."""
        slot.schedule.died(now, was_ready=slot.announced)
        others = [other for other in self._slots.workers if other.pid or other in self._empty()]
        if not self._told.up and not others and slot is not self._slots.keeper:
            self._give_up(code if code > 0 else FAILED, f"{what}; no worker could start")
            return
        if slot is self._slots.keeper:
            self._board.count_restart(keeper=True)
        else:
            self._board.count_restart()
            if slot.schedule.failures > 1 and any(other.announced and other.pid for other in self._slots.workers):
                # Two starts failed: stop queueing clients here while others can serve them.
                stop_listening(self._shared.bindings.of(slot.index))
        log.error("%s; the next one starts in %.1f s", what, max(0.0, slot.schedule.due - now))

    def _give_up(self, code: int, why: str) -> None:
        """End a service that never served."""
        log.error("%s: the service ends with exit code %d", why, code)
        self._reload.stop()
        self._stopping.give_up(code, time.monotonic())
