"""
Key ids that tokens named and nobody knows, on their way from the workers to the process that fetches keys.

Each worker has a place of its own in shared memory for each source, so no two write to one. A request that is lost, because it was overwritten or
read while it was written, costs its client one refusal: the next one with that key id requests it again.
"""

import struct
import zlib
from collections.abc import Iterator
from itertools import zip_longest
from typing import Final, Protocol

SLOTS: Final = 64
"""Places for workers; with more workers, some share one."""
AT_ONCE: Final = 8
"""Key ids that one worker keeps until they are read, the newest ones: that of the request that asks for a fetch is among them."""
LONGEST: Final = 128
"""Characters of a key id that may be requested, and so stand in a URL."""

_HEAD: Final = struct.Struct("=II")  # checksum and length of the text
_SLOT: Final = _HEAD.size + AT_ONCE * (LONGEST + 1)
SIZE: Final = SLOTS * _SLOT
"""Bytes for one source. Pages that are never written cost nothing."""


class Memory(Protocol):
    """Shared memory as `mmap` offers it."""

    def __getitem__(self, piece: slice, /) -> bytes: ...
    def __setitem__(self, piece: slice, value: bytes, /) -> None: ...


def put(memory: Memory, begin: int, slot: int, kids: list[str]) -> None:
    """Write the requests of one worker, at most `AT_ONCE`, into memory that begins there."""
    text = "\n".join(kids[:AT_ONCE]).encode("ascii")
    at = begin + slot % SLOTS * _SLOT
    memory[at : at + _HEAD.size + len(text)] = _HEAD.pack(zlib.crc32(text), len(text)) + text


def take(memory: Memory, begin: int) -> Iterator[str]:
    """Read and remove the requests of all workers: the newest of each, then the next of each, so that no worker takes the turns of the others."""
    found = list[list[str]]()
    for at in range(begin, begin + SIZE, _SLOT):
        checksum, length = _HEAD.unpack(memory[at : at + _HEAD.size])
        if not 0 < length <= _SLOT - _HEAD.size:
            continue
        text = memory[at + _HEAD.size : at + _HEAD.size + length]
        memory[at : at + _HEAD.size] = bytes(_HEAD.size)
        if zlib.crc32(text) == checksum:
            found.append(text.decode("ascii", "replace").split("\n"))
    for row in zip_longest(*found):
        yield from (kid for kid in row if kid is not None)


class RequestedKeys:
    """
    The key ids that one worker requests of one source.

    Args:
        send: Writes them where the process that fetches reads them.
    """

    def __init__(self, send: "Send") -> None:
        self._send = send
        self._kids: dict[str, None] = {}

    def add(self, kid: str) -> None:
        """A token named a key id that no key has."""
        if len(kid) > LONGEST or not kid.isascii():
            return
        self._kids.pop(kid, None)
        self._kids[kid] = None
        if len(self._kids) > AT_ONCE:
            del self._kids[next(iter(self._kids))]

    def tell(self) -> None:
        """Send what was added, the newest first; the next ones replace it."""
        if self._kids:
            self._send(list(self._kids)[::-1])
            self._kids.clear()


class Send(Protocol):
    """Writes the requests of a worker."""

    def __call__(self, kids: list[str], /) -> None: ...
