"""
Key sets in parts: from several URLs, or each key from a URL of its own. A part that cannot be fetched must not take the others with it.

All parts are one document: a JSON object, so that feed, store and workers treat such a source like any other. A part is as old as its last good
fetch; that time is in the document only while fetches of the part fail, so a document changes only when a key does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

import orjson
from pydantic import FiniteFloat, TypeAdapter, ValidationError

from lbjwt.errors import KeyFormatError
from lbjwt.jose.keyring import KeyRing


@dataclass(frozen=True, slots=True)
class Part:
    """
    Attributes:
        text: The document of the part: a JWK Set, or the PEM or JWK of one key.
        since: When it was fetched last, seconds since the epoch; None while fetches succeed.
    """

    text: str
    since: FiniteFloat | None = None


_PARTS: Final = TypeAdapter(dict[str, Part])


def encoded(parts: Mapping[str, Part]) -> bytes:
    """The document of these parts, by name."""
    return orjson.dumps(dict(parts), option=orjson.OPT_SORT_KEYS)


def decoded(document: bytes) -> dict[str, Part]:
    """The parts of a document; KeyFormatError for any other text."""
    try:
        return _PARTS.validate_json(document, strict=True)
    except ValidationError:
        raise KeyFormatError("this is not a document of several parts") from None


def ring_of_sets(document: bytes, *, build: Callable[[bytes], KeyRing]) -> KeyRing:
    """
    The keys of several JWK Sets.

    Args:
        build: Makes the ring of one.
    """
    rings = [build(part.text.encode()) for part in decoded(document).values()]
    return KeyRing(chain.from_iterable(rings), warnings=chain.from_iterable(ring.warnings for ring in rings))
