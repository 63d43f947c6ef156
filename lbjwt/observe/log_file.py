"""
The file of the access log: opens it, and says what is wrong with its name before anything is written.

``/dev/stdout`` cannot always be opened although descriptor 1 is writable: not a socket (the journal of systemd, ENXIO), nor a pipe or terminal of
another user (EACCES). Then the open descriptor is used.
"""

import errno
import os
import stat
from pathlib import Path
from typing import Final

from lbjwt.errors import LbjwtError

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK


class AccessLogError(LbjwtError):
    """An access log that cannot be written; the message names the configuration key, the place and what mends it."""


def open_log(path: str, flags: int = _FLAGS | os.O_CREAT) -> int:
    """
    Return a new descriptor for a log: a file, made with mode 0640 when it is missing, or ``-`` for standard output.

    A pipe is opened again even for ``-``, because O_NONBLOCK on the inherited one would apply to every process that shares it.

    Raises:
        OSError: It cannot be opened.
    """
    if path == "-" and not stat.S_ISFIFO(os.fstat(1).st_mode):
        return os.dup(1)
    try:
        return os.open("/proc/self/fd/1" if path == "-" else path, flags, 0o640)
    except OSError:
        inherited = 1 if path == "-" else _inherited(path)
        if inherited is None:
            raise
        return os.dup(inherited)


def log_fault(path: str) -> str:
    """Return why a log cannot be written there now, and what to do; "" if it can. Creates and writes nothing."""
    try:
        descriptor = open_log(path, _FLAGS)
        try:
            os.write(descriptor, b"")  # /dev/full and closed peers fail here; a log file does not change
            full = _is_full(descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return _cannot_be_made(Path(path))
    except OSError as error:
        return _explain(path, error)
    return _explain(path, OSError(errno.ENOSPC, "")) if full else ""


def try_log(path: str) -> None:
    """
    Open a log and close it again, before anything is forked: what every worker would say is said once, and ends the start.

    Raises:
        AccessLogError: It cannot be written.
    """
    fault = log_fault(path)
    if not fault:
        try:
            os.close(open_log(path))
        except OSError as error:
            fault = _explain(path, error)
    if fault:
        raise AccessLogError(f"access_log.path: {fault}")


def _inherited(path: str) -> int | None:
    """The descriptor of standard output or standard error, if the path is another name of it."""
    for descriptor in (1, 2):
        try:
            if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                return descriptor
        except OSError:
            continue
    return None


def _cannot_be_made(path: Path) -> str:
    if path.is_symlink():
        return f"{path} is a symbolic link to a file that does not exist"
    if not path.parent.is_dir():
        return f"there is no directory {path.parent}; create it for the user that runs lbjwt"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return f"{path} does not exist, and this user (uid {os.geteuid()}) cannot create it in {path.parent}; chown the directory, or create the file"
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _explain(str(path), OSError(errno.ENOSPC, "")) if _is_full(directory) else ""
    finally:
        os.close(directory)


def _is_full(descriptor: int) -> bool:
    """Whether the file system has no free block for this user."""
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        return False
    system = os.statvfs(descriptor)
    return system.f_blocks > 0 and (system.f_bfree if os.geteuid() == 0 else system.f_bavail) == 0


def _explain(path: str, error: OSError) -> str:
    match error.errno:
        case errno.EISDIR:
            return f"{path} is a directory; name a file in it"
        case errno.ENXIO:
            return f"{path} is a socket, or a pipe without a reader; for standard output write -"
        case errno.ENOSPC:
            return f"the disk of {path} is full; free some space, or name another file"
        case errno.EACCES | errno.EPERM:
            return f"this user (uid {os.geteuid()}) cannot write {path}; chown it to the user that runs lbjwt"
        case errno.EROFS:
            return f"{path} is on a read-only file system; name another file, or - for standard output"
    return f"{path}: {os.strerror(error.errno) if error.errno else error}"
