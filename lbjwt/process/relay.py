"""
A process that stands for a service whose program was replaced.

The parent of the first program (a container's init, a process supervisor, a shell) waits for it and signals it. So the process stays when another
program has taken over, passes signals on to that program, and ends with its exit code. When that program is replaced in turn, it names its
successor over a socket pair, and its orphans become children of the relay (PR_SET_CHILD_SUBREAPER). No relay is needed under a service manager that
can be told of a new main process.
"""

import contextlib
import ctypes
import logging
import os
import signal
import socket
from typing import Final

from lbjwt.process.child import FAILED

PR_SET_CHILD_SUBREAPER: Final = 36  # <linux/prctl.h>

SIGNALS: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGCHLD,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGHUP,
    signal.SIGURG,
)
"""Blocked in the supervisor and taken by sigwaitinfo(2)."""

_libc: Final = ctypes.CDLL(None, use_errno=True)

log = logging.getLogger("lbjwt.supervisor")


class Relay:
    """
    Args:
        pid: The supervisor that serves now; a child of this process.
        link: Our end of the socket pair: later supervisors name their successors there.
    """

    def __init__(self, pid: int, link: socket.socket) -> None:
        self._pid = pid
        self._link = link
        link.setblocking(False)
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def pass_on(self, number: int) -> None:
        """Send a signal to the supervisor that serves."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._current(), number)

    def run(self) -> int:
        """Pass signals on until that supervisor has ended; return its exit code. `SIGNALS` are blocked."""
        log.info("process %d serves; signals are passed on to it until it ends", self._current())
        while (code := self._reap()) is None:
            number = signal.sigwaitinfo(SIGNALS).si_signo
            if number not in (signal.SIGCHLD, signal.SIGURG):
                self.pass_on(number)
        self._link.close()
        if code < 0:
            log.error("process %d was killed by %s", self._pid, signal.Signals(-code).name)
            return FAILED
        return code

    def _current(self) -> int:
        with contextlib.suppress(OSError):
            while said := self._link.recv(32):
                self._pid = int(said)
        return self._pid

    def _reap(self) -> int | None:
        """Bury all dead children; the exit code of the supervisor that serves, if it is among them."""
        found = None
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return found
                if pid == self._current():
                    found = os.waitstatus_to_exitcode(status)
        # There are no children at all: it ended and was buried, or never became one of ours.
        return FAILED if found is None else found
