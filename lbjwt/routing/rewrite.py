"""
The path that endpoints get in place of the client's: a template with verified claims as segments (THREATS R1, R2).

A claim becomes exactly one segment, percent-encoded (RFC 3986 section 2.1), and only if every endpoint reads that segment as this claim: one with a
slash, a `..` or a `;` could lead to the path of another tenant. What is left of the client's path behind a prefix is canonical, and so is the whole.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from lbjwt.errors import ConfigurationError
from lbjwt.routing._path import both_readings
from lbjwt.routing.table import check_path, reads_alike

MAX_SEGMENT: Final = 256  # bytes of a claim in the path, once encoded: names of tenants and users are shorter

_CLAIM: Final = re.compile(r"\{([^{}\s]|[^{}\s][^{}]*[^{}\s])\}")


class PathTemplate:
    """
    An absolute path in which a segment `{name}` stands for a claim.

    Args:
        text: Such as `/tenants/{tenant}/orders`.
        claims: Names from the claims inward, by the name in the text; for a name that is not here, the claim of this very name.

    Raises:
        ConfigurationError: A path that lbjwt would not forward, a claim that is no whole segment, or a name in `claims` that the text does not have.
    """

    def __init__(self, text: str, claims: Mapping[str, tuple[str, ...]] | None = None) -> None:
        given = dict(claims or {})
        segments: list[bytes | tuple[str, ...]] = []
        names: dict[str, None] = {}
        literal = text
        for segment in text.split("/")[1:]:
            match = _CLAIM.fullmatch(segment)
            if match is not None:
                names[match[1]] = None
                segments.append(given.get(match[1], (match[1],)))
                literal = literal.replace(segment, "claim")
            elif "{" in segment or "}" in segment:
                raise ConfigurationError(
                    "a claim must be a whole segment of the path, without spaces in the braces, such as /{tenant}/"
                )
            else:
                segments.append(segment.encode("utf-8", "surrogatepass"))
        try:
            check_path(literal)
        except ConfigurationError as error:
            raise ConfigurationError(f"must be a path that a route could have: {error}") from None
        if unused := given.keys() - names.keys():
            raise ConfigurationError(f"the path does not contain {{{min(unused)}}}", "claims", min(unused))
        self._segments = tuple(segments)
        self.claims = tuple(segment for segment in segments if isinstance(segment, tuple))
        """The claims that a token needs, in the order of the path."""

    def path_for(self, claims: Mapping[str, Any]) -> bytes | None:
        """The path for a token with these claims; None when one is missing or cannot be a segment."""
        found: list[bytes] = []
        for segment in self._segments:
            if isinstance(segment, bytes):
                found.append(segment)
                continue
            value: Any = claims
            for name in segment:
                value = value.get(name) if isinstance(value, Mapping) else None
            text = claim_segment(value)
            if text is None:
                return None
            found.append(text)
        return b"/" + b"/".join(found)


def claim_segment(value: object) -> bytes | None:
    """
    A claim as one segment of a path: text or a whole number, percent-encoded but for unreserved characters (RFC 3986 section 2.3). None for any other
    value, an empty text, a longer one than `MAX_SEGMENT`, and one that some endpoint would not read as this segment.
    """
    if type(value) is int:
        value = str(value)
    if type(value) is not str or not 0 < len(value) <= MAX_SEGMENT:
        return None
    try:
        text = quote(value, safe="").encode("ascii")
        path, _, _ = both_readings(b"/" + text)
    except ValueError:  # what the router refuses in a path, and half a surrogate pair
        return None
    return text if len(text) <= MAX_SEGMENT and path == b"/" + text and reads_alike(path) else None
