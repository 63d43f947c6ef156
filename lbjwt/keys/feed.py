"""
How the processes of a service get the key sets that one of them fetches: memory made before the fork, with a room for each remote source.

The process that fetches writes, all read. No lock is needed: beside a key set stands its digest, and a reader that meets one half-written finds
that they disagree and looks again. What was put there outlives the process that wrote it, so one that is replaced goes on from there.
"""

import hashlib
import mmap
import struct
from collections.abc import Mapping
from typing import Final

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
        """
        self._rooms: dict[int, tuple[int, int]] = {}
        end = 0
        for source, document in longest.items():
            begin, end = end, end + _HEAD + room_for(document)
            self._rooms[source] = begin, end
        self._memory = mmap.mmap(-1, max(end, 1), mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | _NO_RESERVE)

    def put(self, source: int, stored: StoredKeySet) -> None:
        """Make a key set the newest of its source. ValueError when it is longer than its source may be."""
        begin, end = self._rooms[source]
        text = stored.encoded()
        if _HEAD + len(text) > end - begin:
            raise ValueError("the key set has no room in the feed")
        framed = hashlib.sha256(text).digest() + _LENGTH.pack(len(text)) + text
        self._memory[begin : begin + len(framed)] = framed

    def version(self, source: int) -> bytes:
        """Return what differs when another key set, or the same one fetched again, was put there; the same for all that were not put."""
        begin, _ = self._rooms[source]
        return self._memory[begin : begin + _DIGEST]

    def get(self, source: int) -> StoredKeySet | None:
        """Return the newest key set; None when there is none, or it is being written at this moment."""
        begin, end = self._rooms[source]
        (length,) = _LENGTH.unpack(self._memory[begin + _DIGEST : begin + _HEAD])
        text = self._memory[begin + _HEAD : min(begin + _HEAD + length, end)]
        if not text or hashlib.sha256(text).digest() != self.version(source):
            return None
        return decoded(text)
