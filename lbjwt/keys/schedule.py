"""
When to fetch an issuer's keys, and how long they are valid. No I/O, no clock, no randomness: callers pass times and random numbers.

The state has two parts: whether there are keys, and whether an attempt is under way.

| event | no keys, idle | no keys, attempt | keys, idle | keys, attempt |
| --- | --- | --- | --- | --- |
| `begin` (it is due) | attempt | error | attempt | error |
| `unknown_kid` | attempt, unless cooling down | that one will tell | attempt, unless cooling down | that one will tell |
| `succeeded` | error | keys; due in a period | error | due in a period |
| `failed` | error | due in 0.4 … 0.8 s, for ever | error | due in 1, 2, 4 … s, at most the interval |
| `abandoned` | error | idle, due as before | error | idle, due as before |
| `restored` (disk copy) | keys; due as before: at once | error | error | error |
| `withdraw` (past `max_stale`) | nothing | nothing | no keys; due at once | no keys |

A failure never removes keys; they are withdrawn `max_stale` after the last success. A *period* is the freshness time of the response, between floor
and ceiling, or `interval` if the response has none. All delays except those without keys vary by a random tenth, so that many balancers do not fetch
at the same time. An *error* is a RuntimeError.
"""

import math
from dataclasses import dataclass, field
from typing import Final

INTERVAL: Final = 300.0
"""Seconds between two fetches if the response has no freshness time."""

FLOOR: Final = 60.0
"""Least seconds between two fetches, also after `max-age=0`."""

CEILING: Final = 3600.0
"""Most seconds between two fetches: a key that the issuer withdrew works this long."""

COOLDOWN: Final = 10.0
"""Seconds after the end of an attempt in which unknown key ids start no other."""

MAX_STALE: Final = 86_400.0
"""Seconds for which keys are valid after the last success: long enough for an outage of a day."""

JITTER: Final = 0.1
FIRST_KEYS: Final = 0.8
"""Most seconds from a failure to the next attempt without keys: serving begins within 1 s of the issuer's return."""

FIRST_RETRY: Final = 1.0
"""Seconds from the first failure to the next attempt; doubles with each failure."""

CLOCK_STEP: Final = 7260.0
"""Seconds by which the wall clock may be set without making a document older: an hour behind to an hour ahead (daylight-saving mistakes are one
hour), and a minute of tolerance."""


@dataclass(frozen=True, slots=True)
class ShelfLife:
    """
    How long a document is valid, by two clocks.

    The monotonic clock counts. The wall clock, which may be set, counts only if it is more than `CLOCK_STEP` ahead, as after a suspend. Setting the
    clock by an hour changes no age.
    """

    fetched_at: float
    """Wall clock, seconds since the epoch."""
    since: float
    """Monotonic time at which the age was 0."""
    limit: float
    """Greatest age in seconds."""

    @classmethod
    def of(cls, now: float, wall: float, fetched_at: float, limit: float) -> "ShelfLife | None":
        """Of a document that was fetched at `fetched_at`, perhaps by another process; None if it is too old or from the future."""
        age = wall - fetched_at
        if not -CLOCK_STEP <= age < limit:  # also false for NaN
            return None
        return cls(fetched_at, now - max(0.0, age), limit)

    def left(self, now: float, wall: float) -> float:
        """Seconds until the document is too old; 0 or less when it is."""
        age = now - self.since
        elapsed = wall - self.fetched_at
        return self.limit - (elapsed if elapsed > age + CLOCK_STEP else age)


