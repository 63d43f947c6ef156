"""
Claims to request headers for the backend: ready-made bytes, built once per token.

No value can end its line, start another, or be read in two ways (THREATS P10):

- Text: visible ASCII and inner spaces are written as they are; every other byte of the UTF-8 text and every `%` is percent-encoded, so that a
  backend may always decode. With `unrepresentable: refuse`, text that would have to be encoded refuses the token.
- Numbers and booleans are written as in JSON.
- A list of these becomes its members joined with commas; a comma inside a member is encoded.
- An object, or any value in style `json`, becomes JSON in visible ASCII. `%` is written as a JSON escape, so that a backend that
  percent-decodes every field reads the same value.
- The whole payload becomes unpadded base64url of compact JSON, written anew from the verified claims.

A claim that is missing or null, or whose path leads through a value that is no object, leaves its header out (THREATS P4). The header that a
client sent under the name is removed in any case.

Source: RFC 9110 section 5.5, RFC 3986 section 2.1, RFC 8259 section 7, RFC 4648 section 5.
"""

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import orjson

from lbjwt._fastverify import DenyReason
from lbjwt.auth.rules import check_claim_path
from lbjwt.errors import ConfigurationError

MAX_VALUE = 4096  # bytes of one header value (THREATS P11): most servers take 8 KiB lines
MAX_TOTAL = 8192  # bytes of all lines together
MOST_BYTES = 65536  # neither limit can be raised beyond: no server takes such a head

WOULD_REFUSE = "X-Jwt-Would-Refuse"
"""Tells a backend why a request would be refused that passes because of `report_only`. No client may write it."""

HEADER_NAME = r"[A-Za-z](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?"
_PLAIN = "!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~ "  # beside letters and digits: VCHAR without "%", and SP
_PLAIN_IN_LIST = _PLAIN.replace(",", "")
# Names for framing, routing, hop-by-hop (RFC 9110 section 7.6.1) and credentials, and those that lbjwt sets or removes (THREATS P3, P12).
_RESERVED = frozenset({
    "accept", "accept-charset", "accept-encoding", "accept-language", "age", "allow", "authorization", "cache-control", "connection",
    "cookie", "date", "expect", "forwarded", "from", "host", "http2-settings", "if-match", "if-modified-since", "if-none-match", "if-range",
    "if-unmodified-since", "keep-alive", "location", "max-forwards", "origin", "pragma", "priority", "proxy", "proxy-authenticate",
    "proxy-authentication-info", "proxy-authorization", "proxy-connection", "range", "referer", "retry-after", "server", "set-cookie", "te",
    "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via", "warning", "www-authenticate", "x-http-method",
    "x-http-method-override", "x-method-override", "x-original-url", "x-real-ip", "x-request-id", "x-rewrite-url", WOULD_REFUSE.lower(),
})  # fmt: skip
_RESERVED_PREFIXES = ("content-", "sec-", "x-forwarded-")


def check_header_name(name: str) -> str:
    """Return the name of a request header that has no meaning of its own; ConfigurationError for any other text."""
    if not re.fullmatch(HEADER_NAME, name):
        raise ConfigurationError(
            "a header name must start with a letter, contain only letters, digits and inner hyphens, and have at most 64 characters"
        )
    if name.lower() in _RESERVED or name.lower().startswith(_RESERVED_PREFIXES):
        raise ConfigurationError(
            f"{name} has a fixed meaning in HTTP or is set by the balancer; choose a name of your own, such as X-Jwt-Sub"
        )
    return name


