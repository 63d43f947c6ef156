"""
How the processes of a service get the key sets that one of them fetches: shared memory with two copies for each remote source.

The control process writes, all read. `put` fills the copy that is not current and then makes it the current one by writing one byte, so a writer that
dies in the middle leaves the key set of before. No lock is needed: a digest stands beside each copy, and a reader that was overtaken by two
writes finds that the two disagree and looks again.

The sources of the start lie in memory that is made before the fork. Those that a reload brings lie in a memory file (memfd_create(2)), one for each
reload: the supervisor hands its descriptor to the processes that run already, and forks the later ones with it. Its size is sealed, so that nobody
who has it can make another process fail by cutting it short.
"""

import contextlib
import fcntl
import hashlib
import mmap
import os
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
_NO_EXEC_SEAL: Final = 0x8
"""MFD_NOEXEC_SEAL of memfd_create(2), which `os` does not name: since Linux 6.3 an administrator may demand it (vm.memfd_noexec)."""
_SIZE_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class KeyFeed:
    """The newest key set of each remote source, by its number."""

    def __init__(self, longest: Mapping[int, int]) -> None:
        """
        Args:
            longest: Of each source its number, and the length in bytes of its longest document.

        Raises:
            ConfigurationError: The system does not give that much address space.
        """
        self._copies: dict[int, tuple[mmap.mmap, int, int]] = {}
        """Of each source its memory, where its two copies begin there, and the length of one. Memory without a source is given back."""
        self._map(longest, -1)

    def __contains__(self, source: int) -> bool:
        return source in self._copies

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
            end += 1 + 2 * room

    def _current(self, source: int, other: int = 0) -> tuple[mmap.mmap, int, int]:
        """Where the current copy begins and the room of one has its end; of the other one when `other` is 1."""
        memory, begin, room = self._copies[source]
        begin += 1 + room * (memory[begin] ^ other)
        return memory, begin, begin + room

    def put(self, source: int, stored: StoredKeySet) -> None:
        """Make a key set the newest of its source. ValueError when it is longer than its source may be."""
        memory, begin, end = self._current(source, other=1)
        text = stored.encoded()
        framed = hashlib.sha256(text).digest() + _LENGTH.pack(len(text)) + text
        if len(framed) > end - begin:
            raise ValueError("the key set has no room in the feed")
        memory[begin : begin + len(framed)] = framed
        memory[self._copies[source][1]] ^= 1

    def version(self, source: int) -> bytes:
        """Return what differs when another key set, or the same one fetched again, was put there; the same for all that were not put."""
        memory, begin, _ = self._current(source)
        return memory[begin : begin + _DIGEST]

    def get(self, source: int) -> StoredKeySet | None:
        """Return the newest key set; None when there is none, or it was overwritten while it was read."""
        memory, begin, end = self._current(source)
        (length,) = _LENGTH.unpack(memory[begin + _DIGEST : begin + _HEAD])
        text = memory[begin + _HEAD : min(begin + _HEAD + length, end)]
        if not text or hashlib.sha256(text).digest() != memory[begin : begin + _DIGEST]:
            return None
        return decoded(text)


def _room(document: int) -> int:
    return _HEAD + room_for(document)


def _size(longest: Mapping[int, int]) -> int:
    """Bytes for these sources: of each one the number of its current copy, and two copies."""
    return max(1, sum(1 + 2 * _room(document) for document in longest.values()))


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
