"""
The supervisor: owns the listening sockets and the board, keeps a worker in every slot and one control process (keeper) if one is needed, and passes
signals on. It serves nothing itself.

Worker and keeper are imported here, before the fork, so that children share their memory and start fast. Neither imports aiohttp.

It has no thread and no event loop, so it can fork safely at any time; its signals stay blocked, and sigtimedwait(2) takes them.

| signal | while running | while draining |
| --- | --- | --- |
| SIGTERM, SIGINT | readiness false at once, workers drain, then the keeper ends | all end now, killed after half a second |
| SIGUSR2 | the program is started again and takes over, see `upgrade` | ignored |
| SIGUSR1 | workers reopen the access log | the same |
| SIGHUP | one sentence in the log | ignored |

Exit codes: see `lbjwt.process.child`. A stop takes at most ``timeouts.lame_duck``, ``timeouts.drain`` and one second, and the keeper one second more.

When another program has taken over, this one drains at once, and then stands for the service if somebody waits for it (`relay`).
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

from lbjwt.assembly.cluster import new_board, new_offenders
from lbjwt.assembly.descriptors import shortage
from lbjwt.assembly.issuers import issuer_instances
from lbjwt.assembly.keys import new_feed, put_inherited
from lbjwt.assembly.state import StateDirectory, StateDirectoryError, state_needed
from lbjwt.config.model import Configuration
from lbjwt.net.descriptors import raise_limit
from lbjwt.net.sockets import BindError
from lbjwt.observe._board import DRAINING, READY, STARTING
from lbjwt.observe.log_file import AccessLogError, try_log
from lbjwt.process import child, keeper, logs, worker
from lbjwt.process.bindings import Bindings, worker_count
from lbjwt.process.child import FAILED, OK, WRONG_CONFIGURATION
from lbjwt.process.handover import HandoverError, Predecessor
from lbjwt.process.notify import notify
from lbjwt.process.relay import SIGNALS
from lbjwt.process.restart import RestartSchedule
from lbjwt.process.shared import Shared, keeper_needed
from lbjwt.process.succession import Succession
from lbjwt.process.wakeups import Wakeups

Worker = Callable[[Shared, int], int]
"""The main function of a worker process: takes what all share and its slot, returns the exit code."""

HURRY: Final = 0.5
"""Seconds from the second SIGTERM to SIGKILL."""
ECHO: Final = 0.1
"""Seconds within which a second signal counts as the first one: timeout(1) signals its child and then the group, other wrappers repeat Ctrl-C."""
GRACE: Final = 1.0
"""Seconds a worker gets beyond ``timeouts.drain`` before it is killed, and the keeper beyond the last worker."""
BOARD_POLL: Final = 0.02
"""Seconds between two reads of the board while workers start or begin to drain; otherwise only signals wake the supervisor."""

log = logging.getLogger("lbjwt.supervisor")


def hash_is_randomised() -> bool:
    """True when this process hashes bytes with a key of its own."""
    ignored = bool(sys.flags.ignore_environment)
    return bool(sys.flags.hash_randomization) and (
        ignored or os.environ.get("PYTHONHASHSEED", "random") in ("", "random")
    )


def run(configuration: Configuration, *, worker: Worker = worker.main) -> int:
    """Serve until told to stop; return the exit code."""
    logs.set_up("supervisor")
    if not hash_is_randomised():
        # Tokens and header values are dictionary keys: with a known seed a client could make them collide.
        log.error("PYTHONHASHSEED is set and makes hashes predictable; unset it")
        return WRONG_CONFIGURATION
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        succession = Succession(Predecessor.of_environment())
        code = _supervise(configuration, worker, mask, succession)
        return code if succession.relay is None else succession.relay.run()
    except HandoverError as error:
        log.error("cannot take over: %s", error)
        return FAILED
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _supervise(
    configuration: Configuration, worker: Worker, mask: set[signal.Signals] | set[int], succession: Succession
) -> int:
    """Make what all processes share, and keep them until told to stop; return the exit code."""
    instances = issuer_instances(configuration)
    predecessor = succession.predecessor
    with contextlib.ExitStack() as stack:
        state: StateDirectory | None = None
        directory = wakeups = None
        try:
            if too_few := shortage(configuration, raise_limit()):
                log.warning("%s", too_few)
            board = new_board(configuration, worker_count(configuration), len(instances))
            if configuration.access_log is not None:
                try_log(configuration.access_log.path)
            bindings = Bindings.bind(configuration, predecessor)
            stack.callback(bindings.close)
            if keeper_needed(configuration):
                wakeups = Wakeups(worker_count(configuration))
                stack.callback(wakeups.close)
            inherited = succession.inherited_state()
            if state_needed(configuration):
                state = StateDirectory(configuration.state_directory, inherited)
                directory = stack.enter_context(state)
            elif inherited is not None:
                os.close(inherited.lock)
            feed = new_feed(instances, directory) if wakeups is not None else None
            if feed is not None:
                put_inherited(feed, instances, succession.key_sets())
            if predecessor is not None:
                predecessor.drop()
            offenders = new_offenders(configuration, board.workers)
            shared = Shared(configuration, bindings, board, offenders, wakeups, directory, feed)
        except (BindError, AccessLogError, MemoryError) as error:
            log.error("%s", error)
            return FAILED
        except OSError as error:
            log.error("cannot start: %s", error.strerror)
            return FAILED
        except StateDirectoryError as error:
            log.error("%s", error)
            return WRONG_CONFIGURATION
        return _Supervisor(shared, worker, mask, state, succession).run()


def _wait(seconds: float) -> int | None:
    """Return the number of the next signal, or None after `seconds` without one."""
    if seconds == float("inf"):
        return signal.sigwaitinfo(SIGNALS).si_signo
    came = signal.sigtimedwait(SIGNALS, seconds)
    return None if came is None else came.si_signo


@dataclass(slots=True)
class _Slot:
    index: int
    name: str
    main: Callable[[], int]
    ends_on: signal.Signals = signal.SIGTERM
    schedule: RestartSchedule = field(default_factory=RestartSchedule)
    pid: int = 0
    """0 without a process."""
    announced: bool = False
    """Its process was ready."""
    closed: bool = False
    """Of a worker: its sockets stopped listening for good. Of the keeper: it was told to end."""


class _Supervisor:
    def __init__(
        self,
        shared: Shared,
        worker: Worker,
        mask: set[signal.Signals] | set[int],
        state: StateDirectory | None,
        succession: Succession,
    ) -> None:
        self._shared = shared
        self._configuration = shared.configuration
        self._bindings = shared.bindings
        self._board = shared.board
        self._mask = mask  # of the children
        self._state = state
        self._succession = succession
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
        self._told = False  # to stop, after another program took over
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
            self._mind_succession()
            if self._stops:
                self._close_doors()
                self._end_keeper()
            if time.monotonic() >= self._deadline:
                self._kill()
        log.info("drained" if self._succession.handed_over else "stopped")
        return self._code

    def _done(self) -> bool:
        return bool(self._stops) and not any(slot.pid for slot in self._slots) and not self._succession.awaited

    def _empty(self) -> list[_Slot]:
        """The slots to fork into. Before the first worker was ready, a slot that failed is not tried again."""
        return [
            slot
            for slot in self._slots
            if not slot.pid
            and (self._up or slot is self._keeper or not slot.schedule.failures)
            and not (slot is self._keeper and self._succession.under_way)
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
        due = min(due, now + self._succession.patience)
        return max(0.0, due - now)

    def _fork(self, slot: _Slot, now: float) -> None:
        if self._stops:  # a fork before this one failed, and the start was given up
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
        if self._state is not None:
            self._state.leave()
        self._board.attach(index)
        if self._shared.offenders is not None and index < self._board.workers:
            self._shared.offenders.attach(index)
        self._bindings.keep(index)
        logs.set_up(name)
        return main()

    def _mind_succession(self) -> None:
        """An upgrade under way, or the program that this one replaces: what is due?"""
        succession = self._succession
        if succession.relay_is_gone and not self._stops:
            self._stop("the process that stands for the service is gone")
        if self._stops:
            succession.bury()
            return
        self._mind_predecessor()
        keeper = self._keeper
        if succession.look(time.monotonic(), self._shared, self._state, keeper.pid if keeper is not None else 0, self._mask):
            self._hand_over()

    def _mind_predecessor(self) -> None:
        if self._succession.predecessor is not None and all(slot.announced for slot in self._slots):
            self._succession.mind_predecessor(self._shared, self._state)

    def _upgrade(self) -> None:
        """SIGUSR2."""
        if self._stops:
            log.warning("SIGUSR2: no upgrade while the service stops")
            return
        self._mind_predecessor()
        if self._succession.begin(time.monotonic()) and self._keeper is not None and self._keeper.pid:
            os.kill(self._keeper.pid, self._keeper.ends_on)

    def _hand_over(self) -> None:
        """Another program serves: drain at once, without a word to clients who ask whether the service is ready."""
        drain = self._configuration.timeouts.drain
        pid = self._succession.hand_over(self._bindings, self._state)
        log.info("upgraded: process %d serves; this one is draining for at most %g s", pid, drain)
        self._board.hand_over()
        self._stops, self._stopped_at = 1, time.monotonic()
        self._deadline = self._stopped_at + drain + GRACE
        self._send(signal.SIGTERM)

    def _signalled(self, number: int) -> None:
        if self._succession.handed_over and number != signal.SIGCHLD:
            self._succession.pass_on(number)
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stop(signal.Signals(number).name)
        elif number == signal.SIGUSR1:
            log.info("SIGUSR1: workers reopen the access log")
            self._send(signal.SIGUSR1)
        elif number == signal.SIGUSR2:
            self._upgrade()
        elif number == signal.SIGHUP and not self._stops:
            log.warning("SIGHUP: the configuration cannot be reloaded yet; restart to change it")

    def _stop(self, name: str) -> None:
        now = time.monotonic()
        if self._stops and now - self._stopped_at < ECHO:
            return
        if self._succession.handed_over and not self._told:  # it drains since it was replaced: this is the first signal to stop
            self._told, self._stopped_at = True, now
            return
        self._stops += 1
        if self._stops == 1:
            self._stopped_at = now
            self._board.start_draining()
            notify("STOPPING=1")
            timeouts = self._configuration.timeouts
            duck, drain = timeouts.lame_duck, timeouts.drain
            self._deadline = now + duck + drain + GRACE
            first = f"not ready, but serving for {duck:g} s, then " if duck else ""
            log.info("%s: %sdraining for at most %g s; a second signal ends lbjwt immediately", name, first, drain)
            self._send(signal.SIGTERM)
            self._succession.abort()
        else:
            self._deadline = min(self._deadline, now + HURRY)
            log.info("%s again: ending immediately", name)
            self._send(signal.SIGUSR2)

    def _give_up(self, code: int, why: str) -> None:
        """End a service that never served."""
        log.error("%s: the service ends with exit code %d", why, code)
        self._code = code
        self._stops, self._stopped_at = 1, time.monotonic()
        self._board.start_draining()
        self._deadline = self._stopped_at + GRACE
        self._send(signal.SIGTERM)
        self._succession.abort()

    def _send(self, number: signal.Signals) -> None:
        for slot in self._workers:
            if slot.pid:
                os.kill(slot.pid, number)  # not reaped yet: no other process can have this id

    def _end_keeper(self) -> None:
        """Tell the keeper to end when the workers are gone or a second signal came."""
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
            log.error("processes did not end in time and were killed: %s", ", ".join(slot.name for slot in late))
        for slot in late:
            os.kill(slot.pid, signal.SIGKILL)
        self._succession.bury(kill=True)

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
                    count = len(self._workers)
                    what = "ready" if not self._served else "all workers are ready again"
                    log.info(
                        "%s: %d worker%s, %d endpoint%s",
                        what,
                        count,
                        "s"[: count != 1],
                        self._board.endpoints,
                        "s"[: self._board.endpoints != 1],
                    )
                    self._served = True
                    notify("READY=1")

    def _close_doors(self) -> None:
        """Refuse new clients once a worker has stopped accepting, because our copy of its socket would still queue them."""
        for slot in self._workers:
            if not slot.closed and (not slot.pid or self._board.state(slot.index) not in (STARTING, READY)):
                self._bindings.refuse(slot.index)
                slot.closed = True
                if all(other.closed for other in self._workers):
                    self._bindings.refuse(None)

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
        """Log how a process ended, and decide what follows."""
        if self._stops or (slot is self._keeper and self._succession.under_way):
            return
        cause = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        if code == WRONG_CONFIGURATION and not (self._kept if slot is self._keeper else self._served):
            # it logged the cause; another start would fail too
            self._give_up(code, f"{slot.name} cannot start")
            return
        self._failed(slot, time.monotonic(), code, f"{slot.name} (process {pid}) {cause}")

    def _failed(self, slot: _Slot, now: float, code: int, what: str) -> None:
        """A process that should run does not: start another later, or give up the start of the service."""
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
                self._bindings.refuse(slot.index)
        log.error("%s; the next one starts in %.1f s", what, max(0.0, slot.schedule.due - now))
