"""What a compact JWS says, for people to look at. Verifies nothing and therefore is not used where something depends on it."""

import base64
import binascii
import datetime
import json
from collections.abc import Iterator
from typing import Any, Final

from lbjwt.auth.revocation import LATEST

_TIMES: Final = ("iat", "nbf", "exp", "auth_time")


class NotCompact(Exception):
    """Not three parts of base64url with JSON objects in the first two; the message holds nothing of it."""


def pasted(text: str) -> str:
    """Return the token without what people copy along with it: white space around it, and the word Bearer."""
    text = text.strip()
    return text[7:].strip() if text[:7].lower() == "bearer " else text


def decode(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """
    Return header and claims of a compact JWS (RFC 7515 section 7.1).

    Raises:
        NotCompact: It is none.
    """
    parts = token.split(".", 5)
    if len(parts) == 5:
        raise NotCompact("five parts: this is an encrypted token (JWE), which lbjwt does not accept")
    if len(parts) != 3:
        raise NotCompact("a token has three parts with dots between them")
    return _object(parts[0], "header"), _object(parts[1], "payload")


def _object(part: str, what: str) -> dict[str, Any]:
    try:
        value = json.loads(base64.b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise NotCompact(f"the {what} is not base64url of JSON") from None
    if not isinstance(value, dict):
        raise NotCompact(f"the {what} is not a JSON object")
    return value


def describe_times(claims: dict[str, Any], now: float) -> Iterator[str]:
    """Yield one line for each time among the claims: the date in UTC and how far it is from ``now`` (seconds since the epoch)."""
    for name in _TIMES:
        value = claims.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:
            continue
        date = datetime.datetime.fromtimestamp(value, datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        distance = datetime.timedelta(seconds=abs(int(value - now)))
        yield f"{name}: {date} ({f'in {distance}' if value > now else f'{distance} ago'})"
