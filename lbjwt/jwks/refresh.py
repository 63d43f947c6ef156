"""
When to read an issuer's keys again. No sockets, no clock, no asyncio: time comes in, a decision goes out.

| state | on success | on failure |
| --- | --- | --- |
| never had a key | due in one interval | due in 0.5 … 1 s, for ever: every request is being refused |
| has keys | due in one interval | due after 1, 2, 4, … s, never more than one interval |

Every time is shortened or lengthened by up to a tenth, so that many balancers do not ask an issuer in step. Failure never changes the keys in force.
"""

from dataclasses import dataclass
from typing import Final

__all__ = ["RefreshSchedule"]

JITTER: Final = 0.1
FIRST_RETRY: Final = 1.0
"""Seconds from the first failure to the next attempt; doubled with every further failure."""


@dataclass(slots=True)
class RefreshSchedule:
    """
    Freshness and back-off of one key source. All times: seconds on the monotonic clock.

    `draw` is a number in [0, 1) from whatever source of chance the caller likes.
    """

    interval: float
    due: float = 0.0
    """The time of the next attempt; the first is due at once."""
    failures: int = 0
    """Attempts that failed since the last success."""
    loaded: bool = False
    """A key set was in force at some time; it stays."""

    def wants_fetch(self, now: float) -> bool:
        """True when an attempt should start now."""
        return now >= self.due

    def wait(self, now: float) -> float:
        """Seconds until the next attempt, 0 when it is due."""
        return max(0.0, self.due - now)

    def succeeded(self, now: float, draw: float) -> None:
        """A key set was read and published."""
        self.loaded = True
        self.failures = 0
        self.due = now + self.interval * _jittered(draw)

    def failed(self, now: float, draw: float) -> None:
        """Nothing usable came; the keys in force stay."""
        self.failures += 1
        if not self.loaded:
            self.due = now + FIRST_RETRY * (0.5 + draw / 2)
            return
        delay = FIRST_RETRY * 2.0 ** min(self.failures - 1, 16)
        self.due = now + min(delay, self.interval) * _jittered(draw)


def _jittered(draw: float) -> float:
    return 1 - JITTER + 2 * JITTER * draw
