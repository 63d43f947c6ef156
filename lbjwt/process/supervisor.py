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
| SIGURG | members of clusters came from the control process | the same |
| SIGUSR2 | the program is started again and takes over, see `upgrade` | ignored |

Exit codes: see `lbjwt.process.child`. A stop takes at most ``timeouts.lame_duck``, ``timeouts.drain`` and one second, and the keeper five
seconds more.

When another program has taken over, this one drains at once, passes signals on, and then stands for the service if somebody waits for it (`relay`).
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
from lbjwt.assembly.discovered import in_force, initial, questions
from lbjwt.assembly.discovery import FIRST_ANSWERS
from lbjwt.assembly.issuers import issuer_instances
from lbjwt.assembly.keys import new_feed, put_inherited
from lbjwt.assembly.rows import new_board, row_names
from lbjwt.assembly.state import StateDirectory, StateDirectoryError, state_needed
from lbjwt.assembly.watch import Watch
from lbjwt.config.model import Configuration
from lbjwt.config.reading import FixedSource, Source
from lbjwt.net.descriptors import raise_limit
from lbjwt.net.sockets import BindError
from lbjwt.observe.log_file import AccessLogError, try_log
from lbjwt.observe.rows import Rows
from lbjwt.process import files, logs, members, worker
from lbjwt.process.announcements import Announcements
from lbjwt.process.bindings import Bindings, worker_count
from lbjwt.process.child import FAILED, WRONG_CONFIGURATION
from lbjwt.process.deliver import Deliveries
from lbjwt.process.early import Mask
from lbjwt.process.handover import HandoverError, Predecessor
from lbjwt.process.relay import SIGNALS
from lbjwt.process.reload import Reload
from lbjwt.process.shared import Shared, keeper_needed
from lbjwt.process.slots import Slot, Slots, Worker
from lbjwt.process.stopping import Stopping
from lbjwt.process.succession import Succession
from lbjwt.process.wakeups import Wakeups
from lbjwt.upstream.stored_settings import StoredSettings

NAMES_WAIT: Final = 3 * FIRST_ANSWERS
"""Seconds until workers start although the control process, which waits for answers itself, has told nothing: it cannot start, or hangs."""

BOARD_POLL: Final = 0.02
"""Seconds between two reads of the board while workers start or begin to drain; otherwise only signals wake the supervisor."""

log = logging.getLogger("lbjwt.supervisor")


def hash_is_randomised() -> bool:
    """True when this process hashes bytes with a key of its own."""
    ignored = bool(sys.flags.ignore_environment)
    return bool(sys.flags.hash_randomization) and (
        ignored or os.environ.get("PYTHONHASHSEED", "random") in ("", "random")
    )


def run(
    configuration: Configuration,
    source: Source | None = None,
    *,
    worker: Worker = worker.main,
    mask: Mask | None = None,
) -> int:
    """
    Serve until told to stop; return the exit code.

    Args:
        configuration: Checked.
        source: Where it came from, for reloads; None: it stays as it is.
        worker: What runs in the worker processes.
        mask: Signal mask of the worker processes and of a new program; None: that of now.
    """
    logs.set_up("supervisor")
    if not hash_is_randomised():
        # Tokens and header values are dictionary keys: with a known seed a client could make them collide.
        log.error("PYTHONHASHSEED is set and makes hashes predictable; unset it")
        return WRONG_CONFIGURATION
    found = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        succession = Succession(Predecessor.of_environment())
        children = found if mask is None else mask
        code = _supervise(configuration, source or FixedSource(configuration), worker, children, succession)
        return code if succession.relay is None else succession.relay.run()
    except HandoverError as error:
        log.error("cannot take over: %s", error)
        return FAILED
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, found)


