"""
When a worker slot may fork again. No processes, no clock: time comes in, a decision goes out.

A worker that served and died is replaced at once. One that dies before it was ever ready is given growing rest, because what killed it is
most likely still there: 1, 2, 4 … 30 s. Two forks of one slot are never less than a second apart, so nothing can turn the supervisor into
a fork bomb.
"""

from dataclasses import dataclass
from typing import Final

LEAST: Final = 1.0
"""Seconds between two forks of one slot, whatever happened."""

MOST: Final = 30.0
"""Longest rest of a slot whose workers die at start, in seconds."""


@dataclass(slots=True)
class RestartSchedule:
    """The forks of one slot. Times: seconds on the monotonic clock."""

    due: float = 0.0
    """Time of the next fork while nobody lives in the slot."""
    failures: int = 0
    """Workers in a row that died before they were ready."""
    forked_at: float = float("-inf")

    def died(self, now: float, *, was_ready: bool) -> None:
        """The worker ended without being told to. `was_ready`: it had served."""
        self.failures = 0 if was_ready else self.failures + 1
        rest = 0.0 if was_ready else min(LEAST * 2.0 ** min(self.failures - 1, 16), MOST)
        self.due = max(now + rest, self.forked_at + LEAST)
