"""
The supervisor: owns the listening sockets and the board, keeps one worker in every slot and one keeper when there is something to keep, passes
signals on. Serves nothing itself.

Worker and keeper are imported here, before the fork: children share that memory and start in a fraction of the time. Neither imports aiohttp.

Plain and synchronous: its signals stay blocked and sigtimedwait(2) takes them, no thread, no event loop, so forking from it is safe at any time.

| signal | while running | while draining |
| --- | --- | --- |
| SIGTERM, SIGINT | readiness false at once, workers drain, then the keeper ends | all end now, killed after half a second |
| SIGUSR1 | workers reopen the access log | the same |
| SIGHUP | one sentence in the log | ignored |

Exit codes: 0 stopped as asked; 1 could not start, or a process had to be killed; 2 configuration, a file it names or state directory is wrong.
The workers never take longer for a drain than ``timeouts.drain`` and one second, and the keeper one second more.
"""

import contextlib
import functools
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from lbjwt.assembly.cluster import new_offenders
from lbjwt.assembly.descriptors import shortage
from lbjwt.assembly.fetched_keys import new_feed
from lbjwt.assembly.issuers import issuer_instances
from lbjwt.assembly.rows import new_board, row_names
from lbjwt.config.model import Configuration
from lbjwt.net.descriptors import raise_limit
from lbjwt.net.sockets import BindError, stop_listening
from lbjwt.observe._board import DRAINING, READY, STARTING
from lbjwt.observe.log_file import AccessLogError, try_log
from lbjwt.observe.rows import Rows
from lbjwt.process import child, keeper, logs, worker
from lbjwt.process.bindings import Bindings, worker_count
from lbjwt.process.child import FAILED, OK, WRONG_CONFIGURATION
from lbjwt.process.restart import RestartSchedule
from lbjwt.process.shared import Shared, keeper_needed, state_needed
from lbjwt.process.state import StateDirectory, StateDirectoryError
from lbjwt.process.wakeups import Wakeups

Worker = Callable[[Shared, int], int]
"""Lives in a process of its own: what all share, its slot; returns the exit code."""

HURRY: Final = 0.5
"""Seconds from the second SIGTERM to SIGKILL."""
ECHO: Final = 0.1
"""Seconds within which a second signal is the first one again: timeout(1) signals its child and then the group, other wrappers pass Ctrl-C on."""
GRACE: Final = 1.0
"""Seconds a worker gets beyond ``timeouts.drain`` before it is killed, and the keeper beyond the last worker."""
BOARD_POLL: Final = 0.02
"""Seconds between two looks at the board while workers start or begin to drain; otherwise only signals wake the supervisor."""

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1, signal.SIGHUP)

log = logging.getLogger("lbjwt.supervisor")


def hash_is_randomised() -> bool:
    """True when this process hashes bytes with a key of its own."""
    ignored = bool(sys.flags.ignore_environment)
    return bool(sys.flags.hash_randomization) and (
        ignored or os.environ.get("PYTHONHASHSEED", "random") in ("", "random")
    )


def run(configuration: Configuration, *, worker: Worker = worker.main) -> int:
    """
    Serve until told to stop; return the exit code.

    Args:
        configuration: Checked.
        worker: What runs in the worker processes.
    """
    logs.set_up("supervisor")
    if not hash_is_randomised():
        # Tokens and header values are dictionary keys: with a known seed a client could make them collide.
        log.error("PYTHONHASHSEED makes hashes predictable; unset it")
        return WRONG_CONFIGURATION
    instances = issuer_instances(configuration)
    with contextlib.ExitStack() as stack:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, mask)
        state: StateDirectory | None = None
        directory = wakeups = None
        try:
            too_few = shortage(configuration, raise_limit())
            if too_few:
                log.warning("%s", too_few)
            board = new_board(configuration, worker_count(configuration))
            rows = Rows(board).assign(row_names(configuration))
            if configuration.access_log is not None:
                try_log(configuration.access_log.path)
            bindings = Bindings.bind(configuration)
            stack.callback(bindings.close)
            if keeper_needed(configuration):
                wakeups = Wakeups(worker_count(configuration))
                stack.callback(wakeups.close)
            if state_needed(configuration):
                state = StateDirectory(configuration.state_directory)
                directory = stack.enter_context(state)
            feed = new_feed(instances, directory) if wakeups is not None else None
            offenders = new_offenders(configuration, board.workers)
            shared = Shared(configuration, bindings, board, rows, offenders, wakeups, directory, feed)
        except (BindError, AccessLogError, MemoryError) as error:
            log.error("%s", error)
            return FAILED
        except OSError as error:
            log.error("cannot start: %s", error.strerror)
            return FAILED
        except StateDirectoryError as error:
            log.error("%s", error)
            return WRONG_CONFIGURATION
        return _Supervisor(shared, worker, mask, state).run()