def _supervise(
    configuration: Configuration,
    source: Source,
    worker: Worker,
    mask: Mask,
    succession: Succession,
) -> int:
    """Make what all processes share, and keep them until told to stop; return the exit code."""
    predecessor, inherited = succession.predecessor, succession.inherited_state()
    with contextlib.ExitStack() as stack:
        state: StateDirectory | None = None
        directory = wakeups = None
        try:
            if too_few := shortage(configuration, raise_limit()):
                log.warning("%s", too_few)
            board = new_board(configuration, worker_count(configuration))
            if configuration.access_log is not None:
                try_log(configuration.access_log.path)
            bindings = Bindings.bind(configuration, predecessor)
            if keeper_needed(configuration):
                wakeups = Wakeups(worker_count(configuration))
                stack.callback(wakeups.close)
            if state_needed(configuration):
                state = StateDirectory(configuration.state_directory, inherited)
                directory = stack.enter_context(state)
            elif inherited is not None:
                os.close(inherited.lock)
            discovered = None
            settings = StoredSettings(board.endpoint_states)
            if wakeups is not None:
                kept = directory if configuration.state_directory is not None else None
                discovered = initial(configuration, kept)
                settings.open(kept)
            rows = Rows(board, settings.restore)
            numbers = rows.assign(row_names(in_force(configuration, discovered)))
            feed = None
            if wakeups is not None:
                instances = issuer_instances(configuration, numbers.issuers)
                feed = new_feed(instances, directory)
                put_inherited(feed, instances, succession.key_sets())
            if predecessor is not None:
                predecessor.drop()
            offenders = new_offenders(configuration, board.workers)
            shared = Shared(configuration, bindings, board, numbers, offenders, wakeups, directory, feed, discovered)
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
        slots = Slots(shared, worker, mask, state, succession)
        deliveries = Deliveries(shared, slots, rows)
        stack.callback(deliveries.close)
        reload = Reload(shared, slots, source, deliveries, succession)
        return _Supervisor(shared, slots, source, reload, deliveries, succession, state).run()


def _wait(seconds: float) -> int | None:
    """Return the number of the next signal, or None after `seconds` without one."""
    if seconds == float("inf"):
        return signal.sigwaitinfo(SIGNALS).si_signo
    came = signal.sigtimedwait(SIGNALS, seconds)
    return None if came is None else came.si_signo


