"""
How the processes of a service get the key sets that one of them fetches: memory made before the fork, with two copies for each remote source.

The control process writes, all read. `put` fills the copy that is not current and then makes it the current one by writing one byte, so a writer that
dies in the middle leaves the key set of before. No lock is needed: a digest stands beside each copy, and a reader that was overtaken by two
writes finds that the two disagree and looks again.
"""

import hashlib
import mmap
import struct
from collections.abc import Mapping
from typing import Final

from lbjwt.errors import ConfigurationError
from lbjwt.keys.store import StoredKeySet, decoded, room_for

_LENGTH: Final = struct.Struct("=Q")
_DIGEST: Final = hashlib.sha256().digest_size
_HEAD: Final = _DIGEST + _LENGTH.size

_NO_RESERVE: Final = 0x4000
"""MAP_NORESERVE of mmap(2), which `mmap` does not name: pages that are never written cost nothing, not even a promise."""


class KeyFeed:
    """The newest key set of each remote source."""

    def __init__(self, longest: Mapping[int, int]) -> None:
        """
        Args:
            longest: Of each source its number, and the length in bytes of its longest document.

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
        """Where the current copy begins and the room of one has its end; of the other one when `other` is 1."""
        begin, room = self._copies[source]
        begin += 1 + room * (self._memory[begin] ^ other)
        return begin, begin + room

    def put(self, source: int, stored: StoredKeySet) -> None:
        """Make a key set the newest of its source. ValueError when it is longer than its source may be."""
        begin, end = self._current(source, other=1)
        text = stored.encoded()
        framed = hashlib.sha256(text).digest() + _LENGTH.pack(len(text)) + text
        if len(framed) > end - begin:
            raise ValueError("the key set is too large for the shared memory of the key feed")
        self._memory[begin : begin + len(framed)] = framed
        self._memory[self._copies[source][0]] ^= 1

    def version(self, source: int) -> bytes:
        """Return what differs when another key set, or the same one fetched again, was put there; the same for all that were not put."""
        begin, _ = self._current(source)
        return self._memory[begin : begin + _DIGEST]

    def get(self, source: int) -> StoredKeySet | None:
        """Return the newest key set; None when there is none, or it was overwritten while it was read."""
        begin, end = self._current(source)
        (length,) = _LENGTH.unpack(self._memory[begin + _DIGEST : begin + _HEAD])
        text = self._memory[begin + _HEAD : min(begin + _HEAD + length, end)]
        if not text or hashlib.sha256(text).digest() != self._memory[begin : begin + _DIGEST]:
            return None
        return decoded(text)
