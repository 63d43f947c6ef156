"""
The supervisor: owns the listening sockets and the board, keeps one worker in every slot, passes signals on. Serves nothing itself.

Plain and synchronous: one poll(2) over a signal pipe, no thread, no event loop, so forking from it is safe at any time.

| signal | while running | while draining |
| --- | --- | --- |
| SIGTERM, SIGINT | readiness false at once, workers drain | workers end now, killed after half a second |
| SIGUSR1 | workers reopen the access log | the same |
| SIGHUP | one sentence in the log | ignored |

Exit codes: 0 stopped as asked; 1 could not start, or a worker had to be killed; 2 configuration, key or certificate file is wrong.
The whole of a drain never lasts longer than ``timeouts.drain`` and one second.
"""

import gc
import logging
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

from lbjwt._fastverify import hash_is_randomised
from lbjwt.config.model import Configuration
from lbjwt.net.sockets import BindError, stop_listening
from lbjwt.observe._board import DRAINING, READY, STARTING, Board
from lbjwt.process import child, logs
from lbjwt.process.bindings import Bindings, worker_count
from lbjwt.process.exits import FAILED, OK, WRONG_CONFIGURATION
from lbjwt.process.restart import RestartSchedule

__all__ = ["run"]

Worker = Callable[[Configuration, int, Bindings, Board], int]
"""Lives in a process of its own: configuration, slot, its sockets, board; returns the exit code."""

HURRY: Final = 0.5
"""Seconds from the second SIGTERM to SIGKILL."""
ECHO: Final = 0.1
"""Seconds within which a second signal is the first one again: timeout(1) signals its child and then the group, other wrappers pass Ctrl-C on."""
GRACE: Final = 1.0
"""Seconds a worker gets beyond ``timeouts.drain`` before it is killed."""
BOARD_POLL: Final = 0.02
"""Seconds between two looks at the board while workers start or begin to drain; otherwise only signals wake the supervisor."""

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1, signal.SIGHUP)

log = logging.getLogger("lbjwt.supervisor")


def run(configuration: Configuration, *, worker: Worker | None = None) -> int:
    """
    Serve until told to stop; return the exit code.

    Args:
        configuration: Checked.
        worker: What runs in the worker processes; `lbjwt.process.worker.main` by default.
    """
    logs.set_up("supervisor")
    if not hash_is_randomised():
        # Tokens and header values are dictionary keys: with a known seed a client could make them collide.
        log.error("PYTHONHASHSEED makes hashes predictable; unset it")
        return WRONG_CONFIGURATION
    if worker is None:
        from lbjwt.process import worker as real

        real.preload(configuration)
        worker = real.main
    try:
        bindings = Bindings.bind(configuration)
    except BindError as error:
        log.error("%s", error)
        return FAILED
    board = Board(
        worker_count(configuration), sum(len(cluster.endpoints) for cluster in configuration.clusters.values())
    )
    _raise_file_limit()
    with _SignalPipe() as pipe:
        try:
            return _Supervisor(configuration, bindings, board, worker, pipe).run()
        finally:
            bindings.close()


@dataclass(slots=True)
class _Slot:
    """One place for a worker."""

    index: int
    schedule: RestartSchedule = field(default_factory=RestartSchedule)
    pid: int = 0
    """Of the process that lives here; 0 when none does."""
    announced: bool = False
    """It was ready."""
    closed: bool = False
    """Its sockets stopped listening for good."""


