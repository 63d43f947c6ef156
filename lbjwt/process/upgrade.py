"""
An upgrade, seen from the program that is replaced: SIGUSR2 starts the same command again on the same sockets, and when the new program serves, this
one drains.

| step | begins with | ends when |
| --- | --- | --- |
| CONTROL | SIGUSR2; the control process is told to end, for two must not write one state directory | it is gone |
| STARTING | the new program is started | it says that it serves; it ended, or took too long: the upgrade failed |
| SETTLING | both programs serve | it lived for a moment: this program drains |
| ENDING | the upgrade failed; the new program is told to end, and killed | its control process is gone too: ours may start again |

Until the last step nothing of this program has changed, except that it has no control process.
"""

import contextlib
import enum
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

from lbjwt.process.handover import FINISHING, READY, READY_WITH_DIRECTORY, VARIABLE, YOURS, Handover
from lbjwt.process.relay import Relay

TIME: Final = 60.0
"""Seconds in which the new program must serve."""
SETTLE: Final = 1.0
"""Seconds the new program has to live after it said that it serves. Both serve meanwhile, so that this one can still go on."""
GRACE: Final = 2.0
"""Seconds from SIGTERM to SIGKILL, for the control process and for a new program that failed."""
POLL: Final = 0.02
"""Seconds between two looks at an upgrade."""

log = logging.getLogger("lbjwt.supervisor")


class Step(enum.Enum):
    """See the table above."""

    CONTROL = 0
    STARTING = 1
    SETTLING = 2
    ENDING = 3
    SUCCEEDED = 4
    FAILED = 5


class Upgrade:
    """
    One attempt.

    Args:
        now: Seconds on the monotonic clock, as everywhere here.
        chain: Our end of the way to the process that stands for the service, when this program was started by an upgrade itself.
        relayed: Some process must stand for the service afterwards.
    """

    def __init__(self, now: float, *, chain: socket.socket | None, relayed: bool) -> None:
        self.step = Step.CONTROL
        self.pid = 0
        """Of the new program; 0 before it is started and after it was buried."""
        self.took_directory = False
        """The new program uses the temporary state directory, and removes it."""
        self._due = now + GRACE
        self._why = ""  # it failed
        self._link: socket.socket | None = None
        self._chain = chain
        self._relay: tuple[socket.socket, socket.socket] | None = None
        if chain is None and relayed:
            self._relay = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    @property
    def under_way(self) -> bool:
        """It has neither succeeded nor failed."""
        return self.step not in (Step.SUCCEEDED, Step.FAILED)

    def look(self, now: float, *, control: int, handover: Callable[[], Handover], mask: Collection[int]) -> None:
        """
        Go on as far as possible.

        Args:
            control: Process id of the control process; 0: there is none.
            handover: Makes what is left to the new program, without our descriptors.
            mask: Signal mask of the new program.
        """
        match self.step:
            case Step.CONTROL:
                if not control:
                    self._start(now, handover(), mask)
                elif now >= self._due:
                    os.kill(control, signal.SIGKILL)
            case Step.STARTING:
                self._look_at_start(now)
            case Step.SETTLING:
                if self._ended() is not None:
                    self._fail(now, "the new program ended right after its start")
                elif now >= self._due:
                    self.step = Step.SUCCEEDED
            case Step.ENDING:
                self._ended()
                if self.pid:
                    if now >= self._due:
                        os.kill(self.pid, signal.SIGKILL)
                elif self._is_deserted() or now >= self._due + GRACE:
                    self._close()

    def hand_over(self) -> Relay | None:
        """Give everything to the new program. Returns what stands for the service from now on; None when nobody has to, or another process does."""
        assert self._link is not None
        with contextlib.suppress(OSError):
            self._link.send(YOURS)
        if self._chain is not None:
            with contextlib.suppress(OSError):
                self._chain.send(str(self.pid).encode())
        if self._relay is None:
            return None
        ours, theirs = self._relay
        theirs.close()
        return Relay(self.pid, ours)

    def finishing(self) -> None:
        """After `hand_over`: no request will begin in this program any more."""
        if self._link is not None:
            with contextlib.suppress(OSError):
                self._link.send(FINISHING)
            self._link.close()
            self._link = None

    @property
    def is_linked(self) -> bool:
        """The new program waits to hear that."""
        return self._link is not None

    def abort(self) -> None:
        """This service is told to stop: so is the new program."""
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)

    def bury(self, *, kill: bool = False) -> None:
        """After `abort`: see whether the new program is gone, or kill it."""
        if kill and self.pid:
            os.kill(self.pid, signal.SIGKILL)
        self._ended()

    def _start(self, now: float, handover: Handover, mask: Collection[int]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        relay = self._chain or (self._relay[1] if self._relay is not None else None)
        handover = replace(handover, link=theirs.fileno(), relay=None if relay is None else relay.fileno())
        fds = handover.descriptors()
        try:
            for fd in fds:
                os.set_inheritable(fd, True)
            program = sys.orig_argv[0] if "/" in sys.orig_argv[0] else sys.executable
            environment = {**os.environ, VARIABLE: handover.encoded()}
            ignored = (signal.SIGPIPE, signal.SIGXFSZ)  # by Python; a new program expects neither
            self.pid = os.posix_spawn(program, sys.orig_argv, environment, setsigmask=mask, setsigdef=ignored)
        except OSError as error:
            ours.close()
            self._fail(now, f"the new program cannot be started: {error.strerror}")
        else:
            ours.setblocking(False)
            self._link = ours
            self.step = Step.STARTING
            self._due = now + TIME
            log.info("the new program starts as process %d", self.pid)
        finally:
            for fd in fds:
                os.set_inheritable(fd, False)
            theirs.close()
            if handover.keys is not None:
                os.close(handover.keys)

    def _look_at_start(self, now: float) -> None:
        assert self._link is not None
        if (code := self._ended()) is not None:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            self._fail(now, f"the new program {how}")
            return
        said = b""
        with contextlib.suppress(OSError):
            said = self._link.recv(64)
        if said in (READY, READY_WITH_DIRECTORY):
            self.took_directory = said == READY_WITH_DIRECTORY
            self.step = Step.SETTLING
            self._due = now + SETTLE
        elif now >= self._due:
            self._fail(now, "the new program did not become ready in time")

    def _ended(self) -> int | None:
        """The exit code of the new program, once."""
        if self.pid:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
        return None

    def _is_deserted(self) -> bool:
        """Nobody has the other end of the link: supervisor and control process of the new program are gone."""
        with contextlib.suppress(OSError):
            while self._link is not None and self._link.recv(64):
                pass
            return True
        return False

    def _fail(self, now: float, why: str) -> None:
        self._why = why
        if self._link is None:
            self._close()
            return
        self.step = Step.ENDING
        self._due = now + GRACE
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)

    def _close(self) -> None:
        """Not while the new program runs: without the link it would take the sockets for its own."""
        log.error("the upgrade failed: %s; this program goes on", self._why)
        self.step = Step.FAILED
        for sock in (self._link, *(self._relay or ())):
            if sock is not None:
                sock.close()
