"""
Adding to the operator's file from another process, while balancers read it and others add to it.

One write(2) with O_APPEND, so entries of several writers stand behind each other whole. The file is never made: a balancer that watches it
has one, and a new file under a mistyped name would be watched by nobody.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lbjwt.auth.revocation import Change, RevocationError, RevocationList, Undo
from lbjwt.auth.revocation_format import line_of, read_lines
from lbjwt.revocation.watched import MAX_FILE

ATTEMPTS: Final = 5
"""Tries when the file is replaced under us: an editor saves once, a fifth replacement in a row is a program gone wild."""


def append_entries(path: Path, changes: Sequence[Change]) -> bool:
    """
    Add changes to a file and return when they are on disk, in the file that stands under its name.

    Returns:
        False when nothing was written: every change is an undo of what the file does not say.

    Raises:
        RevocationError: There is no such file, it cannot be written, or it has a line because of which balancers take nothing new from it.
    """
    try:
        for _ in range(ATTEMPTS):
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                written = _append(path, descriptor, changes)
                # an editor that saved by rename meanwhile has left us with the file it replaced
                if os.path.samestat(path.stat(), os.fstat(descriptor)):
                    return written
            finally:
                os.close(descriptor)
    except FileNotFoundError:
        raise RevocationError(f"{path} does not exist; create it as an empty file first") from None
    except OSError as error:
        raise RevocationError(f"{path} cannot be written: {error.strerror}") from None
    raise RevocationError(f"{path} keeps being replaced, so lbjwt cannot tell whether the entry was written")


def _append(path: Path, descriptor: int, changes: Sequence[Change]) -> bool:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE:
        raise RevocationError(f"{path} is not a regular file of at most {MAX_FILE} bytes")
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
    if text and not text.endswith(b"\n"):  # edited by hand; an empty line too many says nothing
        lines = b"\n" + lines
    if os.write(descriptor, lines) != len(lines):
        raise RevocationError(f"{path}: the disk is full; free some space, then correct the last line of the file")
    os.fsync(descriptor)
    return True
