"""
When to fetch an issuer's keys, and how long to believe them. No sockets, no clock, no asyncio, no chance: times and draws come in, decisions go out.

Two facts make the state: whether there are keys, and whether an attempt is under way.

| event | no keys, idle | no keys, attempt | keys, idle | keys, attempt |
| --- | --- | --- | --- | --- |
| `begin` (it is due) | attempt | error | attempt | error |
| `unknown_kid` | attempt, unless cooling down | that one will tell | attempt, unless cooling down | that one will tell |
| `succeeded` | error | keys; due in a period | error | due in a period |
| `failed` | error | due in 0.4 … 0.8 s, for ever | error | due in 1, 2, 4 … s, at most the interval |
| `abandoned` | error | idle, due as before | error | idle, due as before |
| `restored` (disk copy) | keys; due as before: at once | error | error | error |
| `withdraw` (past `max_stale`) | nothing | nothing | no keys; due at once | no keys |

Failure never takes keys away, time does, and only `max_stale` after the last success. A *period* is what the response says it is good for, between
floor and ceiling; `interval` when it says nothing. All delays but the one without keys are a tenth longer or shorter by chance, so that many
balancers do not ask an issuer in step. An *error* is a RuntimeError: the caller lost count of its attempts.
"""

import enum
import math
from dataclasses import dataclass, field
from typing import Final

INTERVAL: Final = 300.0
"""Seconds between two fetches when the response does not say how long it is fresh."""

FLOOR: Final = 60.0
"""Least seconds between two, whatever the response says: `max-age=0` must not make a flood."""

CEILING: Final = 3600.0
"""Most seconds between two, whatever the response says: so long does a withdrawn key work."""

COOLDOWN: Final = 10.0
"""Seconds after the end of any attempt in which unknown key ids start no other, however many there are and whatever they are called."""

MAX_STALE: Final = 86_400.0
"""Seconds for which keys are valid after the last success: an outage of a day logs nobody out, a lost issuer does not rule for ever."""

JITTER: Final = 0.1
FIRST_KEYS: Final = 0.8
"""Most seconds from a failure to the next attempt while there are no keys: serving begins within 1 s of the issuer's return, the fetch included."""

FIRST_RETRY: Final = 1.0
"""Seconds from the first failure to the next attempt; doubled with every further failure."""

CLOCK_STEP: Final = 7260.0
"""Seconds by which the wall clock may be set while a document is held without making it older: from an hour behind to an hour ahead
(daylight-saving mistakes are one hour), and a minute, so that the very step is within it."""


class KeyState(enum.StrEnum):
    """Of a source, for people and the admin status."""

    NONE = "none"
    FRESH = "fresh"
    STALE = "stale"
    """The last attempt failed, or the next one is overdue; the keys are in force."""


@dataclass(frozen=True, slots=True)
class ShelfLife:
    """
    How long a document may be believed, told by two clocks.

    The steady clock counts; the wall clock, which people and protocols set, is believed over it only when it is `CLOCK_STEP` ahead, as it is
    after a suspended machine wakes. Setting the clock by an hour makes no document older and none younger.
    """

    fetched_at: float
    """Wall clock, seconds since the epoch."""
    since: float
    """Monotonic time at which the age was 0."""
    limit: float
    """Greatest age in seconds."""

    @classmethod
    def of(cls, now: float, wall: float, fetched_at: float, limit: float) -> "ShelfLife | None":
        """Of a document that was fetched then, perhaps by another process; None when its time is over or it comes from the future."""
        age = wall - fetched_at
        if not -CLOCK_STEP <= age < limit:  # also false for what is no number
            return None
        return cls(fetched_at, now - max(0.0, age), limit)

    def left(self, now: float, wall: float) -> float:
        """Seconds for which it may still be believed; 0 or less when it may not."""
        age = now - self.since
        elapsed = wall - self.fetched_at
        return self.limit - (elapsed if elapsed > age + CLOCK_STEP else age)


