"""
The way from the process that fetches to those that verify when the disk takes nothing more: a file in memory beside the stored one.

A withdrawn key must die in every worker also while the state directory is full or read-only. So a document that could not be stored is written to a
directory in memory that belongs to the same user, and is gone there as soon as storing works again. Knows where; what a file holds and who may have
written it is judged by `store`.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from lbjwt.jwks import store
from lbjwt.jwks.errors import StoreError
from lbjwt.jwks.store import Envelope

__all__ = ["newest", "put", "spare_of", "withdraw"]

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the directory below it is ours alone, or not used


def spare_of(path: Path) -> Path:
    """Where the document of a stored file is when it could not be stored: a name that no other stored file has."""
    name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]
    return MEMORY / f"lbjwt-{os.geteuid()}" / f"{name}.json"


def put(path: Path, envelope: Envelope) -> None:
    """
    Write the spare of a stored file.

    Raises:
        StoreError: There is no directory in memory, or it is not ours alone.
    """
    spare = spare_of(path)
    try:
        with contextlib.suppress(FileExistsError):
            spare.parent.mkdir(mode=0o700)
        status = spare.parent.lstat()
    except OSError as error:
        raise StoreError(f"cannot write {spare}: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise StoreError(f"{spare.parent} is not used: it is not ours alone")
    store.write(spare, envelope)


def withdraw(path: Path) -> None:
    """The stored file is the newest again."""
    with contextlib.suppress(OSError):
        spare_of(path).unlink()


def newest(paths: Iterable[Path], *, max_bytes: int) -> Envelope | None:
    """
    The document that was fetched last, stored or spare; None when there is neither.

    Raises:
        StoreError: As `store.read`, of the one that is there when the other is not.
    """
    found: list[Envelope] = []
    problems: list[StoreError] = []
    for path in paths:
        try:
            envelope = store.read(path, max_bytes=max_bytes)
        except StoreError as error:
            problems.append(error)
        else:
            if envelope is not None:
                found.append(envelope)
    if not found and problems:
        raise problems[0]
    return max(found, key=lambda envelope: envelope.fetched_at, default=None)
