"""
Reading regular files only. Files and directories whose content lbjwt believes at its next start: nobody else may have written them. And whether
a file changed.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

Kept = Callable[[Sequence[Path]], Sequence[bytes]]
"""What files held when they were put into force, in their order; empty when that is not known."""

ReadFile = Callable[[Path, int], bytes]
"""Reads a file, as `read_content` does."""


def nothing_kept(paths: Sequence[Path]) -> Sequence[bytes]:
    """As `Kept`, of a process that takes nobody's place."""
    return ()


def open_regular(path: Path, flags: int = os.O_RDONLY) -> tuple[int, os.stat_result]:
    """
    Open a regular file, through symbolic links unless the flags forbid it, and return its descriptor and its status.

    Does not wait: opening a FIFO would block until somebody writes to it.

    Raises:
        OSError: It cannot be opened, or is not a regular file; the error has its name.
    """
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or the writing end of a FIFO
            raise _irregular(path) from None
        if error.errno == errno.ELOOP and flags & os.O_NOFOLLOW:
            raise OSError(errno.ELOOP, "it is a symbolic link, which lbjwt does not follow", str(path)) from None
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise _irregular(path)
    return descriptor, status


def _irregular(path: Path) -> OSError:
    return OSError(errno.EINVAL, "it is not a regular file", str(path))


def read_regular(path: Path, most: int) -> tuple[bytes, os.stat_result]:
    """
    Return the content of a regular file and its status from before the read: what is written meanwhile changes the next one.

    Args:
        most: Bytes. Of a longer file one byte more is returned, so that the caller can refuse it.

    Raises:
        OSError: It cannot be read, or is not a regular file; the error has its name.
    """
    descriptor, status = open_regular(path)
    try:
        with open(descriptor, "rb") as file:
            return file.read(most + 1), status
    except OSError as error:
        error.filename = str(path)  # not set by a failed read
        raise


def read_content(path: Path, most: int) -> bytes:
    """As `read_regular`, without the status."""
    return read_regular(path, most)[0]


@contextlib.contextmanager
def in_memory(contents: Sequence[bytes]) -> Iterator[list[Path]]:
    """
    Paths of files in memory with these contents, for a library that reads nothing but files. They end with the context.

    Raises:
        OSError: No memory or descriptor is left.
    """
    with contextlib.ExitStack() as stack:
        paths = []
        for content in contents:
            file = stack.enter_context(open(os.memfd_create("lbjwt", os.MFD_CLOEXEC), "wb"))
            file.write(content)
            file.flush()
            paths.append(Path(f"/proc/self/fd/{file.fileno()}"))
        yield paths


def signature_of(status: os.stat_result) -> tuple[int, ...]:
    """Return numbers of a file that change when it is written to or another one stands in its place."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def stamp_of(path: Path) -> object:
    """Time of the last write, size, and identity of the file behind all links; None when there is none, or nobody may look."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_dev, found.st_ino


def file_fault(status: os.stat_result, *, ours: bool = True) -> str:
    """
    Return why somebody else could have written a file; "" when only its owner could.

    Args:
        ours: The owner must be this user or root; False in a check by another user.
    """
    if not stat.S_ISREG(status.st_mode):
        return "it is not a regular file"
    if ours and status.st_uid not in (0, os.geteuid()):
        return "it belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "users other than its owner can write to it"
    return ""


def write_whole(path: Path, content: bytes, *, sync: bool = True) -> None:
    """
    Replace a file, mode 0600. After a crash at any moment the old file or the new one stands there, whole.

    There is one writer at a time: a file it left half-written is thrown away by the next.

    Args:
        sync: It must survive a power cut.

    Raises:
        OSError: The disk is full, the directory is missing or not ours, and the like; the old file is still there.
    """
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
    if sync:
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make sure that a new name in a directory survives a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def directory_fault(path: Path, user: int | None) -> str:
    """
    Return why lbjwt must not use a directory, and what mends it; "" when it may, or when the start can make it.

    What lies there is believed at the next start, so nobody else may write it or have chosen it by a link. A volume of Kubernetes comes with the
    mode 0777 or 2777 or belongs to root, and cannot be changed by the pod; one in it can be lbjwt's own.

    Args:
        user: The user that must own it and can read and write it; None: its owner is not looked at, as in a check by another user.

    Raises:
        OSError: Its mode cannot be read.
    """
    try:
        link = path.lstat()
    except FileNotFoundError:
        return _parent_fault(path, user)
    try:
        status = path.stat()
    except FileNotFoundError:
        return f"{path} is a symbolic link to a place that does not exist; create the directory there, or name another directory"
    if not stat.S_ISDIR(status.st_mode):
        return f"{path} is not a directory"
    if user is not None and stat.S_ISLNK(link.st_mode) and link.st_uid not in (user, 0):
        return f"{path} is a symbolic link of another user; name another directory"
    if status.st_mode & 0o022:
        fault, remedy = (
            "can be written by its group or by others, who could put their keys there",
            "run chmod go-w on it",
        )
    elif user is not None and status.st_uid != user:
        fault, remedy = "belongs to another user", "chown it to the user that runs lbjwt"
    elif user is not None and not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return f"{path} cannot be read and written by its owner; run chmod u+rwx on it"
    else:
        return ""
    if os.access(path, os.W_OK | os.X_OK):
        remedy += f", or name a new directory in it, such as {path / 'lbjwt'}, which lbjwt creates with mode 0700 (do this for a Kubernetes volume)"
    return f"{path} {fault}; {remedy}"


def _parent_fault(path: Path, user: int | None) -> str:
    """Return why lbjwt cannot create a directory."""
    parent = path.parent
    cannot = f"{path} does not exist and cannot be created: "
    if not parent.exists():
        return f"{cannot}its parent directory {parent} does not exist; create it first"
    if not parent.is_dir():
        return f"{cannot}{parent} is not a directory"
    if os.statvfs(parent).f_flag & os.ST_RDONLY:
        return f"{cannot}the file system of {parent} is read-only"
    if user is not None and not os.access(parent, os.W_OK | os.X_OK):
        return f"{cannot}{parent} is not a writable directory"
    return ""