class _Supervisor:
    """Decides who is forked, what a death means, and which signal does what."""

    def __init__(
        self,
        shared: Shared,
        slots: Slots,
        source: Source,
        reload: Reload,
        deliveries: Deliveries,
        succession: Succession,
        state: StateDirectory | None,
    ) -> None:
        self._shared = shared
        self._board = shared.board
        self._slots = slots
        self._told = Announcements(shared, slots)
        self._succession = succession
        self._state = state
        self._stopping = Stopping(shared, slots)
        self._reload = reload
        self._deliveries = deliveries
        self._names_until = 0.0
        """Monotonic seconds until which workers wait for the addresses of names."""
        if shared.discovered is not None and questions(shared.configuration, shared.discovered):
            self._names_until = time.monotonic() + NAMES_WAIT
        self._watch = Watch(source)
        self._unanswered: set[int] = set()  # signals during an upgrade, for the next program

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
            if self._succession.relay_is_gone and not self._stopping.stops:
                self._stop("the process that stands for the service is gone")
            if not self._stopping.stops:
                self._mind_succession(now)
            if self._stopping.stops:
                self._stopping.turn(now)
            else:
                if self._watches and self._watch.has_changed(now):
                    log.info("the configuration file has changed")
                    self._reload.request()
                self._reload.turn(now)
        log.info("drained" if self._succession.handed_over else "stopped")
        return self._stopping.code

    @property
    def _watches(self) -> bool:
        """A change of the file is news. While a reload is asked for, which an upgrade may hold up for a minute, it is none."""
        return self._shared.configuration.watch and not self._reload.is_wanted

    def _empty(self) -> list[Slot]:
        """
        The slots to fork into. Before the first worker was ready, a slot that failed is not tried again. At the start, workers wait for the first
        addresses of names.
        """
        waits = time.monotonic() < self._names_until
        return [
            slot
            for slot in self._slots.all
            if not slot.pid
            and (self._told.up or slot is self._slots.keeper or not slot.schedule.failures)
            and not (slot is self._slots.keeper and self._succession.under_way)
            and not (waits and slot is not self._slots.keeper)
        ]

    def _patience(self, now: float) -> float:
        """Seconds until something is due without a signal."""
        due = self._stopping.deadline
        if not self._stopping.stops:
            due = min([due, self._reload.due(now), *(slot.schedule.due for slot in self._empty())])
            if now < self._names_until:
                due = min(due, self._names_until)
            if self._watches:
                due = min(due, self._watch.due)
            looking = any(slot.pid and not slot.announced for slot in self._slots.all)
        else:
            looking = self._succession.has_news_due or not all(slot.closed for slot in self._slots.workers)
        if looking:
            due = min(due, now + BOARD_POLL)
        return max(0.0, min(due - now, self._succession.patience))

    def _fork(self, slot: Slot, now: float) -> None:
        if self._stopping.stops:  # a fork before this one failed, and the start was given up
            return
        try:
            self._slots.fork(slot, now)
        except OSError as error:
            self._failed(slot, now, FAILED, f"cannot start the {slot.name}: {error.strerror}")

    def _mind_predecessor(self) -> None:
        """The program that this one replaces hears when all is ready here."""
        if self._succession.predecessor is not None and all(slot.announced for slot in self._slots.all):
            self._succession.mind_predecessor(self._shared, self._state)

    def _mind_succession(self, now: float) -> None:
        """An upgrade under way, or the program that this one replaces: do what is due."""
        self._mind_predecessor()
        keeper = self._slots.keeper
        control = keeper.pid if keeper is not None else 0
        if self._reload.is_idle and self._succession.look(now, self._shared, self._state, control, self._slots.mask):
            self._stopping.replaced(self._succession.hand_over(self._shared.bindings, self._state), now)
            for number in sorted(self._unanswered):
                self._succession.pass_on(number)
        # after the look: nothing wakes us once an upgrade is over
        self._reload.held = self._succession.under_way or self._succession.predecessor is not None

    def _upgrade(self) -> None:
        if self._stopping.stops:
            if not self._succession.handed_over:
                log.warning("SIGUSR2: no upgrade while the service stops")
            return
        self._mind_predecessor()
        keeper = self._slots.keeper
        self._unanswered.clear()
        if self._succession.begin(time.monotonic()) and keeper is not None and keeper.pid:
            os.kill(keeper.pid, keeper.ends_on)

    def _stop(self, why: str) -> None:
        self._reload.stop()
        self._stopping.signalled(why, time.monotonic())

    def _signalled(self, number: int) -> None:
        if number == members.WAKE:
            self._take_members()
            self._take_files()
        elif self._succession.handed_over and number != signal.SIGCHLD:
            self._succession.pass_on(number)
        elif self._succession.under_way and number in (signal.SIGHUP, signal.SIGUSR1):
            self._unanswered.add(number)  # the next program may have read its configuration and opened its log before
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stop(signal.Signals(number).name)
        elif number == signal.SIGUSR2:
            self._upgrade()
        elif number == signal.SIGUSR1:
            log.info("SIGUSR1: workers reopen the access log")
            self._slots.send(signal.SIGUSR1)
        elif number == signal.SIGHUP:
            if self._stopping.stops:
                self._reload.refuse()
            else:
                self._reload.request()

    def _take_members(self) -> None:
        keeper = self._slots.keeper
        if (
            keeper is not None
            and keeper.channel is not None
            and members.take(keeper.channel, self._deliveries.discover)
        ):
            self._names_until = 0.0

    def _take_files(self) -> None:
        for slot in self._slots.workers:
            if slot.channel is not None:
                self._shared.files = files.take(slot.channel, self._shared.files)

    def _reap(self) -> None:
        self._take_files()  # what the dead ones said last
        for slot, pid, code in self._slots.ended():
            self._bury(slot, pid, code)

    def _bury(self, slot: Slot, pid: int, code: int) -> None:
        """Log how a process ended, and decide what follows."""
        if self._stopping.stops or (slot is self._slots.keeper and self._succession.under_way):
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
                self._shared.bindings.refuse(slot.index)
        log.error("%s; the next one starts in %.1f s", what, max(0.0, slot.schedule.due - now))

    def _give_up(self, code: int, why: str) -> None:
        """End a service that never served."""
        log.error("%s: the service ends with exit code %d", why, code)
        self._reload.stop()
        self._stopping.give_up(code, time.monotonic())
