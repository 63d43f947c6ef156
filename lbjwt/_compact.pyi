"""The text of a compact JWS: base64url and JSON, strict, without repair. Importers in Cython find the rest in the .pxd."""

from typing import Any

def parse_base64url(text: bytes, padding: bool = False) -> bytes | None:
    """Decode strict, canonical base64url, unpadded or (with `padding`) also with the one correct padding; None for any other text."""

def parse_object(text: bytes) -> dict[str, Any] | None:
    """
    Read one JSON object.

    Returns None when the text is not RFC 8259 in UTF-8, is not an object, nests deeper than 32 levels, holds a number over 40 characters or
    with an exponent over 3 digits, or names a member twice in one object, escaped or not (RFC 8725 section 3.7).
    """
