"""
The last good key set of a remote source as a file: the copy for a cold start.

A file is replaced as a whole or not at all, and believed only when nobody else could have written it: what stands in it decides who may sign
tokens.
"""

import contextlib
import math
import os
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from lbjwt.keys.errors import StoreError
from lbjwt.keys.schedule import ShelfLife

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class StoredKeySet:
    """A key set and what is known about it. Times: seconds since the epoch."""

    place: str
    """Which source it is of, see `identity_of`; another source must not use it."""
    fetched_at: float
    good_until: float
    document: str = field(repr=False)
    etag: str | None = None

    def encoded(self) -> bytes:
        return orjson.dumps({"format": FORMAT, **asdict(self)})

    def shelf_life(self, now: float, wall: float, max_stale: float) -> ShelfLife | None:
        """How long it may be believed: `max_stale` seconds after it was fetched, or until `good_until`. None: too old, or from the future."""
        return ShelfLife.of(now, wall, self.fetched_at, min(self.good_until - self.fetched_at, max_stale))


def decoded(text: bytes) -> StoredKeySet | None:
    """Return what `StoredKeySet.encoded` made the text of; None when it is something else."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return None
    place, document, etag = found.get("place"), found.get("document"), found.get("etag")
    fetched_at, good_until = _time(found.get("fetched_at")), _time(found.get("good_until"))
    if not isinstance(place, str) or not isinstance(document, str) or not isinstance(etag, str | None):
        return None
    if fetched_at is None or good_until is None:
        return None
    return StoredKeySet(place, fetched_at, good_until, document, etag)


def room_for(document: int) -> int:
    """Greatest length in bytes of an encoded key set whose document is that long: JSON within JSON, where each character may need an escape."""
    return 2 * document + 8192


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
        _sync_directory(path.parent)  # the rename survives a power cut
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


def _time(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and math.isfinite(value) else None


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)  # a FIFO would hang


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