@dataclass(slots=True)
class KeyLifecycle:
    """
    The life of the keys of one remote source. `now`: monotonic seconds; `wall`: seconds since the epoch; `draw`: a random number in [0, 1).

    The configuration ensures 0 < floor <= interval <= ceiling.
    """

    interval: float = INTERVAL
    floor: float = FLOOR
    ceiling: float = CEILING
    cooldown: float = COOLDOWN
    max_stale: float = MAX_STALE

    due: float = field(default=-math.inf, init=False)
    """The time of the next attempt."""
    failures: int = field(default=0, init=False)
    """Attempts that failed since the last success."""
    under_way: bool = field(default=False, init=False)
    shelf_life: ShelfLife | None = field(default=None, init=False)
    """Of the keys in force; None without any."""
    _period: float = field(default=0.0, init=False)
    _ended: float = field(default=-math.inf, init=False)  # end of the last attempt

    def __post_init__(self) -> None:
        self._period = self._bounded(None)

    @property
    def has_keys(self) -> bool:
        return self.shelf_life is not None

    @property
    def latest(self) -> float:
        """Seconds from a success after which the next attempt has been due, whatever the response said."""
        return self.ceiling * _jittered(1.0)

    def state(self, now: float) -> str:
        """For the admin status; "stale" keys are in force, but the last attempt failed or the next one is overdue."""
        if self.shelf_life is None:
            return "none"
        return "stale" if self.failures or now > self.due + JITTER * self._period else "fresh"

    def wants_fetch(self, now: float) -> bool:
        return not self.under_way and now >= self.due

    def wait(self, now: float, wall: float) -> float:
        """Seconds until an attempt or a withdrawal is due; infinite without keys while an attempt is under way."""
        fetch = math.inf if self.under_way else self.due - now
        stale = math.inf if self.shelf_life is None else self.shelf_life.left(now, wall)
        return max(0.0, min(fetch, stale))

    def begin(self) -> None:
        self._expect(under_way=False)
        self.under_way = True

    def unknown_kid(self, now: float) -> bool:
        """
        A token has an unknown key id. True when an attempt starts for it, which the caller then makes.

        The key id itself is not remembered; the cooldown limits the fetches that random key ids can cause (THREATS B4).
        """
        if self.under_way or now < self.not_before(now):
            return False
        self.under_way = True
        return True

    def not_before(self, now: float) -> float:
        """
        The monotonic time before which an unknown key id starts no attempt, so that its request need not wait; now while one is under way.
        """
        return now if self.under_way else self._ended + self.cooldown

    def succeeded(
        self, now: float, wall: float, draw: float, *, max_age: float | None = None, answers_request: bool = True
    ) -> None:
        """
        The attempt brought keys or confirmed them.

        Args:
            max_age: Seconds for which the response is fresh; None if it does not say.
            answers_request: False if it would not have brought a key with an unknown id: then no cooldown begins.
        """
        ended = self._ended
        self._end(now)
        if not answers_request:
            self._ended = ended
        self.failures = 0
        self.shelf_life = ShelfLife(wall, now, self.max_stale)
        self._period = self._bounded(max_age)
        self.due = now + self._period * _jittered(draw)

    def failed(self, now: float, draw: float) -> None:
        """The attempt failed; the keys in force stay."""
        self._end(now)
        self.failures += 1
        if self.shelf_life is None:
            self.due = now + FIRST_KEYS * (0.5 + draw / 2)
            return
        delay = FIRST_RETRY * 2.0 ** min(self.failures - 1, 16)
        self.due = now + min(delay, self.interval, self._period) * _jittered(draw)

    def abandoned(self, now: float) -> None:
        """The attempt was given up."""
        self._end(now)

    def restored(self, shelf_life: ShelfLife) -> None:
        """Stored keys are in force. RuntimeError if there are keys already: a stored copy never replaces fetched keys."""
        self._expect(under_way=False)
        if self.shelf_life is not None:
            raise RuntimeError("there are keys already")
        self.shelf_life = shelf_life

    def withdraw(self, now: float, wall: float) -> bool:
        """Withdraw the keys if they are too old; true if so."""
        if self.shelf_life is None or self.shelf_life.left(now, wall) > 0:
            return False
        self.shelf_life = None
        self.due = min(self.due, now)
        return True

    def _expect(self, *, under_way: bool) -> None:
        if self.under_way is not under_way:
            raise RuntimeError(f"an attempt is {'already' if self.under_way else 'not'} under way")

    def _end(self, now: float) -> None:
        self._expect(under_way=True)
        self.under_way = False
        self._ended = now

    def _bounded(self, max_age: float | None) -> float:
        """Bound the period so that keys are fetched at least twice before they would be withdrawn."""
        period = self.interval if max_age is None else min(max(max_age, self.floor), self.ceiling)
        return min(period, self.max_stale / 2)


def _jittered(draw: float) -> float:
    return 1 - JITTER + 2 * JITTER * draw
