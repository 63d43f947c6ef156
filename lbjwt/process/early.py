"""
Signals that come while ``lbjwt serve`` still loads itself and reads its configuration: they wait until the supervisor takes them.

Their default is to end a process, and loading takes half a second: an operator who sends SIGHUP right after the start means a reload. SIGTERM and
SIGINT do end the program meanwhile. Few imports here, for this comes before the slow ones.
"""

import contextlib
import signal
from collections.abc import Iterator
from typing import Final

HELD: Final = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Reload, reopen the log, upgrade."""

Mask = set[signal.Signals] | set[int]
"""A signal mask."""


@contextlib.contextmanager
def hold_signals() -> Iterator[Mask]:
    """Block `HELD`; yields the signal mask of before, which processes of the service and a new program are to have."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
    try:
        yield before
    finally:
        # The program ends by itself: what came too late must not end it another way, for then nobody learns its exit code.
        while signal.sigtimedwait(HELD, 0) is not None:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
