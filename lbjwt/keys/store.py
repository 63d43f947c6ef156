"""
The last good key set of a remote source as a file, for a cold start.

A file is replaced as a whole or not at all. It is used only if nobody else could have written it, because its content decides who may sign tokens.
"""

import contextlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import orjson
from pydantic import FiniteFloat, TypeAdapter, ValidationError

from lbjwt.keys.errors import StoreError
from lbjwt.keys.schedule import ShelfLife


@dataclass(frozen=True, slots=True)
class StoredKeySet:
    """A key set and where it comes from. Times: seconds since the epoch."""

    place: str
    """The `identity_of` its source; another source must not use it."""
    fetched_at: FiniteFloat
    good_until: FiniteFloat
    document: str = field(repr=False)
    etag: str | None = None
    format: Literal[1] = 1

    def encoded(self) -> bytes:
        return orjson.dumps(self)

    def shelf_life(self, now: float, wall: float, max_stale: float) -> ShelfLife | None:
        """How long it is valid: `max_stale` seconds after it was fetched, at most until `good_until`. None: too old, or from the future."""
        return ShelfLife.of(now, wall, self.fetched_at, min(self.good_until - self.fetched_at, max_stale))


_STORED: Final = TypeAdapter(StoredKeySet)


def decoded(text: bytes) -> StoredKeySet | None:
    """Read the text of `StoredKeySet.encoded`; None for any other text."""
    try:
        return _STORED.validate_json(text, strict=True)
    except ValidationError:
        return None


def room_for(document: int) -> int:
    """Greatest length of an encoded key set with a document of that many bytes: within JSON, each character may need an escape."""
    return 2 * document + 8192


def write(path: Path, stored: StoredKeySet) -> None:
    """
    Replace the file, mode 0600. After a crash at any moment there is the old file or the new one, whole. Only one writer at a time.

    Raises:
        StoreError: It cannot be written; the old file is still there.
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
        _sync_directory(path.parent)  # the rename survives a power cut
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from None


def read(path: Path, *, place: str, max_stale: float, max_bytes: int, wall: float) -> StoredKeySet | None:
    """
    Return the key set of a file, or None if there is no file.

    Args:
        place: The `identity_of` its source.
        max_bytes: Longest file that is read.
        wall: Seconds since the epoch.

    Raises:
        StoreError: Somebody else could have written the file (its owner is neither we nor root, or group or others may write it), or it is not a
            regular file, too long, damaged, of another source, too old, or from the future.
    """
    try:
        with open(path, "rb", opener=_open_no_link) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise StoreError(f"{path} is not used: it is not a regular file")
            if status.st_uid not in (0, os.geteuid()):
                raise StoreError(f"{path} is not used: it belongs to another user")
            if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise StoreError(f"{path} is not used: others than its owner can write it")
            text = file.read(max_bytes + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from None
    if len(text) > max_bytes:
        raise StoreError(f"{path} is not used: it has more than {max_bytes} bytes")
    stored = decoded(text)
    if stored is None:
        raise StoreError(f"{path} is not used: it is damaged")
    if stored.place != place:
        raise StoreError(f"{path} is not used: it holds keys from another source")
    if stored.shelf_life(0.0, wall, max_stale) is None:
        raise StoreError(f"{path} is not used: its keys are too old, or from the future")
    return stored


def signature_of(target: Path | int) -> tuple[int, ...]:
    """
    Return numbers of a file, by name or descriptor, that change when another one stands there or it was written to.

    Raises:
        OSError: There is none.
    """
    status = os.stat(target)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)  # a FIFO would hang


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
