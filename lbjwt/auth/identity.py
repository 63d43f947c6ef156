"""
Claims to request headers for the backend: ready-made bytes, built once per token.

A value is written so that nothing in it can end the line, start another, or be read two ways (THREATS P10): visible ASCII and inner
spaces stand as they are, every other byte of the UTF-8 text and every `%` is percent-encoded, so that a backend may always decode. A list
becomes its members joined with commas, a comma inside a member encoded. A claim that is missing or null leaves its header out.

Source: RFC 9110 section 5.5, RFC 3986 section 2.1.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from lbjwt.errors import ConfigurationError

__all__ = ["compile_identity_headers"]

MAX_VALUE = 4096  # bytes of one header value (THREATS P11): most servers take 8 KiB lines
MAX_TOTAL = 8192  # bytes of all lines together

_HEADER_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?")
_PLAIN = "!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~ "  # beside letters and digits: VCHAR without "%", and SP
_PLAIN_IN_LIST = _PLAIN.replace(",", "")
# Fields with a meaning of their own on the way to the backend; a claim must not speak in their name (THREATS P3, P12).
_RESERVED = frozenset(
    {
        *(
            "authorization",
            "connection",
            "content-encoding",
            "content-length",
            "content-type",
            "cookie",
            "date",
            "expect",
            "forwarded",
        ),
        *(
            "host",
            "keep-alive",
            "proxy",
            "proxy-authorization",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ),
        *("via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "x-request-id"),
    }
)


class _Unrepresentable(Exception):
    """A claim that cannot be a header value."""


def compile_identity_headers(pairs: Iterable[tuple[str, str]]) -> Callable[[Mapping[str, Any]], bytes | None] | None:
    """
    Make the function that turns claims into header lines, each ended by CRLF.

    Args:
        pairs: (claim, header name). A claim is the exact name of a top-level member; dots have no meaning.

    Returns:
        None when there are no pairs. Else a function whose result is None when a claim cannot be a header: an object, a list with
        anything but text, numbers and booleans, or over 4 KiB for one value or 8 KiB for all lines.

    Raises:
        ConfigurationError: A header name outside letters, digits and hyphens, a reserved or a repeated one, or an empty claim name.
    """
    compiled: list[tuple[str, bytes]] = []
    seen: set[str] = set()
    for claim, header in pairs:
        if not claim:
            raise ConfigurationError("a claim name is empty")
        if not _HEADER_NAME.fullmatch(header):
            raise ConfigurationError(f"the header name {header!r} is not 1 to 64 letters, digits and inner hyphens")
        if header.lower() in _RESERVED:
            raise ConfigurationError(f"the header {header} has a meaning of its own and cannot carry a claim")
        if header.lower() in seen:
            raise ConfigurationError(f"the header {header} is given to two claims")
        seen.add(header.lower())
        compiled.append((claim, header.encode("ascii") + b": "))
    if not compiled:
        return None

    def identity_headers(claims: Mapping[str, Any]) -> bytes | None:
        lines: list[bytes] = []
        total = 0
        for claim, start in compiled:
            value = claims.get(claim)
            if value is None:
                continue
            try:
                encoded = _encoded(value)
            except _Unrepresentable:
                return None
            if len(encoded) > MAX_VALUE:
                return None
            line = b"%b%b\r\n" % (start, encoded)
            total += len(line)
            if total > MAX_TOTAL:
                return None
            lines.append(line)
        return b"".join(lines)

    return identity_headers


def _encoded(value: object) -> bytes:
    """One claim value as a field value."""
    if type(value) is str:
        return _text(value, _PLAIN)
    if type(value) is list:
        return b",".join(_text(_scalar(member), _PLAIN_IN_LIST) for member in value)
    return _scalar(value).encode("ascii")


def _scalar(value: object) -> str:
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int or type(value) is float:
        return repr(value)
    raise _Unrepresentable


def _text(value: str, plain: str) -> bytes:
    if len(value) > MAX_VALUE:  # encoding only makes it longer
        raise _Unrepresentable
    # The common case costs three looks at the string: an identifier, a name, an address.
    if value.isascii() and value.isprintable() and "%" not in value and (plain is _PLAIN or "," not in value):
        encoded = value
    else:
        encoded = quote(value, safe=plain)
    if encoded.startswith(" ") or encoded.endswith(" "):  # a recipient strips outer spaces: keep them countable
        inner = encoded.strip(" ")
        at = encoded.index(inner) if inner else len(encoded)
        encoded = "%20" * at + inner + "%20" * (len(encoded) - at - len(inner))
    return encoded.encode("ascii")