def _wait(seconds: float) -> int | None:
    """Return the number of the next signal, or None after `seconds` without one."""
    if seconds == float("inf"):
        return signal.sigwaitinfo(SIGNALS).si_signo
    came = signal.sigtimedwait(SIGNALS, seconds)
    return None if came is None else came.si_signo


@dataclass(slots=True)
class _Slot:
    """One place for a worker, or for the keeper."""

    index: int
    name: str
    main: Callable[[], int]
    """What its process does; returns the exit code."""
    ends_on: signal.Signals = signal.SIGTERM
    schedule: RestartSchedule = field(default_factory=RestartSchedule)
    pid: int = 0
    """Of the process that lives here; 0 when none does."""
    announced: bool = False
    """It was ready."""
    closed: bool = False
    """Its sockets stopped listening for good. Of the keeper: it was told to end."""


class _Supervisor:
    def __init__(
        self,
        shared: Shared,
        worker: Worker,
        mask: set[signal.Signals] | set[int],
        state: StateDirectory | None,
    ) -> None:
        self._shared = shared
        self._configuration = shared.configuration
        self._bindings = shared.bindings
        self._board = shared.board
        self._mask = mask  # of the children: nothing of ours is blocked there
        self._state = state
        self._workers = [
            _Slot(index, f"worker {index}", functools.partial(worker, shared, index))
            for index in range(shared.board.workers)
        ]
        self._keeper: _Slot | None = None
        if shared.wakeups is not None:
            main = functools.partial(keeper.main, shared)
            self._keeper = _Slot(shared.board.keeper, "keeper", main, ends_on=signal.SIGUSR2)
        self._slots = self._workers if self._keeper is None else [*self._workers, self._keeper]
        self._stops = 0  # SIGTERM and SIGINT so far, without echoes
        self._stopped_at = 0.0  # the first of them
        self._deadline = float("inf")  # then SIGKILL
        self._served = False  # all workers were ready at some time
        self._up = False  # a worker was
        self._kept = False  # a keeper was
        self._code = OK

    def run(self) -> int:
        for name, address in self._bindings.describe():
            log.info("%s on %s", name, address)
        while not self._done():
            now = time.monotonic()
            if not self._stops:
                for slot in self._empty():
                    if slot.schedule.due <= now:
                        self._fork(slot, now)
            came = _wait(self._patience(time.monotonic()))
            if came is not None:
                self._signalled(came)
            self._announce()
            self._reap()
            if self._stops:
                self._close_doors()
                self._end_keeper()
            if time.monotonic() >= self._deadline:
                self._kill()
        log.info("stopped")
        return self._code

    def _done(self) -> bool:
        return bool(self._stops) and not any(slot.pid for slot in self._slots)

    def _empty(self) -> list[_Slot]:
        """The slots to fork into. While no worker has ever been ready, one that failed gets no second try: only the others can still serve."""
        return [
            slot
            for slot in self._slots
            if not slot.pid and (self._up or slot is self._keeper or not slot.schedule.failures)
        ]

    def _patience(self, now: float) -> float:
        """Seconds until something is due without a signal."""
        due = self._deadline
        if not self._stops:
            due = min([due, *(slot.schedule.due for slot in self._empty())])
            looking = any(slot.pid and not slot.announced for slot in self._slots)
        else:
            looking = not all(slot.closed for slot in self._workers)
        if looking:
            due = min(due, now + BOARD_POLL)
        return max(0.0, due - now)

    def _fork(self, slot: _Slot, now: float) -> None:
        if self._stops:  # a fork before this one failed, and was the last hope
            return
        slot.schedule.forked_at = now
        slot.announced = False
        self._board.set_state(STARTING, slot.index)
        gc.collect()
        gc.freeze()  # what exists now is shared with the child: its collector must not write into it
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._failed(slot, now, FAILED, f"cannot start the {slot.name}: {error.strerror}")
            return
        if pid == 0:
            name = "lbjwt-keeper" if slot is self._keeper else "lbjwt-worker"
            live = functools.partial(self._live, slot.index, slot.name, slot.main)
            child.become(live, parent, self._mask, name=name, ends_on=slot.ends_on)
        slot.pid = pid

    def _live(self, index: int, name: str, main: Callable[[], int]) -> int:
        """The life of a child, in its own process."""
        if self._state is not None:
            self._state.leave()
        self._board.attach(index)
        if self._shared.offenders is not None and index < self._board.workers:
            self._shared.offenders.attach(index)
        self._bindings.keep(index)
        logs.set_up(name)
        return main()

    def _signalled(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stop(signal.Signals(number).name)
        elif number == signal.SIGUSR1:
            log.info("SIGUSR1: workers reopen the access log")
            self._send(signal.SIGUSR1)
        elif number == signal.SIGHUP and not self._stops:
            log.warning("SIGHUP: the configuration cannot be reloaded yet; restart to change it")

    def _stop(self, name: str) -> None:
        now = time.monotonic()
        if self._stops and now - self._stopped_at < ECHO:
            return
        self._stops += 1
        if self._stops == 1:
            self._stopped_at = now
            self._board.start_draining()
            drain = self._configuration.timeouts.drain
            self._deadline = now + drain + GRACE
            log.info("%s: draining, %g s at most; a second signal ends it now", name, drain)
            self._send(signal.SIGTERM)
        else:
            self._deadline = min(self._deadline, now + HURRY)
            log.info("%s again: ending now", name)
            self._send(signal.SIGUSR2)

    def _give_up(self, code: int, why: str) -> None:
        """End a service that never served."""
        log.error("%s: the service ends with exit code %d", why, code)
        self._code = code
        self._stops, self._stopped_at = 1, time.monotonic()
        self._board.start_draining()
        self._deadline = self._stopped_at + GRACE
        self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        """To the workers."""
        for slot in self._workers:
            if slot.pid:
                os.kill(slot.pid, number)  # not reaped yet, so the number is still its own

    def _end_keeper(self) -> None:
        """Tell the keeper to end once nobody needs it: the workers are gone, or a second signal came."""
        keeper = self._keeper
        if keeper is None or not keeper.pid or keeper.closed:
            return
        if self._stops > 1 or not any(slot.pid for slot in self._workers):
            keeper.closed = True
            if self._stops == 1:
                self._deadline = time.monotonic() + GRACE
            os.kill(keeper.pid, keeper.ends_on)

    def _kill(self) -> None:
        """Kill the processes that are left, except a control process that was not told to end yet: that happens when the workers are gone."""
        self._deadline = float("inf")
        late = [slot for slot in self._slots if slot.pid and (slot is not self._keeper or slot.closed)]
        if late and self._stops == 1:
            self._code = FAILED
            log.error("did not end in time and were killed: %s", ", ".join(slot.name for slot in late))
        for slot in late:
            os.kill(slot.pid, signal.SIGKILL)

    def _announce(self) -> None:
        for slot in self._slots:
            if slot.pid and not slot.announced and self._board.state(slot.index) in (READY, DRAINING):
                slot.announced = True
                self._up = self._up or slot is not self._keeper
                if slot is self._keeper:
                    if self._kept:
                        log.info("the control process is ready again")
                    self._kept = True
                elif all(other.announced for other in self._workers) and not self._stops:
                    count, endpoints = len(self._workers), self._configuration.endpoint_count
                    what = "ready" if not self._served else "all workers are ready again"
                    log.info(
                        "%s: %d worker%s, %d endpoint%s",
                        what,
                        count,
                        "s"[: count != 1],
                        endpoints,
                        "s"[: endpoints != 1],
                    )
                    self._served = True

    def _close_doors(self) -> None:
        """
        Refuse new clients once a worker has stopped accepting: our copy of its socket would still queue them for nobody.

        Not before that: the worker must not meet a listening socket that was shut down under its hands.
        """
        for slot in self._workers:
            if not slot.closed and (not slot.pid or self._board.state(slot.index) not in (STARTING, READY)):
                stop_listening(self._bindings.of(slot.index))
                slot.closed = True

    def _reap(self) -> None:
        for slot in self._slots:
            if not slot.pid:
                continue
            pid, status = os.waitpid(slot.pid, os.WNOHANG)
            if pid:
                slot.pid = 0
                self._board.clear_gauges(slot.index)
                self._bury(slot, pid, os.waitstatus_to_exitcode(status))

    def _bury(self, slot: _Slot, pid: int, code: int) -> None:
        """Tell what became of a process and decide what follows."""
        if self._stops:
            return
        cause = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        if code == WRONG_CONFIGURATION and not (self._kept if slot is self._keeper else self._served):
            # It said why. The others would say the same, and so would the next one.
            self._give_up(code, f"{slot.name} cannot start")
            return
        self._failed(slot, time.monotonic(), code, f"{slot.name} (process {pid}) {cause}")

    def _failed(self, slot: _Slot, now: float, code: int, what: str) -> None:
        """Nobody lives in a slot although somebody should: another one follows, or the start has failed."""
        slot.schedule.died(now, was_ready=slot.announced)
        others = [other for other in self._workers if other.pid or other in self._empty()]
        if not self._up and not others and slot is not self._keeper:
            self._give_up(code if code > 0 else FAILED, f"{what}; no worker could start")
            return
        if slot is self._keeper:
            self._board.count_restart(keeper=True)
        else:
            self._board.count_restart()
            if slot.schedule.failures > 1 and any(other.announced and other.pid for other in self._workers):
                # Two starts failed: stop queueing clients here while others can serve them.
                stop_listening(self._bindings.of(slot.index))
        log.error("%s; the next one starts in %.1f s", what, max(0.0, slot.schedule.due - now))