def fold_header_name(name: str) -> str:
    """A header name in lower case with ``-`` for every character but letters and digits: backends may take names that share it for one."""
    return re.sub(r"[^a-z0-9]", "-", name.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityHeader:
    """
    One header for the backend.

    Attributes:
        header: Its name; see `check_header_name`.
        path: Names from the claims inward; a dot is part of a name; () for the whole payload.
        style: `auto` writes each type as described above; `comma` a list or a single member, and refuses an object; `json` any value
            as JSON; `payload` requires the path ().
        unrepresentable: For text that a header cannot hold: `encode`, or `refuse` the token. A value that the style cannot
            write, or that exceeds a limit, always refuses the token.

    Raises:
        ConfigurationError: An invalid name, path, or combination of path and style.
    """

    header: str
    path: tuple[str, ...]
    style: Literal["auto", "json", "comma", "payload"] = "auto"
    unrepresentable: Literal["encode", "refuse"] = "encode"

    def __post_init__(self) -> None:
        check_header_name(self.header)
        if self.path:
            check_claim_path(self.path)
        if (self.style == "payload") is not (not self.path):
            raise ConfigurationError(
                f"the header {self.header}: the style payload needs an empty path, and every other style needs a claim"
            )


class _Unrepresentable(Exception):
    """A claim that cannot be a header value."""


def compile_identity_headers(
    entries: Iterable[IdentityHeader | tuple[str, str]],
    *,
    max_value: int = MAX_VALUE,
    max_total: int = MAX_TOTAL,
) -> Callable[[Mapping[str, Any]], bytes | None] | None:
    """
    Make the function that turns claims into header lines, each ended by CRLF.

    Args:
        entries: A pair is (claim, header name): the exact name of a top-level member, in style auto.
        max_value: Maximum bytes of a value, after encoding.
        max_total: Maximum bytes of all lines.

    Returns:
        None when there is no entry. Else a function whose result is None when a claim cannot be written or exceeds a limit.

    Raises:
        ConfigurationError: An invalid header, one of two entries, or a limit out of range.
    """
    for name, limit in (("max_value", max_value), ("max_total", max_total)):
        if not 1 <= limit <= MOST_BYTES:
            raise ConfigurationError(f"{name} is {limit} bytes; 1 to {MOST_BYTES} are accepted")
    headers = [
        entry if isinstance(entry, IdentityHeader) else IdentityHeader(header=entry[1], path=(entry[0],))
        for entry in entries
    ]
    seen: set[str] = set()
    for entry in headers:
        if fold_header_name(entry.header) in seen:
            raise ConfigurationError(f"two claims use the header {entry.header}")
        seen.add(fold_header_name(entry.header))
    compiled = [(entry.path, entry.header.encode("ascii") + b": ", _writer(entry, max_value)) for entry in headers]
    if not compiled:
        return None

    def identity_headers(claims: Mapping[str, Any], trace: list[tuple[str, int, Any]] | None = None) -> bytes | None:
        lines: list[bytes] = []
        total = 0
        for path, start, write in compiled:
            value: Any = claims.get(path[0]) if path else claims
            for name in path[1:]:
                value = value.get(name) if type(value) is dict else None
            if value is None:
                continue
            try:
                encoded = write(value)
                if len(encoded) > max_value:
                    raise _Unrepresentable
            except _Unrepresentable:
                if trace is not None:
                    trace.append(("identity", DenyReason.UNREPRESENTABLE_CLAIM, (start, path)))
                return None
            line = b"%b%b\r\n" % (start, encoded)
            total += len(line)
            if total > max_total:
                if trace is not None:
                    trace.append(("identity", DenyReason.UNREPRESENTABLE_CLAIM, (b"", ())))
                return None
            lines.append(line)
        if trace is not None:
            trace.append(("identity", DenyReason.NONE, lines))
        return b"".join(lines)

    return identity_headers


def _writer(entry: IdentityHeader, max_value: int) -> Callable[[Any], bytes]:
    """The function that writes one entry's value; it raises _Unrepresentable for a value that the style cannot write."""
    encode = entry.unrepresentable == "encode"

    def text(value: str, plain: str = _PLAIN) -> bytes:
        if len(value) > max_value:  # encoding only makes it longer
            raise _Unrepresentable
        return _text(value, plain, encode)

    def members(value: Iterable[object]) -> bytes:
        return b",".join(text(_scalar(member), _PLAIN_IN_LIST) for member in value)

    def auto(value: object) -> bytes:
        if type(value) is str:
            return text(value)
        if type(value) is list:
            return members(value)
        return _json(value) if type(value) is dict else _scalar(value).encode("ascii")

    def comma(value: object) -> bytes:
        return members(value if type(value) is list else (value,))

    return {"auto": auto, "comma": comma, "json": _json, "payload": _payload}[entry.style]


def _payload(claims: Mapping[str, Any]) -> bytes:
    return base64.urlsafe_b64encode(orjson.dumps(dict(claims))).rstrip(b"=")


def _json(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    # % stands only inside strings, where any character may be an escape
    return text.replace("%", "\\u0025").encode("ascii")


def _scalar(value: object) -> str:
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int or type(value) is float:
        return repr(value)
    raise _Unrepresentable


def _text(value: str, plain: str, encode: bool) -> bytes:
    if (
        value.isascii()
        and value.isprintable()
        and (plain is _PLAIN or "," not in value)
        and not (encode and "%" in value)
    ):
        encoded = value
    elif encode:
        encoded = quote(value, safe=plain)
    else:
        raise _Unrepresentable
    if encoded.startswith(" ") or encoded.endswith(" "):  # a recipient strips outer spaces: keep them countable
        if not encode:
            raise _Unrepresentable
        inner = encoded.strip(" ")
        at = encoded.index(inner) if inner else len(encoded)
        encoded = "%20" * at + inner + "%20" * (len(encoded) - at - len(inner))
    return encoded.encode("ascii")
