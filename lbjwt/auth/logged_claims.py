"""
Verified claims for the access log: the members of one JSON object in printable ASCII, made once per token.

No value can end its string, start another member or line, or move a terminal's cursor: control characters, DEL and everything beyond ASCII are
JSON escapes (RFC 8259 section 7). What does not fit is left out and counted; a token is never refused because of the log.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lbjwt.auth.rules import check_claim_path
from lbjwt.errors import ConfigurationError

MAX_LOGGED = 1024  # bytes, by default: lines up to 4 KiB are never torn in a pipe
MOST_LOGGED = 65536  # bytes; the limit cannot be raised beyond


@dataclass(frozen=True, slots=True)
class LoggedClaims:
    """
    Which claims of a verified token the access log has.

    Attributes:
        claims: Names from the claims inward; a dot is part of a name. () for every claim.
        max_bytes: Of all of them as JSON. Claims that do not fit any more are left out.

    Raises:
        ConfigurationError: An invalid path, one that contains another, or a limit out of range.
    """

    claims: tuple[tuple[str, ...], ...] = ()
    max_bytes: int = MAX_LOGGED

    def __post_init__(self) -> None:
        if not 1 <= self.max_bytes <= MOST_LOGGED:
            raise ConfigurationError(f"max_bytes is {self.max_bytes}; 1 to {MOST_LOGGED} are accepted")
        for at, path in enumerate(self.claims):
            check_claim_path(path)
            for other in self.claims[:at]:
                shorter = min(len(path), len(other))
                if path[:shorter] == other[:shorter]:
                    raise ConfigurationError("the list contains this claim already, by itself or within another", at)


def compile_logged_claims(wanted: LoggedClaims | None) -> Callable[[Mapping[str, Any]], bytes | None] | None:
    """
    Make the function that turns claims into members of an access-log line: `,"claims":{…}`, and `,"claims_left_out":N` when N did not fit.

    Returns:
        None when nothing is logged. Else a function, whose result is None for a token without any of the claims.
    """
    if wanted is None:
        return None
    paths, max_bytes = wanted.claims, wanted.max_bytes

    def logged_claims(claims: Mapping[str, Any]) -> bytes | None:
        chosen: dict[str, Any] = {}
        size = left_out = 0
        for path in paths or [(name,) for name in claims]:
            value: Any = claims
            for name in path:
                value = value.get(name) if isinstance(value, Mapping) else None
            if value is None:
                continue
            cost = len(_json(value)) + sum(len(_json(name)) + 2 for name in path)
            if size + cost > max_bytes:
                left_out += 1
                continue
            size += cost
            inner = chosen
            for name in path[:-1]:
                inner = inner.setdefault(name, {})
            inner[path[-1]] = value
        members = b',"claims":' + _json(chosen) if chosen else b""
        return members + (b',"claims_left_out":%d' % left_out if left_out else b"") or None

    return logged_claims


def _json(value: object) -> bytes:
    # DEL stands only inside strings, where any character may be an escape
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("\x7f", "\\u007f").encode("ascii")
