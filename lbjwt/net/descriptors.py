"""File descriptors of this process: the limit (RLIMIT_NOFILE), and whether there is one left. `assembly.descriptors` shares them out."""

import contextlib
import errno
import os
import resource
from typing import Final

EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE)
"""This process (EMFILE) or the whole machine (ENFILE) has no descriptor left."""

LOCAL: Final = (*EXHAUSTED, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM)
"""What socket(2) and connect(2) report when this machine is short of descriptors, local ports or memory, or has no address of that family."""


def is_local(error: BaseException) -> bool:
    """No packet was sent: the error says nothing about the other end."""
    return isinstance(error, OSError) and error.errno in LOCAL


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one, as far as the kernel allows; return it. -1: no limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:  # the soft limit of 1024 is made for select(2), which nobody uses here
        with contextlib.suppress(OSError, ValueError):  # above fs.nr_open
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def available() -> bool:
    """Whether this process can open one more file now."""
    try:
        os.close(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno not in EXHAUSTED
    return True
