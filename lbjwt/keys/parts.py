"""
Key sets in parts: from several URLs, or each key from a URL of its own. A part that cannot be fetched must not take the others with it.

All parts are one document: a JSON object, so that feed, store and workers treat such a source like any other. A part is as old as its last good
fetch; that time is in the document only while fetches of the part fail, so a document changes only when a key does.
"""

from collections.abc import Callable, Iterator, Mapping
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


class KeptParts:
    """
    The parts of one source in the process that fetches them. One that cannot be fetched stays as it was, until `max_stale` seconds after its last
    good fetch. Times are seconds since the epoch.
    """

    def __init__(self, max_stale: float) -> None:
        self._max_stale = max_stale
        self._parts: dict[str, Part] = {}
        self._fetched_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __contains__(self, name: str) -> bool:
        return name in self._parts

    def text(self, name: str) -> str:
        """The document of a part that is there."""
        return self._parts[name].text

    @property
    def document(self) -> bytes:
        """All parts as one document."""
        return encoded(self._parts)

    def fetched(self, name: str, text: str, now: float) -> None:
        """Keep what was fetched of a part."""
        self._parts[name] = Part(text)
        self._fetched_at[name] = now

    def failed(self, name: str, now: float) -> None:
        """A part, known or not, could not be fetched."""
        since = self._fetched_at.get(name)
        if since is None:
            return
        if now - since < self._max_stale:
            self._parts[name] = Part(self._parts[name].text, since)
        else:
            self.drop(name)

    def drop(self, name: str) -> None:
        """Forget a part, if it is there."""
        self._parts.pop(name, None)
        self._fetched_at.pop(name, None)

    def drop_oldest(self) -> None:
        """Forget the part whose last good fetch is the longest ago."""
        self.drop(min(self._fetched_at, key=self._fetched_at.__getitem__))

    def restore(self, parts: Mapping[str, Part], fetched_at: float) -> None:
        """Begin with the parts of a stored document that was fetched then."""
        self._parts = dict(parts)
        self._fetched_at = {name: fetched_at if part.since is None else part.since for name, part in parts.items()}


def ring_of_sets(document: bytes, *, build: Callable[[bytes], KeyRing]) -> KeyRing:
    """
    The keys of several JWK Sets.

    Args:
        build: Makes the ring of one.
    """
    rings = [build(part.text.encode()) for part in decoded(document).values()]
    return KeyRing(chain.from_iterable(rings), warnings=chain.from_iterable(ring.warnings for ring in rings))
