"""Files and directories whose content lbjwt believes at its next start: nobody else may have written them. And whether a file changed."""

import os
import stat
from pathlib import Path


def signature_of(status: os.stat_result) -> tuple[int, ...]:
    """Return numbers of a file that change when it is written to or another one stands in its place."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def file_fault(status: os.stat_result) -> str:
    """Return why somebody else could have written a file; "" when only its owner could, which is this user or root."""
    if not stat.S_ISREG(status.st_mode):
        return "it is not a regular file"
    if status.st_uid not in (0, os.geteuid()):
        return "it belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "users other than its owner can write to it"
    return ""


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
        link, status = path.lstat(), path.stat()
    except FileNotFoundError:
        if path.parent.is_dir() if user is None else os.access(path.parent, os.W_OK | os.X_OK):
            return ""
        return f"{path} does not exist and cannot be created: {path.parent} is not a writable directory"
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
