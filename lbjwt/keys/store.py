"""
The last good key set of a remote source as a file: the copy for a cold start.

A file is replaced as a whole or not at all, and believed only when nobody else could have written it: what stands in it decides who may sign
tokens.
"""

import os
from pathlib import Path

from lbjwt.files import file_fault, open_regular, write_whole
from lbjwt.keys.errors import StoreError
from lbjwt.keys.feed import StoredKeySet, decoded


def write(path: Path, stored: StoredKeySet) -> None:
    """
    Replace the file, see `lbjwt.files.write_whole`.

    Raises:
        StoreError: The disk is full, the directory is missing or not ours, and the like; the old file is still there.
    """
    try:
        write_whole(path, stored.encoded())
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from None


def read(path: Path, *, place: str, max_stale: float, max_bytes: int, wall: float) -> StoredKeySet | None:
    """
    Return the key set of a file, or None when there is no such file.

    Args:
        place: The source that it has to be of.
        max_bytes: Longest file that is read.
        wall: Seconds since the epoch.

    Raises:
        StoreError: It must not be used: somebody else could have written the file (its owner is neither we nor root, or group or others may
            write it), it is no regular file, too long, damaged, of another source, too old, or from the future.
    """
    try:
        descriptor, status = open_regular(path, os.O_RDONLY | os.O_NOFOLLOW)
        with open(descriptor, "rb") as file:
            if fault := file_fault(status):
                raise StoreError(f"{path} is not used: {fault}")
            text = file.read(max_bytes + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from None
    if len(text) > max_bytes:
        raise StoreError(f"{path} is not used: it is larger than {max_bytes} bytes")
    stored = decoded(text)
    if stored is None:
        raise StoreError(f"{path} is not used: it is damaged")
    if stored.place != place:
        raise StoreError(f"{path} is not used: it holds keys from another source")
    if stored.shelf_life(0.0, wall, max_stale) is None:
        raise StoreError(f"{path} is not used: its keys are too old, or from the future")
    return stored
