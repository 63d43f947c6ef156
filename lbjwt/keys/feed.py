"""
Shared memory with the newest key set of each remote source: one process fetches and writes, all read.

Each source has two copies. `put` fills the one that is not current and then makes it current by writing one byte, so a writer that dies in between
leaves the old key set in place. No lock is needed: each copy has a digest, and a reader that two writes overtake sees a wrong digest and tries again
later.

The sources of the start are in memory that is made before the fork. Those that a reload adds are in a memory file (memfd_create(2)), one for each
reload: the supervisor passes its descriptor to the running processes, and later ones inherit the mapping. The size of the file is sealed, because a
process that reads behind the end of a file is killed.
"""

import contextlib
import fcntl
import hashlib
import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import orjson
from pydantic import FiniteFloat, TypeAdapter, ValidationError

from lbjwt.errors import ConfigurationError
from lbjwt.keys import requested
from lbjwt.keys.schedule import ShelfLife

_LENGTH: Final = struct.Struct("=Q")
_DIGEST: Final = hashlib.sha256().digest_size
_HEAD: Final = _DIGEST + _LENGTH.size

_NO_RESERVE: Final = 0x4000
"""MAP_NORESERVE of mmap(2): pages that are never written cost nothing."""
_NO_EXEC_SEAL: Final = 0x8
"""MFD_NOEXEC_SEAL of memfd_create(2), which `os` does not name: since Linux 6.3 an administrator may demand it (vm.memfd_noexec)."""
_SIZE_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


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
    """The newest key set of each remote source, by its number."""

    def __init__(self, longest: Mapping[int, int]) -> None:
        """
        Args:
            longest: By number of the source, the length in bytes of its longest document.

        Raises:
            ConfigurationError: The system does not give that much address space.
        """
        self._copies: dict[int, tuple[mmap.mmap, int, int]] = {}
        """Of each source its memory, where its two copies begin there, and the length of one. Memory without a source is given back."""
        self._map(longest, -1)

    def __contains__(self, source: int) -> bool:
        return source in self._copies

    def has_room(self, source: int, document: int) -> bool:
        """Whether a source is there, with room for a document of that many bytes."""
        return source in self._copies and self._copies[source][2] >= _room(document)

    def add(self, longest: Mapping[int, int]) -> int:
        """
        Make room for more sources, in the process that forks the others; one that is there already begins anew, empty.

        Args:
            longest: As at the start.

        Returns:
            A descriptor for `attach` in the processes that run already. The caller closes it; the room stays.

        Raises:
            ConfigurationError: The system does not give that much memory, or no descriptor for it.
        """
        try:
            fd = _memory_file()
        except OSError as error:
            raise ConfigurationError(f"no shared memory for the keys of new issuers: {error.strerror}") from None
        try:
            try:
                os.ftruncate(fd, _size(longest))
                fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SIZE_SEALS)
            except OSError as error:
                raise _too_large(longest, error) from None
            self._map(longest, fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def attach(self, longest: Mapping[int, int], fd: int) -> None:
        """
        Use what another process added. The descriptor may be closed afterwards.

        Args:
            longest: What `add` was given, in the same order.

        Raises:
            ValueError: The memory is not what `add` makes of this; reading it could kill the process.
            ConfigurationError: The system does not give that much address space.
        """
        try:
            sealed = fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SIZE_SEALS == _SIZE_SEALS
        except OSError:  # no memory file
            sealed = False
        if not sealed or os.fstat(fd).st_size != _size(longest):
            raise ValueError("this is not the memory of these key sources")
        self._map(longest, fd)

    def remove(self, source: int) -> None:
        """Forget a source, in this process; nothing happens when it is not there."""
        self._copies.pop(source, None)

    def _map(self, longest: Mapping[int, int], fd: int) -> None:
        kind = mmap.MAP_SHARED | _NO_RESERVE | (mmap.MAP_ANONYMOUS if fd < 0 else 0)
        try:
            memory = mmap.mmap(fd, _size(longest), kind)
        except OSError as error:
            raise _too_large(longest, error) from None
        end = 0
        for source, document in longest.items():
            room = _room(document)
            self._copies[source] = memory, end, room
            end += 1 + 2 * room + requested.SIZE

    def _current(self, source: int, other: int = 0) -> tuple[mmap.mmap, int, int]:
        """Memory, begin and end of the current copy, or with `other` 1 of the other copy."""
        memory, begin, room = self._copies[source]
        begin += 1 + room * (memory[begin] ^ other)
        return memory, begin, begin + room

    def put(self, source: int, stored: StoredKeySet) -> None:
        """Make a key set the newest of its source; ValueError if it is too long."""
        memory, begin, end = self._current(source, other=1)
        text = stored.encoded()
        framed = hashlib.sha256(text).digest() + _LENGTH.pack(len(text)) + text
        if len(framed) > end - begin:
            raise ValueError("the key set is too large for the shared memory of the key feed")
        memory[begin : begin + len(framed)] = framed
        memory[self._copies[source][1]] ^= 1

    def clear(self, source: int) -> None:
        """Take the key set of a source away, so that it does not come back when the source does."""
        memory, begin, _ = self._current(source, other=1)
        memory[begin : begin + _HEAD] = bytes(_HEAD)
        memory[self._copies[source][1]] ^= 1

    def request_keys(self, source: int, slot: int, kids: list[str]) -> None:
        """Tell the process that fetches which key ids tokens named. `slot`: number of the worker. See `keys.requested`."""
        memory, begin, room = self._copies[source]
        requested.put(memory, begin + 1 + 2 * room, slot, kids)

    def take_requested(self, source: int) -> list[str]:
        """Return the key ids that tokens named since the last call, in any worker."""
        memory, begin, room = self._copies[source]
        return list(requested.take(memory, begin + 1 + 2 * room))

    def version(self, source: int) -> bytes:
        """Return bytes that change when a key set is put, also the same one fetched again."""
        memory, begin, _ = self._current(source)
        return memory[begin : begin + _DIGEST]

    def get(self, source: int) -> StoredKeySet | None:
        """Return the newest key set; None if there is none, or if it was overwritten during the read."""
        memory, begin, end = self._current(source)
        (length,) = _LENGTH.unpack(memory[begin + _DIGEST : begin + _HEAD])
        text = memory[begin + _HEAD : min(begin + _HEAD + length, end)]
        if not text or hashlib.sha256(text).digest() != memory[begin : begin + _DIGEST]:
            return None
        return decoded(text)


def _room(document: int) -> int:
    return _HEAD + room_for(document)


def _size(longest: Mapping[int, int]) -> int:
    """Bytes for these sources: of each one the number of its current copy, two copies, and the key ids that workers request."""
    return max(1, sum(1 + 2 * _room(document) + requested.SIZE for document in longest.values()))


def _memory_file() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    with contextlib.suppress(OSError):  # an older kernel does not know the flag
        return os.memfd_create("lbjwt-keys", flags | _NO_EXEC_SEAL)
    return os.memfd_create("lbjwt-keys", flags)


def _too_large(longest: Mapping[int, int], error: OSError) -> ConfigurationError:
    mebibytes = _size(longest) / (1 << 20)
    return ConfigurationError(
        f"cannot map {mebibytes:.0f} MiB for {len(longest)} key sets ({error.strerror}); lower max_bytes, or list fewer tenants"
    )
