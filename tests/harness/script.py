"""
What a backend does with one connection, as data: a script is a list of steps, played in order by `backend.Connection`.

`whole` is the truth the ledger needs: whether what the script sends is one complete, correct response.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Send:
    """Write these bytes at once."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Drip:
    """Write these bytes in pieces of `size`, with `gap` seconds between them."""

    data: bytes
    size: int = 1
    gap: float = 0.0


@dataclass(frozen=True, slots=True)
class Stream:
    """Write `size` bytes of the pattern under back-pressure, as chunks when `chunked`."""

    size: int
    chunked: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Idle:
    """The response is over; go on after `seconds`, but only if no further request came on the connection meanwhile."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Stray:
    """
    Write bytes on the idle connection, unless a request is already waiting to be read.

    A request that crosses them on the wire cannot be told from one they answer, by any proxy: it is recorded as `crossed`.
    """

    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection in the ordinary way."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Abort the connection: the peer sees RST."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Echo every further byte until the peer ends."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Never answer; the connection stays open until the peer ends it."""


Step = Send | Drip | Stream | Wait | Idle | Stray | Close | Reset | Tunnel | Hang


@dataclass(frozen=True, slots=True)
class Script:
    """The behaviour of a backend towards one request."""

    steps: tuple[Step, ...] = field(default=())
    at_head: bool = False  # start when the head is there, without waiting for the body
    whole: bool = True  # what is sent is one complete, correct response


PATTERN = bytes(range(32, 127)) * 700  # 66,500 bytes that are no two neighbours alike


def pattern(size: int) -> bytes:
    """The first `size` bytes of the body every streaming backend sends."""
    return (PATTERN * (size // len(PATTERN) + 1))[:size]
