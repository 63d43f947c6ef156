"""
Revocations: tokens that are refused before they expire.

A token is identified by its claims (`jti`, `sub`, `iss`, `iat`) and by the key that signed it, never by its bytes: an ECDSA signature has two valid
spellings (THREATS D12). Entries expire.

| an entry names | and revokes |
| --- | --- |
| `jti` | the one token of that id |
| `sub` | all tokens of that subject; with `issued_before` those issued before that time |
| `kid` | all tokens signed by the key of that id |
| the issuer alone | with `issued_before`: all its tokens issued before that time |

The first three may be limited to one issuer. A token without `iat` counts as issued before any time. An `Undo` removes earlier entries.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

from lbjwt.errors import LbjwtError

MAX_ENTRIES = 1_000_000  # of one list; some 150 bytes each
MAX_TEXT = 1024  # characters of a jti, sub, kid or issuer: tokens of 8 KiB rarely have longer ones
GRACE = 3600.0  # seconds an entry is kept past its end, so that a clock that runs ahead for a while removes none (THREATS C6)
LATEST = 253_402_300_799  # the last second of the year 9999, since the epoch; a time in milliseconds is greater

Kind = Literal["jti", "sub", "kid", "issuer"]
# (issued before, expires) of all entries on one name; none covers another
Marks = tuple[tuple[float, float], ...]


class RevocationError(LbjwtError, ValueError):
    """An invalid revocation, or one that cannot be stored. The message quotes no value."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """
    One entry.

    Attributes:
        expires: Seconds since the epoch; no earlier than the tokens expire.
        issuer: The exact `iss` to which a jti, sub or kid is limited; None for any.
        issued_before: Seconds since the epoch; None for all tokens. For sub and issuer only; an issuer needs it.

    Raises:
        RevocationError: An invalid value.
    """

    kind: Kind
    value: str
    expires: float
    issuer: str | None = None
    issued_before: float | None = None

    def __post_init__(self) -> None:
        _check_text(self.value, self.kind)
        if self.issuer is not None:
            _check_text(self.issuer, "issuer")
        _check_time(self.expires, "expires")
        if self.issued_before is not None:
            _check_time(self.issued_before, "issued_before")
        if self.kind == "issuer":
            if self.issued_before is None:
                raise RevocationError(
                    'an entry for a whole issuer needs "issued_before"; to stop trusting the issuer, remove it from the configuration'
                )
            if self.issuer is not None:
                raise RevocationError("an entry for a whole issuer cannot be limited to another issuer")
        elif self.issued_before is not None and self.kind != "sub":
            # the holder of a key can put any date into a token, and a jti is one token
            raise RevocationError(f'"issued_before" cannot be used with a {self.kind}; leave it out')


@dataclass(frozen=True, slots=True)
class Undo:
    """
    Removes every earlier entry with the same kind, value and issuer, whatever its times.

    Raises:
        RevocationError: A value that no entry can have.
    """

    kind: Kind
    value: str
    issuer: str | None = None

    def __post_init__(self) -> None:
        _check_text(self.value, self.kind)
        if self.issuer is not None:
            _check_text(self.issuer, "issuer")


Change = Revocation | Undo


def _check_text(text: str, name: str) -> None:
    if not 0 < len(text) <= MAX_TEXT:
        raise RevocationError(f'"{name}" must be text of 1 to {MAX_TEXT} characters')
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise RevocationError(f'"{name}" is not valid Unicode: it contains half of a surrogate pair') from None
    elif text.startswith("eyJ") and text.count(".") == 2:
        raise RevocationError(
            f'"{name}" looks like a whole token; lbjwt stores no tokens, so give only the {name} of the token'
        )


def _check_time(time: float, name: str) -> None:
    if not 0 < time <= LATEST:
        raise RevocationError(f'"{name}" must be a time in seconds since 1970, before the year 10000')


# The tables of jti, kid and sub, each by name and by (issuer, name), which must not be joined into one text (THREATS B17), and the table of
# issuer. Those of jti and kid have the end of an entry, the others have Marks.
Tables = tuple[dict[Any, Any], ...]
_PLACES: dict[Kind, int] = {"jti": 0, "kid": 2, "sub": 4, "issuer": 6}
_MARKED = 4  # the first table of Marks


class RevocationList:
    """
    The entries in force, for one writer and any number of readers.

    Every change builds new tables and replaces the old ones with one assignment, so a reader sees all of a change or none of it.
    """

    __slots__ = ("_count", "_first_end", "_tables", "max_entries")

    def __init__(self, *, max_entries: int = MAX_ENTRIES) -> None:
        self.max_entries = max_entries
        self._tables = _no_tables()
        self._count = 0
        self._first_end = inf  # no entry ends earlier

    def __len__(self) -> int:
        """Entries held, with expired ones that were not pruned yet."""
        return self._count

    def __iter__(self) -> Iterator[Revocation]:
        tables = self._tables
        for kind, first in _PLACES.items():
            for place in (first, first + 1)[: len(tables) - first]:
                for key, held in tables[place].items():
                    issuer, value = key if place > first else (None, key)
                    for before, expires in held if place >= _MARKED else ((inf, held),):
                        yield Revocation(kind, value, expires, issuer, None if before == inf else before)

    def revokes(self, issuer: str, kid: str, claims: Mapping[str, Any], now: float) -> bool:
        """
        True when a token is revoked. A few dictionary lookups, whatever the length of the list.

        Args:
            issuer: Its exact `iss`; "" when it has none.
            kid: The id of the key that signed it; "" when the key has none.
            claims: With `jti` and `sub` checked to be text and `iat` to be a number, if present.
            now: Seconds since the epoch.
        """
        if not self._count:
            return False
        jtis, own_jtis, kids, own_kids, subs, own_subs, issuers = self._tables
        if jtis or own_jtis:
            jti = claims.get("jti")
            if jti is not None and (jtis.get(jti, 0.0) > now or own_jtis.get((issuer, jti), 0.0) > now):
                return True
        if (kids or own_kids) and (kids.get(kid, 0.0) > now or own_kids.get((issuer, kid), 0.0) > now):
            return True
        if subs or own_subs or issuers:
            sub = claims.get("sub")
            for marks in (subs.get(sub), own_subs.get((issuer, sub)), issuers.get(issuer)):
                if marks is not None:
                    issued = claims.get("iat")
                    for before, expires in marks:
                        if expires > now and (issued is None or issued < before):
                            return True
        return False

    def covers(self, entry: Revocation) -> bool:
        """True when the list already revokes everything that an entry would, for at least as long."""
        place, key = _place(entry)
        held = self._tables[place].get(key)
        return held is not None and (_says(held, *_mark(entry)) if place >= _MARKED else held >= entry.expires)

    def named_by(self, undo: Undo) -> int:
        """How many entries an undo would remove."""
        place, key = _place(undo)
        held = self._tables[place].get(key)
        return 0 if held is None else len(held) if place >= _MARKED else 1

    def require_room(self, more: int, now: float) -> None:
        """RevocationError when `more` further entries do not fit."""
        if self._count + more > self.max_entries:
            self.prune(now)
        if self._count + more > self.max_entries:
            raise self._full()

    def add(self, changes: Iterable[Change], now: float) -> int:
        """
        Make changes in their order, all of them or none. Returns how many had an effect. Entries past their end and GRACE are skipped.

        Raises:
            RevocationError: The list would be longer than max_entries.
        """
        self.prune(now)
        return self._take(changes, now, self._tables, self._count, self._first_end)

    def replace(self, changes: Iterable[Change], now: float) -> int:
        """
        As `add`, to an empty list that then replaces this one.

        Raises:
            RevocationError: More entries than max_entries; those in force stay.
        """
        return self._take(changes, now, _no_tables(), 0, inf)

    def prune(self, now: float) -> int:
        """Drop the entries past their end and GRACE; returns how many."""
        now -= GRACE
        if now < self._first_end:
            return 0
        tables: list[dict[Any, Any]] = []
        count, first_end = 0, inf
        for place, table in enumerate(self._tables):
            if place < _MARKED:
                kept = {key: end for key, end in table.items() if end > now}
                count += len(kept)
                first_end = min(first_end, min(kept.values(), default=inf))
            else:
                kept = {}
                for key, held in table.items():
                    if marks := tuple(mark for mark in held if mark[1] > now):
                        kept[key] = marks
                        count += len(marks)
                        first_end = min(first_end, *(end for _, end in marks))
            tables.append(kept)
        dropped = self._count - count
        self._tables, self._count, self._first_end = tuple(tables), count, first_end
        return dropped

    def _take(self, changes: Iterable[Change], now: float, base: Tables, count: int, first_end: float) -> int:
        now -= GRACE
        tables = list(base)
        changed = 0
        for entry in changes:
            place, key = _place(entry)
            held = tables[place].get(key)
            if (held is None) if isinstance(entry, Undo) else (entry.expires <= now):
                continue
            if tables[place] is base[place]:
                tables[place] = dict(base[place])  # a reader may be using the old one
            if isinstance(entry, Undo):
                gone = tables[place].pop(key)
                count -= len(gone) if place >= _MARKED else 1
                changed += 1
                continue
            if place >= _MARKED:
                mark = _mark(entry)
                if held is not None and _says(held, *mark):
                    continue
                kept = tuple(old for old in held or () if not _says((mark,), *old))
                tables[place][key] = (*kept, mark)
                count += len(kept) + 1 - len(held or ())
            else:
                if held is not None and held >= entry.expires:
                    continue
                tables[place][key] = entry.expires
                count += held is None
            if count > self.max_entries:
                raise self._full()
            first_end = min(first_end, entry.expires)
            changed += 1
        self._tables, self._count, self._first_end = tuple(tables), count, first_end
        return changed

    def _full(self) -> RevocationError:
        return RevocationError(
            f"the list is full ({self.max_entries} entries); raise max_entries or wait until entries expire"
        )


def _no_tables() -> Tables:
    return tuple({} for _ in range(7))


def _place(entry: Change) -> tuple[int, str | tuple[str, str]]:
    place = _PLACES[entry.kind]
    return (place, entry.value) if entry.issuer is None else (place + 1, (entry.issuer, entry.value))


def _mark(entry: Revocation) -> tuple[float, float]:
    return (inf if entry.issued_before is None else entry.issued_before), entry.expires


def _says(marks: Marks, before: float, expires: float) -> bool:
    """True when one of the marks covers (before, expires)."""
    return any(mark[0] >= before and mark[1] >= expires for mark in marks)
