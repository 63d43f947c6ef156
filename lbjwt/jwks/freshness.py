"""
How long a response may be believed fresh, in its own words. Field values in, seconds out; no clock, no I/O.

The values come from the network. Each has a meaning here or is ignored, and none raises: an issuer that writes nonsense is asked again soon,
because a response with invalid freshness counts as stale (RFC 9111 section 4.2.1). What comes out is bounded by the caller's floor and ceiling.
"""

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

__all__ = ["freshness", "parse_http_date"]

_LONGEST: Final = 2**31
"""Seconds; greater numbers count as this one (RFC 9111 section 1.2.2)."""

_MONTHS: Final = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CLOCK: Final = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_DATES: Final = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        rf"[A-Z][a-z]{{2}}, (?P<day>\d\d) (?P<month>[A-Z][a-z]{{2}}) (?P<year>\d{{4}}) {_CLOCK} GMT",  # IMF-fixdate
        rf"[A-Z][a-z]{{5,8}}, (?P<day>\d\d)-(?P<month>[A-Z][a-z]{{2}})-(?P<year>\d\d) {_CLOCK} GMT",  # RFC 850
        rf"[A-Z][a-z]{{2}} (?P<month>[A-Z][a-z]{{2}}) (?P<day>[ \d]\d) {_CLOCK} (?P<year>\d{{4}})",  # asctime
    )
)


def freshness(fields: Mapping[str, Sequence[str]], *, now: float) -> float | None:
    """
    Return the seconds a response stays fresh from now on, or None when it does not say.

    Args:
        fields: Values of ``cache-control``, ``expires``, ``age`` and ``date``, one item a field line.
        now: Seconds since the epoch, the time of reception; stands in for a ``Date`` that is missing or nonsense.

    Returns:
        ``max-age``, else ``Expires`` minus ``Date``, less ``Age``; 0 for ``no-store``, ``no-cache`` and for nonsense. A
        directive given twice counts with its shortest time.

    Source: RFC 9111 sections 4.2, 5.1, 5.2.2 and 5.3.
    """
    lifetime = _controlled(fields.get("cache-control", ()))
    if lifetime is None:
        expires = fields.get("expires", ())
        if not expires:
            return None
        sent = _first(map(parse_http_date, fields.get("date", ())))
        ends = [parse_http_date(text) for text in expires]
        lifetime = min(0.0 if end is None else end - (now if sent is None else sent) for end in ends)
    age = _first(map(_seconds, fields.get("age", ())))
    return max(0.0, lifetime - (age or 0.0))


def parse_http_date(text: str) -> float | None:
    """
    Read one of the three forms of a date, in seconds since the epoch; None for everything else.

    A two-digit year is of this century up to 69. The name of the day is not compared with the date.

    Source: RFC 9110 section 5.6.7.
    """
    found = next((match for pattern in _DATES if (match := pattern.fullmatch(text.strip(" \t")))), None)
    if found is None:
        return None
    year = int(found["year"])
    if len(found["year"]) == 2:
        year += 2000 if year < 70 else 1900
    try:
        return datetime.datetime(
            year,
            _MONTHS.index(found["month"]),
            int(found["day"]),
            int(found["hour"]),
            int(found["minute"]),
            min(int(found["second"]), 59),  # 60 is a leap second
            tzinfo=datetime.UTC,
        ).timestamp()
    except ValueError:
        return None


def _controlled(values: Iterable[str]) -> float | None:
    """The lifetime that Cache-Control gives, None when it gives none."""
    found: list[float] = []
    for directive in ",".join(values).split(","):
        name, equals, value = directive.strip(" \t").partition("=")
        name = name.lower()
        if name == "max-age":
            seconds = _seconds(value.strip('"'))
            found.append(0.0 if seconds is None else seconds)
        elif name == "no-store" or (name == "no-cache" and not equals):  # no-cache="field" is about that field only
            found.append(0.0)
    return min(found, default=None)


def _seconds(text: str) -> float | None:
    text = text.strip(" \t")
    if not text.isascii() or not text.isdigit():
        return None
    return float(min(int(text), _LONGEST)) if len(text) <= 10 else float(_LONGEST)


def _first(values: Iterable[float | None]) -> float | None:
    return next(iter(values), None)
