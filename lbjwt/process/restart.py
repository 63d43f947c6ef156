"""
When a worker slot may fork again.

A worker that was ready and died is replaced at once. After workers that died before they were ready, the slot waits 1, 2, 4 … 30 s, because the
cause probably persists. Two forks of a slot are at least a second apart, so the supervisor cannot become a fork bomb.
"""

from dataclasses import dataclass
from typing import Final

LEAST: Final = 1.0
"""Seconds between two forks of one slot."""

MOST: Final = 30.0
"""Longest wait of a slot whose workers die at start, in seconds."""


@dataclass(slots=True)
class RestartSchedule:
    """The forks of one slot. Times: seconds on the monotonic clock."""

    due: float = 0.0
    """When the next process of the slot is forked; has no meaning while it has one."""
    failures: int = 0
    """Workers in a row that died before they were ready."""
    forked_at: float = float("-inf")

    def died(self, now: float, *, was_ready: bool) -> None:
        self.failures = 0 if was_ready else self.failures + 1
        rest = 0.0 if was_ready else min(LEAST * 2.0 ** min(self.failures - 1, 16), MOST)
        self.due = max(now + rest, self.forked_at + LEAST)
