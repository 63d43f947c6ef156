"""
The last good key set of a remote source as a file: the copy for a cold start.

A file is replaced as a whole or not at all, and believed only when nobody else could have written it: what stands in it decides who may sign
tokens.
"""

import contextlib
import os
from pathlib import Path

from lbjwt.files import file_fault, open_regular, sync_directory
from lbjwt.keys.errors import StoreError
from lbjwt.keys.feed import StoredKeySet, decoded


def write(path: Path, stored: StoredKeySet) -> None:
    """
    Replace the file, mode 0600. After a crash at any moment the old file or the new one stands there, whole.

    There is one writer at a time: a file it left half-written is thrown away by the next.

    Raises:
        StoreError: The disk is full, the directory is missing or not ours, and the like; the old file is still there.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with open(handle, "wb") as file:
                file.write(stored.encoded())
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
        sync_directory(path.parent)
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