@dataclass(slots=True)
class KeyLifecycle:
    """
    The life of the keys of one remote source. `now`: monotonic seconds; `wall`: seconds since the epoch; `draw`: a random number in [0, 1).

    Raises:
        ValueError: Times that make no sense together.
    """

    interval: float = INTERVAL
    floor: float = FLOOR
    ceiling: float = CEILING
    cooldown: float = COOLDOWN
    max_stale: float = MAX_STALE

    due: float = field(default=-math.inf, init=False)
    """The time of the next attempt; the first is due at once."""
    failures: int = field(default=0, init=False)
    """Attempts that failed since the last success."""
    under_way: bool = field(default=False, init=False)
    """An attempt was begun and has not ended."""
    shelf_life: ShelfLife | None = field(default=None, init=False)
    """Of the keys in force; None without any."""
    _period: float = field(default=0.0, init=False)
    _ended: float = field(default=-math.inf, init=False)  # end of the last attempt

    def __post_init__(self) -> None:
        if not 0 < self.floor <= self.interval <= self.ceiling < math.inf:
            raise ValueError("the times must satisfy 0 < floor <= interval <= ceiling")
        if not (0 <= self.cooldown < math.inf and 0 < self.max_stale < math.inf):
            raise ValueError("cooldown and max_stale must be finite")
        self._period = self._bounded(None)

    @property
    def has_keys(self) -> bool:
        return self.shelf_life is not None

    def state(self, now: float) -> KeyState:
        if self.shelf_life is None:
            return KeyState.NONE
        return KeyState.STALE if self.failures or now > self.due + JITTER * self._period else KeyState.FRESH

    def wants_fetch(self, now: float) -> bool:
        """True when the caller should `begin` an attempt."""
        return not self.under_way and now >= self.due

    def wait(self, now: float, wall: float) -> float:
        """Seconds until an attempt is to be begun or keys to be withdrawn: 0 when that is now, infinite when only the end of an attempt will tell."""
        fetch = math.inf if self.under_way else self.due - now
        stale = math.inf if self.shelf_life is None else self.shelf_life.left(now, wall)
        return max(0.0, min(fetch, stale))

    def begin(self) -> None:
        """An attempt starts because it is due."""
        self._expect(under_way=False)
        self.under_way = True

    def unknown_kid(self, now: float) -> bool:
        """
        A token named a key that nobody knows. True when an attempt starts for it, which the caller then makes.

        Nothing is remembered about the key id: one that is tried after the keys were fetched is known or not, and one that is tried
        during a failure must not suffer for it. What random key ids cannot beat is the clock (THREATS B4).
        """
        if self.under_way or now < self.not_before(now):
            return False
        self.under_way = True
        return True

    def not_before(self, now: float) -> float:
        """
        The monotonic time before which an unknown key id is not worth waiting for: it starts no attempt and finds none under way.

        While an attempt is under way that is now: the attempt will tell.
        """
        return now if self.under_way else self._ended + self.cooldown

    def succeeded(self, now: float, wall: float, draw: float, *, max_age: float | None = None) -> None:
        """The attempt brought keys, or word that they are unchanged, and the response is fresh for `max_age` seconds; None: it does not say."""
        self._end(now)
        self.failures = 0
        self.shelf_life = ShelfLife(wall, now, self.max_stale)
        self._period = self._bounded(max_age)
        self.due = now + self._period * _jittered(draw)

    def failed(self, now: float, draw: float) -> None:
        """The attempt brought nothing usable; the keys in force stay."""
        self._end(now)
        self.failures += 1
        if self.shelf_life is None:
            self.due = now + FIRST_KEYS * (0.5 + draw / 2)
            return
        delay = FIRST_RETRY * 2.0 ** min(self.failures - 1, 16)
        self.due = now + min(delay, self.interval, self._period) * _jittered(draw)

    def abandoned(self, now: float) -> None:
        """The attempt was given up before it could succeed or fail."""
        self._end(now)

    def restored(self, shelf_life: ShelfLife) -> None:
        """Keys of a copy on disk are in force. RuntimeError when there are keys already: a copy never replaces what was fetched."""
        self._expect(under_way=False)
        if self.shelf_life is not None:
            raise RuntimeError("there are keys already")
        self.shelf_life = shelf_life

    def withdraw(self, now: float, wall: float) -> bool:
        """True, once, when the keys are too old to be believed and are out of force from now on."""
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
        """Keys are asked for at least twice before they would be withdrawn, whatever else was configured."""
        period = self.interval if max_age is None else min(max(max_age, self.floor), self.ceiling)
        return min(period, self.max_stale / 2)


def _jittered(draw: float) -> float:
    return 1 - JITTER + 2 * JITTER * draw
