"""
Revocations as text: one JSON object each, in a file one to a line.

    {"jti": "4f1c…", "issuer": "https://issuer.example", "expires": "2026-12-01T00:00:00Z"}
    {"sub": "user-7", "issued_before": 1796083200, "expires": 1798675200}
    {"undo": true, "jti": "4f1c…", "issuer": "https://issuer.example"}

The last one removes the first. An entry has exactly one of `jti`, `sub` and `kid`, or `issuer` alone, and no unknown member, because a
misread entry would revoke nothing. Times are seconds since 1970 or RFC 3339 with a zone.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Final, TypeVar

import orjson

from lbjwt._compact import parse_object
from lbjwt.auth.revocation import Change, Kind, Revocation, RevocationError, Undo

T = TypeVar("T")

DEFAULT_LIFETIME: Final = 30 * 86_400.0  # seconds, of an entry without `expires`; longer than access tokens live
MAX_LINE: Final = 16_384  # bytes of one entry: two texts of 1,024 characters, escaped

_NAMES: Final[tuple[Kind, ...]] = ("jti", "sub", "kid")
_TEXTS: Final = (*_NAMES, "issuer")
_MEMBERS: Final = (*_TEXTS, "issued_before", "expires")
_UNDO: Final = "undo"
_RFC3339: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d{1,9})?(?:[Zz]|([+-]\d\d:\d\d))", re.ASCII)


def parse_time(value: object, name: str) -> float:
    """
    Seconds since the epoch, from a number of them or an RFC 3339 text with its zone.

    Raises:
        RevocationError: Another type or spelling, or a leap second. `Revocation` checks the range.

    Source: RFC 3339 section 5.6.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        day, clock, fraction, zone = match.groups()
        try:
            return datetime.fromisoformat(f"{day}T{clock}{zone or '+00:00'}").timestamp() + float(fraction or 0)
        except ValueError:  # the 30th of February
            pass
    raise RevocationError(f'"{name}" must be a number of seconds since 1970, or text such as "2026-12-01T00:00:00Z"')


def text_of_time(seconds: float) -> str:
    """RFC 3339 in UTC, whole seconds; for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_entry(members: Mapping[str, Any], *, default_expires: float | None = None) -> Revocation:
    """
    One entry from the members of its JSON object.

    Args:
        default_expires: For an entry without `expires`, in seconds since the epoch; None to refuse such an entry.

    Raises:
        RevocationError: A member that is unknown, missing, of another type, or out of place with the others.
    """
    kind, value, issuer = _named(members)
    if "expires" not in members and default_expires is None:
        raise RevocationError('needs "expires"; without it, the entry would stay forever')
    expires = parse_time(members["expires"], "expires") if "expires" in members else default_expires
    assert expires is not None
    before = parse_time(members["issued_before"], "issued_before") if "issued_before" in members else None
    return Revocation(kind, value, expires, issuer, before)


def read_undo(members: Mapping[str, Any]) -> Undo:
    """
    An undo from the members of its JSON object.

    Raises:
        RevocationError: As `read_entry`, and for a time, since an undo removes all entries on the name.
    """
    undo = Undo(*_named(members))
    for name in ("issued_before", "expires"):
        if name in members:
            raise RevocationError(f'"{name}" cannot be used with an undo, which removes all entries with that name')
    return undo


def _named(members: Mapping[str, Any]) -> tuple[Kind, str, str | None]:
    """Kind, value, and the issuer to which they are limited."""
    for name, value in members.items():
        if name not in _MEMBERS:
            near = get_close_matches(name, _MEMBERS, 1)
            hint = f'did you mean "{near[0]}"?' if near else f"the members are {', '.join(_MEMBERS)}"
            raise RevocationError(f"{_quoted(name)} is not a member of a revocation; {hint}")
        if name in _TEXTS and not isinstance(value, str):
            raise RevocationError(f'"{name}" must be text')
    named = [name for name in _NAMES if name in members]
    if len(named) > 1:
        raise RevocationError(f"{' and '.join(named)} cannot be in one entry; write an entry for each")
    issuer = members.get("issuer")
    if named:
        return named[0], members[named[0]], issuer
    if issuer is None:
        raise RevocationError("an entry needs a jti, a sub, a kid or an issuer")
    return "issuer", issuer, None


def line_of(entry: Change) -> bytes:
    """The change as a line that `read_lines` reads."""
    members: dict[str, Any] = {entry.kind: entry.value}
    if entry.issuer is not None:
        members["issuer"] = entry.issuer
    if isinstance(entry, Undo):
        return orjson.dumps({_UNDO: True, **members}, option=orjson.OPT_APPEND_NEWLINE)
    if entry.issued_before is not None:
        members["issued_before"] = _number(entry.issued_before)
    members["expires"] = _number(entry.expires)
    return orjson.dumps(members, option=orjson.OPT_APPEND_NEWLINE)


def read_lines(text: bytes, *, first: int = 1) -> Iterator[Change]:
    """
    The changes of a file. Empty lines and lines that begin with # are skipped.

    Args:
        first: The number of the first line, for messages.

    Raises:
        RevocationError: With the number of the first line that is no entry.
    """
    for number, line in enumerate(text.split(b"\n"), first):
        stripped = line.strip()
        if not stripped or stripped.startswith(b"#"):
            continue
        try:
            if len(stripped) > MAX_LINE:
                raise RevocationError(f"is longer than {MAX_LINE} bytes")
            members = parse_object(stripped)
            if members is None:
                raise RevocationError("is not a JSON object, or contains a member twice")
            undo = members.pop(_UNDO, None)
            if undo is not None and undo is not True:
                raise RevocationError('"undo" must be true; otherwise leave it out')
            entry: Change = read_entry(members) if undo is None else read_undo(members)
        except RevocationError as error:
            raise RevocationError(f"line {number}: {error}") from None
        yield entry


def read_posted(body: bytes, read: Callable[[Mapping[str, Any]], T]) -> list[T]:
    """
    What `read` makes of the objects of a request: one JSON object, or an array of them.

    Raises:
        RevocationError: With the number of the entry, when one of an array is wrong.
    """
    text = body.strip()
    if not text.startswith(b"["):
        members = parse_object(text)
        if members is None:
            raise RevocationError("the body must be a JSON object or an array of JSON objects")
        return [read(members)]
    # wrapped in an object, so that the same strict reader reads it
    parsed = parse_object(b'{"entries":' + text + b"}")
    if parsed is None or len(parsed) != 1:
        raise RevocationError("the body is not a valid JSON array of objects")
    entries = []
    for number, members in enumerate(parsed["entries"], 1):
        try:
            if not isinstance(members, dict):
                raise RevocationError("is not a JSON object")
            entries.append(read(members))
        except RevocationError as error:
            raise RevocationError(f"entry {number}: {error}") from None
    return entries


def _number(seconds: float) -> int | float:
    return int(seconds) if seconds == int(seconds) else seconds


def _quoted(name: str) -> str:
    return f'"{name}"' if len(name) <= 32 and name.isprintable() else "a name"
