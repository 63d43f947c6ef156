"""
Durations, sizes and shares as people write them: ``250ms``, ``10s``, ``5m``, ``1h``, ``1d``; ``512``, ``64KiB``, ``1MiB``, ``1GiB``; ``20%``.

A duration is a whole number with a unit and becomes ``float`` seconds; a size is a whole number of bytes, or of binary multiples, and becomes
``int`` bytes; a share is a percentage and becomes a ``float`` from 0 to 1. Every function returns a value that its counterpart reads back exactly,
or raises ``UnitError``. No duration is finer than a millisecond, and no share finer than a thousandth, so that the way back to text is exact.
"""

import re
from typing import Final

_MILLISECONDS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_BYTES: Final = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

_ENDLESS: Final = 10**12  # milliseconds, over 30 years: what is longer is a typing error

# The grammar, also published in the JSON Schema.
DURATION_PATTERN: Final = r"^[0-9]{1,12}(ms|s|m|h|d)$"
SIZE_PATTERN: Final = r"^[0-9]{1,19}(KiB|MiB|GiB|TiB)?$"
PERCENT_PATTERN: Final = r"^[0-9]{1,3}(\.[0-9])?%$"

_DURATION: Final = re.compile(DURATION_PATTERN, re.ASCII)
_SIZE: Final = re.compile(SIZE_PATTERN, re.ASCII)
_LOOSE: Final = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,3}))?\s*([A-Za-z]*)", re.ASCII)
_TIME_WORDS: Final = {
    "": "s", "sec": "s", "second": "s", "min": "m", "minute": "m", "hr": "h", "hour": "h", "day": "d", "msec": "ms", "milli": "ms",
    "millisecond": "ms",
}  # fmt: skip
_SIZE_LETTERS: Final = {"": "", "k": "KiB", "m": "MiB", "g": "GiB", "t": "TiB"}


class UnitError(ValueError):
    """A duration or a size that cannot be read; the message is for the person who wrote it."""


def parse_duration(text: str) -> float:
    """
    Read a duration such as ``250ms`` and return it in seconds.

    Raises:
        UnitError: Not one whole number with one of the units ms, s, m, h, d.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UnitError(
            "must be a duration: a whole number with a unit (ms, s, m, h, d), such as 10s"
            + _hint(_likely_duration(text))
        )
    milliseconds = int(text.removesuffix(match[1])) * _MILLISECONDS[match[1]]
    if milliseconds >= _ENDLESS:
        raise UnitError("a duration must be shorter than 30 years")
    return milliseconds / 1_000


def format_duration(seconds: float) -> str:
    """
    Write seconds in the largest unit that holds them as a whole number: 90.0 is ``90s``, 3600.0 is ``1h``.

    Raises:
        UnitError: Negative, 30 years or longer, not a number, or not a whole number of milliseconds.
    """
    if not 0 <= seconds < _ENDLESS / 1_000:
        raise UnitError("a duration must not be negative and must be shorter than 30 years")
    milliseconds = round(seconds * 1_000)
    if milliseconds / 1_000 != seconds:
        raise UnitError("a duration must be a whole number of milliseconds")
    if milliseconds == 0:
        return "0s"
    unit = next(unit for unit in ("d", "h", "m", "s", "ms") if milliseconds % _MILLISECONDS[unit] == 0)
    return f"{milliseconds // _MILLISECONDS[unit]}{unit}"


def parse_size(text: str) -> int:
    """
    Read a size such as ``64KiB`` or ``4096`` and return it in bytes.

    Raises:
        UnitError: Not one whole number, alone or with KiB, MiB, GiB or TiB.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UnitError(
            "must be a size: a whole number of bytes, or one with KiB, MiB, GiB or TiB, such as 64KiB"
            + _hint(_likely_size(text))
        )
    unit = match[1] or ""
    return int(text.removesuffix(unit)) * _BYTES[unit]


def format_size(size: int) -> str:
    """
    Write bytes in the largest binary multiple that holds them as a whole number: 65536 is ``64KiB``, 1000 is ``1000``.

    Raises:
        UnitError: Negative.
    """
    if size < 0:
        raise UnitError("a size must not be negative")
    if size == 0:
        return "0"
    unit = next(unit for unit in ("TiB", "GiB", "MiB", "KiB", "") if size % _BYTES[unit] == 0)
    return f"{size // _BYTES[unit]}{unit}"


def parse_percent(text: str) -> float:
    """
    Read a percentage such as ``20%`` or ``2.5%`` and return it as a share: 0.2, 0.025.

    Raises:
        UnitError: Not a number with at most one decimal and a percent sign.
    """
    if re.fullmatch(PERCENT_PATTERN, text, re.ASCII) is None:
        number = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9])?) *%?", text.strip(), re.ASCII)
        raise UnitError("must be a percentage, such as 20%" + _hint(f"{number[1]}%" if number else None))
    return round(float(text[:-1]) / 100, 3)


def format_percent(share: float) -> str:
    """
    Write a share as a percentage: 0.2 is ``20%``, 0.025 is ``2.5%``.

    Raises:
        UnitError: Negative, 10 or more, not a number, or finer than a thousandth.
    """
    if not 0 <= share < 10:
        raise UnitError("a share must be a number from 0 to 1")
    thousandths = round(share * 1000)
    if thousandths / 1000 != share:
        raise UnitError("a share must be a whole number of thousandths")
    return f"{thousandths / 10:g}%"


def _hint(likely: str | None) -> str:
    return f'; did you mean "{likely}"?' if likely else ""


def _likely_duration(text: str) -> str | None:
    """What the writer of a malformed duration most likely meant, when that is a valid duration."""
    match = _LOOSE.fullmatch(text.strip())
    if match is None:
        return None
    number, fraction, word = match[1], match[2], match[3].lower()
    unit = word if word in _MILLISECONDS else _TIME_WORDS.get(word.removesuffix("s"))
    if unit is None:
        return None
    thousandths = int(number) * 1_000 + int((fraction or "0").ljust(3, "0"))
    milliseconds, rest = divmod(thousandths * _MILLISECONDS[unit], 1_000)
    return None if rest else format_duration(milliseconds / 1_000)


def _likely_size(text: str) -> str | None:
    """What the writer of a malformed size most likely meant; decimal multiples are not offered, they are not what memory is counted in."""
    match = _LOOSE.fullmatch(text.strip())
    if match is None or match[2]:
        return None
    unit = _SIZE_LETTERS.get(match[3].lower().removesuffix("b").removesuffix("i"))
    return None if unit is None else f"{int(match[1])}{unit}"
