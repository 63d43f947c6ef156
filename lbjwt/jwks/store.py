"""
The last good document of a remote source as a file: the copy for cold starts, and the way from the process that fetches to those that verify.

A file is replaced as a whole or not at all, and believed only when nobody else could have written it: what stands in it decides who may sign
tokens. `read` says what was fetched, from where and until when it is good, `believed` whether that may be used.
"""

import contextlib
import math
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from lbjwt.jwks.errors import StoreError
from lbjwt.jwks.lifecycle import ShelfLife

__all__ = ["MAX_BYTES", "Envelope", "believed", "read", "room_for", "write"]

FORMAT: Final = 1
MAX_BYTES: Final = 1024 * 1024
"""Longest file that is read unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A document and what is known about it. Times: seconds since the epoch."""

    place: str
    """Which source it is of, see `identity_of`; another source must not use it."""
    fetched_at: float
    good_until: float
    document: str = field(repr=False)
    etag: str | None = None


def room_for(document: int) -> int:
    """Longest file in bytes for documents up to that length: JSON within JSON, where each character may need an escape, and what is around it."""
    return 2 * document + 8192


def write(path: Path, envelope: Envelope) -> None:
    """
    Replace the file, mode 0600. After a crash at any moment the old file or the new one stands there, whole.

    There is one writer at a time: a file it left half-written is thrown away by the next.

    Raises:
        StoreError: The disk is full, the directory is missing or not ours, and the like; the old file is still there.
    """
    text = orjson.dumps(
        {
            "format": FORMAT,
            "place": envelope.place,
            "fetched_at": envelope.fetched_at,
            "good_until": envelope.good_until,
            "etag": envelope.etag,
            "document": envelope.document,
        }
    )
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with open(handle, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
        _sync_directory(path.parent)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from None


def read(path: Path, *, max_bytes: int = MAX_BYTES) -> Envelope | None:
    """
    Return what is stored, or None when there is no such file.

    Raises:
        StoreError: The file could have been written by somebody else (its owner is neither we nor root, or group or others may write it), is no
            regular file, is too long, or is not what `write` writes.
    """
    try:
        with open(path, "rb", opener=_open_no_link) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise StoreError(f"{path} is not used: it is no regular file")
            if status.st_uid not in (0, os.geteuid()):
                raise StoreError(f"{path} is not used: it belongs to another user")
            if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise StoreError(f"{path} is not used: others than its owner may write it")
            # what stands there: the limit would be allocated each time, for a file of a few hundred bytes
            text = file.read(min(status.st_size, max_bytes) + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from None
    if len(text) > max_bytes:
        raise StoreError(f"{path} is not used: it has more than {max_bytes} bytes")
    envelope = _envelope(text)
    if envelope is None:
        raise StoreError(f"{path} is not used: it is damaged")
    return envelope


def believed(path: Path, envelope: Envelope, *, place: str, max_stale: float, now: float, wall: float) -> ShelfLife:
    """
    How long the keys of a file may be used.

    Args:
        place: The source they have to be of.
        max_stale: Seconds for which a document is good after it was fetched; the envelope may say less.
        now: Monotonic time.
        wall: Seconds since the epoch.

    Raises:
        StoreError: Not at all: they are of another source, too old, or from the future.
    """
    if envelope.place != place:
        raise StoreError(f"{path} is not used: it holds keys from another place")
    limit = min(envelope.good_until - envelope.fetched_at, max_stale)
    shelf_life = ShelfLife.of(now, wall, envelope.fetched_at, limit)
    if shelf_life is None:
        raise StoreError(f"{path} is not used: its keys are too old, or from the future")
    return shelf_life


def _envelope(text: bytes) -> Envelope | None:
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
    return Envelope(place, fetched_at, good_until, document, etag)


def _time(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and math.isfinite(value) else None


def _open_no_link(path: str, flags: int) -> int:
    """Without waiting either: a FIFO would hang."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _sync_directory(directory: Path) -> None:
    """Make the rename survive a power cut."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
