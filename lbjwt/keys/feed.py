"""
Shared memory with the newest key set of each remote source, made before the fork: one process fetches and writes, all read.

Each source has two copies. `put` fills the one that is not current and then makes it current by writing one byte, so a writer that dies in between
leaves the old key set in place. No lock is needed: each copy has a digest, and a reader that two writes overtake sees a wrong digest and tries again
later.
"""

import hashlib
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import orjson
from pydantic import FiniteFloat, TypeAdapter, ValidationError

from lbjwt.errors import ConfigurationError
from lbjwt.keys.schedule import ShelfLife

_LENGTH: Final = struct.Struct("=Q")
_DIGEST: Final = hashlib.sha256().digest_size
_HEAD: Final = _DIGEST + _LENGTH.size

_NO_RESERVE: Final = 0x4000
"""MAP_NORESERVE of mmap(2): pages that are never written cost nothing."""


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
        """How long it may be believed: `max_stale` seconds after it was fetched, or until `good_until`. None: too old, or from the future."""
        return ShelfLife.of(now, wall, self.fetched_at, min(self.good_until - self.fetched_at, max_stale))


_STORED: Final = TypeAdapter(StoredKeySet)


def decoded(text: bytes) -> StoredKeySet | None:
    """Read the text of `StoredKeySet.encoded`; None for any other text."""
    try:
        return _STORED.validate_json(text, strict=True)
    except ValidationError:
        return None


def room_for(document: int) -> int:
    """Greatest length in bytes of an encoded key set whose document is that long: JSON within JSON, where each character may need an escape."""
    return 2 * document + 8192


class KeyFeed:
    def __init__(self, longest: Mapping[int, int]) -> None:
        """
        Args:
            longest: By number of the source, the length in bytes of its longest document.

        Raises:
            ConfigurationError: The system does not give that much address space.
        """
        self._copies: dict[int, tuple[int, int]] = {}
        end = 0
        for source, document in longest.items():
            room = _HEAD + room_for(document)
            self._copies[source] = end, room
            end += 1 + 2 * room
        try:
            self._memory = mmap.mmap(-1, max(end, 1), mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | _NO_RESERVE)
        except OSError as error:
            mebibytes = end / (1 << 20)
            raise ConfigurationError(
                f"cannot map {mebibytes:.0f} MiB for {len(longest)} key sets ({error.strerror}); lower max_bytes, or list fewer tenants"
            ) from None

    def _current(self, source: int, other: int = 0) -> tuple[int, int]:
        """Begin and end of the current copy, or with `other` 1 of the other copy."""
        begin, room = self._copies[source]
        begin += 1 + room * (self._memory[begin] ^ other)
        return begin, begin + room

    def put(self, source: int, stored: StoredKeySet) -> None:
        """Make a key set the newest of its source; ValueError if it is too long."""
        begin, end = self._current(source, other=1)
        text = stored.encoded()
        framed = hashlib.sha256(text).digest() + _LENGTH.pack(len(text)) + text
        if len(framed) > end - begin:
            raise ValueError("the key set is too large for the shared memory of the key feed")
        self._memory[begin : begin + len(framed)] = framed
        self._memory[self._copies[source][0]] ^= 1

    def version(self, source: int) -> bytes:
        """Return bytes that change when a key set is put, also the same one fetched again."""
        begin, _ = self._current(source)
        return self._memory[begin : begin + _DIGEST]

    def get(self, source: int) -> StoredKeySet | None:
        """Return the newest key set; None if there is none, or if it was overwritten during the read."""
        begin, end = self._current(source)
        (length,) = _LENGTH.unpack(self._memory[begin + _DIGEST : begin + _HEAD])
        text = self._memory[begin + _HEAD : min(begin + _HEAD + length, end)]
        if not text or hashlib.sha256(text).digest() != self._memory[begin : begin + _DIGEST]:
            return None
        return decoded(text)
