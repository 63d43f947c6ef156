"""
Adding to the operator's file of revocations while balancers read it and others add to it.

One write(2) with O_APPEND, so that entries of several writers do not mix. Writers lock the file, as a reader can see a part of a write: the
kernel copies it page by page. The file must exist: no balancer would watch a new file under a mistyped name.
"""

import fcntl
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lbjwt.auth.revocation import Change, RevocationError, RevocationList, Undo
from lbjwt.auth.revocation_format import line_of, read_lines
from lbjwt.files import open_regular
from lbjwt.revocation.watched import MAX_FILE

ATTEMPTS: Final = 5  # when an editor replaces the file meanwhile
LOCK_WAIT: Final = 10.0  # seconds for other writers, each of which takes milliseconds; a program that holds the lock for longer is no writer
LOCK_POLL: Final = 0.005  # seconds between two attempts to lock the file


def append_entries(path: Path, changes: Sequence[Change]) -> bool:
    """
    Add changes to a file and return when they are on disk under its name.

    Returns:
        False when nothing was written, because every change is an undo of an entry that the file does not have.

    Raises:
        RevocationError: The file does not exist, cannot be written, is locked by another program, or has an invalid line, so that balancers
            ignore its changes.
    """
    try:
        for _ in range(ATTEMPTS):
            descriptor, _ = open_regular(path, os.O_RDWR | os.O_APPEND)
            try:
                _lock(path, descriptor)
                if os.fstat(descriptor).st_size > MAX_FILE:
                    raise RevocationError(f"{path} is larger than {MAX_FILE} bytes")
                written = _append(path, descriptor, changes)
                # else an editor that saves by rename has replaced it meanwhile
                if os.path.samestat(path.stat(), os.fstat(descriptor)):
                    return written
            finally:
                os.close(descriptor)
    except FileNotFoundError:
        raise RevocationError(f"{path} does not exist; create it as an empty file first") from None
    except OSError as error:
        raise RevocationError(f"{path} cannot be written: {error.strerror}") from None
    raise RevocationError(f"{path} keeps being replaced, so lbjwt cannot tell whether the entry was written")


def _lock(path: Path, descriptor: int) -> None:
    """Lock the file until the descriptor is closed. On a file system without locks, do nothing."""
    give_up = time.monotonic() + LOCK_WAIT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                raise RevocationError(f"{path} is locked by another program; no entry was added") from None
            time.sleep(LOCK_POLL)
        except OSError:
            return
        else:
            return


def _append(path: Path, descriptor: int, changes: Sequence[Change]) -> bool:
    with open(descriptor, "rb", closefd=False) as file:
        text = file.read(MAX_FILE + 1)
    said = RevocationList(max_entries=text.count(b"\n") + 1)
    try:
        said.replace(read_lines(text), 0.0)
    except RevocationError as error:
        raise RevocationError(
            f"{path}: {error}; correct this line first: lbjwt ignores all changes of the file until then. No entry was added"
        ) from None
    new = [change for change in changes if not isinstance(change, Undo) or said.named_by(change)]
    if not new:
        return False
    lines = b"".join(map(line_of, new))
    if text and not text.endswith(b"\n"):
        lines = b"\n" + lines
    if os.write(descriptor, lines) != len(lines):
        raise RevocationError(f"{path}: the disk is full; free some space, then correct the last line of the file")
    os.fsync(descriptor)
    return True
