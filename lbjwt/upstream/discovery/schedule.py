"""
When each name is due to be resolved. Pure: the time is an argument.

| what happened | due again |
| --- | --- |
| it is new | at once |
| an answer | after its TTL, within the bounds of the name |
| a failure | after 1 s, 2 s, 4 s and so on up to `MAX_BACK_OFF`, never later than `max_ttl` |
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

FIRST_BACK_OFF: Final = 1.0
"""Seconds to the second try."""

MAX_BACK_OFF: Final = 30.0
"""Seconds between two tries at most: when the name server is back, lbjwt should notice soon."""

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds between which a name is resolved again."""

    min_ttl: float
    max_ttl: float

    def within(self, ttl: float) -> float:
        """The TTL as it is used."""
        return min(max(ttl, self.min_ttl), self.max_ttl)

    def tighter(self, other: "Bounds") -> "Bounds":
        """Those of two users of one name: each one's wish for freshness holds."""
        return Bounds(min(self.min_ttl, other.min_ttl), min(self.max_ttl, other.max_ttl))


@dataclass(slots=True)
class _Entry:
    bounds: Bounds
    due: float
    failures: int = 0
    busy: bool = False
    answered_at: float | None = None
    ttl: float = 0.0


class Schedule(Generic[Name]):
    """The names in use."""

    def __init__(self) -> None:
        self._entries: dict[Name, _Entry] = {}

    def use(self, names: Mapping[Name, Bounds], now: float) -> None:
        """These are the names from now on. A new one is due at once; one that stays is due when it was, or earlier by its new bounds."""
        for name in self._entries.keys() - names.keys():
            del self._entries[name]
        for name, bounds in names.items():
            entry = self._entries.get(name)
            if entry is None:
                self._entries[name] = _Entry(bounds, now)
                continue
            entry.bounds = bounds
            if entry.answered_at is not None and not entry.failures:
                entry.due = max(now, entry.answered_at + bounds.within(entry.ttl))

    def take_due(self, now: float) -> list[Name]:
        """Return the names that are due. Each one is not due again before `answered` or `failed`."""
        due = [name for name, entry in self._entries.items() if not entry.busy and entry.due <= now]
        for name in due:
            self._entries[name].busy = True
        return due

    def next(self) -> float:
        """Monotonic seconds at which a name is due next; infinity when none is."""
        return min((entry.due for entry in self._entries.values() if not entry.busy), default=float("inf"))

    def answered(self, name: Name, ttl: float, now: float) -> None:
        """The name was resolved; its records may be kept for `ttl` seconds."""
        if (entry := self._entries.get(name)) is not None:
            entry.busy, entry.failures, entry.answered_at, entry.ttl = False, 0, now, ttl
            entry.due = now + entry.bounds.within(ttl)

    def failed(self, name: Name, now: float) -> None:
        """The name could not be resolved."""
        if (entry := self._entries.get(name)) is not None:
            wait = min(FIRST_BACK_OFF * 2.0 ** min(entry.failures, 16), MAX_BACK_OFF, entry.bounds.max_ttl)
            entry.busy, entry.failures, entry.due = False, entry.failures + 1, now + wait