class _Supervisor:
    def __init__(
        self, configuration: Configuration, bindings: Bindings, board: Board, worker: Worker, pipe: "_SignalPipe"
    ) -> None:
        self._configuration = configuration
        self._bindings = bindings
        self._board = board
        self._worker = worker
        self._pipe = pipe
        self._slots = [_Slot(index) for index in range(board.workers)]
        self._stops = 0  # SIGTERM and SIGINT so far, without echoes
        self._stopped_at = 0.0  # the first of them
        self._deadline = float("inf")  # then SIGKILL
        self._served = False  # a worker was ready at some time
        self._code = OK

    def run(self) -> int:
        for name, address in self._bindings.describe():
            log.info("%s on %s", name, address)
        while not self._done():
            now = time.monotonic()
            if not self._stops:
                for slot in self._slots:
                    if not slot.pid and slot.schedule.wants_fork(now):
                        self._fork(slot, now)
            for number in self._pipe.wait(self._patience(time.monotonic())):
                self._signalled(number)
            self._announce()
            self._reap()
            if self._stops:
                self._close_doors()
            if time.monotonic() >= self._deadline:
                self._kill()
        log.info("stopped")
        return self._code

    def _done(self) -> bool:
        return bool(self._stops) and not any(slot.pid for slot in self._slots)

    def _patience(self, now: float) -> float:
        """Seconds until something is due without a signal."""
        due = self._deadline
        if not self._stops:
            due = min([due, *(slot.schedule.due for slot in self._slots if not slot.pid)])
            looking = any(slot.pid and not slot.announced for slot in self._slots)
        else:
            looking = not all(slot.closed for slot in self._slots)
        if looking:
            due = min(due, now + BOARD_POLL)
        return max(0.0, due - now)

    def _fork(self, slot: _Slot, now: float) -> None:
        slot.schedule.forked(now)
        slot.announced = False
        self._board.set_state(STARTING, slot.index)
        gc.collect()
        gc.freeze()  # what exists now is shared with the child: its collector must not write into it
        parent = os.getpid()
        blocked = signal.pthread_sigmask(
            signal.SIG_BLOCK, SIGNALS
        )  # a signal before the child has left our pipe would be read by us
        try:
            pid = os.fork()
            if pid == 0:
                child.become(lambda: self._live(slot.index), parent, blocked)
            slot.pid = pid
        except OSError as error:
            log.error("cannot start worker %d: %s", slot.index, error.strerror)
            slot.schedule.died(now, was_ready=False)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _live(self, index: int) -> int:
        """The life of a worker, in its own process."""
        self._pipe.leave()
        self._board.attach(index)
        self._bindings.keep(index)
        logs.set_up(f"worker {index}")
        return self._worker(self._configuration, index, self._bindings, self._board)

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

    def _send(self, number: signal.Signals) -> None:
        for slot in self._slots:
            if slot.pid:
                os.kill(slot.pid, number)  # not reaped yet, so the number is still its own

    def _kill(self) -> None:
        self._deadline = float("inf")
        if any(slot.pid for slot in self._slots):
            if self._stops == 1:
                self._code = FAILED
                log.error("workers did not end in time and are killed")
            self._send(signal.SIGKILL)

    def _announce(self) -> None:
        for slot in self._slots:
            if slot.pid and not slot.announced and self._board.state(slot.index) in (READY, DRAINING):
                slot.announced = True
                if all(other.announced for other in self._slots) and not self._stops:
                    count = len(self._slots)
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

    def _close_doors(self) -> None:
        """
        Refuse new clients once a worker has stopped accepting: our copy of its socket would still queue them for nobody.

        Not before that: the worker must not meet a listening socket that was shut down under its hands.
        """
        for slot in self._slots:
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
        """Tell what became of a worker and decide what follows."""
        if self._stops:
            return
        cause = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        if code == WRONG_CONFIGURATION and not self._served:
            # It said why. The other workers would say the same, and so would the next one.
            self._code = code
            self._stop("start failed")
            return
        now = time.monotonic()
        slot.schedule.died(now, was_ready=slot.announced)
        self._board.count_restart()
        if slot.schedule.failures > 1 and any(other.announced and other.pid for other in self._slots):
            # Two starts failed: stop queueing clients here while others can serve them.
            stop_listening(self._bindings.of(slot.index))
        log.error(
            "worker %d (process %d) %s; the next one starts in %.1f s",
            slot.index,
            pid,
            cause,
            max(0.0, slot.schedule.due - now),
        )


class _SignalPipe:
    """Signals as bytes in a pipe, so that one poll waits for all of them. Python's handlers do nothing; the C level writes the number."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> "_SignalPipe":
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in SIGNALS:
            self._before[number] = signal.signal(number, _nothing)
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()
        self.leave()

    def _restore(self) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)  # type: ignore[arg-type]

    def wait(self, seconds: float) -> bytes:
        """Return the numbers of the signals that came, at the latest after `seconds`."""
        if self._poll.poll(None if seconds == float("inf") else int(seconds * 1000) + 1):
            return os.read(self._reader, 4096)
        return b""

    def leave(self) -> None:
        """Close the pipe; in a child, whose signals are its own."""
        os.close(self._reader)
        os.close(self._writer)


def _nothing(number: int, frame: FrameType | None) -> None:
    """The wakeup descriptor tells what came."""


def _raise_file_limit() -> None:
    """Every connection is a descriptor, and the soft limit of 1024 is made for select(2), which nobody uses here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
