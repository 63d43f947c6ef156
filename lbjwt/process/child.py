"""The first steps of a forked process: reset signals, set its name, and die when the supervisor dies."""

import contextlib
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Final, NoReturn

# Exit codes of ``lbjwt serve`` and of its processes.
OK: Final = 0
"""Stopped as requested, also when ``timeouts.drain`` cut connections."""

FAILED: Final = 1
"""Could not start (a port in use), or a process had to be killed."""

WRONG_CONFIGURATION: Final = 2
"""The configuration, a key or certificate file or the state directory is wrong: another start would fail too."""

PR_SET_PDEATHSIG: Final = 1  # <linux/prctl.h>
PR_SET_NAME: Final = 15

# Ctrl-C reaches the whole foreground group, and the supervisor handles it. The others are ignored until there is a handler.
IGNORED: Final = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGHUP,
    signal.SIGPIPE,
)
DEFAULT: Final = (signal.SIGCHLD,)

_libc: Final = ctypes.CDLL(None, use_errno=True)  # before the fork: loading takes locks


def become(
    live: Callable[[], int],
    parent: int,
    mask: set[signal.Signals] | set[int],
    *,
    name: str,
    ends_on: signal.Signals = signal.SIGTERM,
) -> NoReturn:
    """
    Run `live` in this freshly forked process and exit with the code that it returns.

    Args:
        parent: Process id of the supervisor.
        mask: Signal mask, set after the signals are ignored.
        name: Shown by ps(1), as the command and as its arguments; at most 15 characters.
        ends_on: Ends the process at once until it has a handler; the kernel sends it when the supervisor dies.
    """
    code = FAILED
    try:
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        for number in (*DEFAULT, ends_on):
            signal.signal(number, signal.SIG_DFL)
        _libc.prctl(PR_SET_NAME, name.encode(), 0, 0, 0)
        _show_as(name.encode())
        _libc.prctl(PR_SET_PDEATHSIG, ends_on, 0, 0, 0)
        if os.getppid() == parent:  # else it died before the line above
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            code = live()
    except BaseException:
        logging.getLogger("lbjwt.process").exception("the process failed")
    finally:
        # Not sys.exit: the supervisor's frames, context managers and exit handlers are on this stack too.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def _show_as(title: bytes) -> None:
    """Overwrite the arguments that ``ps aux`` shows, which are those of the supervisor, at arg_start of proc_pid_stat(5)."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        begin, end = int(fields[45]), int(fields[46])  # fields 48 and 49 of the page, counted from the third
        with open("/proc/self/cmdline", "rb") as file:
            shown = file.read()
        if begin and end - begin == len(shown):
            ctypes.memmove(begin, title[: len(shown) - 1].ljust(len(shown), b"\0"), len(shown))
