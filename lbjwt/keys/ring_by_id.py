"""
The ring of keys that have a URL each: only those that tokens named so far, so it begins empty. `keys.by_id` fetches them.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from lbjwt._compact import parse_object
from lbjwt._fastverify import DenyReason, SignatureCheck
from lbjwt.errors import KeyFormatError
from lbjwt.jose.keyring import KeyRing
from lbjwt.keys.parts import decoded
from lbjwt.keys.requested import LONGEST

_WORD: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST}}}")


def may_stand_in_url(kid: str) -> bool:
    """True for a key id that may be put into a URL: none that leads to another path, query or host."""
    return _WORD.fullmatch(kid) is not None


class RingById(KeyRing):
    """
    The keys that are known so far; it may be empty. A token must name its key.

    Args:
        missing: Called with the key id of a token that no key has.
    """

    __slots__ = ("_missing",)

    def __init__(self, rings: Iterable[KeyRing], missing: Callable[[str], None], warnings: Iterable[str] = ()) -> None:
        found = list(rings)
        notes = [note for ring in found for note in ring.warnings]
        super().__init__((key for ring in found for key in ring), warnings=[*warnings, *notes], may_be_empty=True)
        self._missing = missing

    def find(
        self, kid: str | None, algorithm: str, thumbprints: Iterable[str] = ()
    ) -> SignatureCheck | tuple[SignatureCheck, ...] | DenyReason:
        """As in the base class, without guessing: no key id, no key."""
        if kid is None or not may_stand_in_url(kid):
            return DenyReason.UNKNOWN_KEY
        found = super().find(kid, algorithm)
        if found is DenyReason.UNKNOWN_KEY:
            self._missing(kid)
        return found

    def adopt(self, previous: KeyRing) -> "RingById":
        """As in the base class."""
        return RingById([super().adopt(previous)] if self.keys else [], self._missing)


def ring_of_keys(
    document: bytes,
    *,
    algorithms: Iterable[str] | None = None,
    allow_padding: bool = False,
    missing: Callable[[str], None] = lambda kid: None,
) -> RingById:
    """The ring of the document of such a source. A key that cannot be used is left out with a warning, and the others stay."""
    rings, notes = list[KeyRing](), list[str]()
    for kid, part in decoded(document).items():
        try:
            rings.append(ring_of_key(kid, part.text, algorithms=algorithms, allow_padding=allow_padding))
        except KeyFormatError as problem:
            notes.append(f"the key {kid} was left out: {problem}")
    return RingById(rings, missing, notes)


def ring_of_key(
    kid: str, text: str, *, algorithms: Iterable[str] | None = None, allow_padding: bool = False
) -> KeyRing:
    """
    The ring of one key.

    Args:
        text: The key in PEM, as a certificate, or as a JWK, whose own key id must be this one, if it has any.

    Raises:
        KeyFormatError: Something else, or not usable.
    """
    if "-----BEGIN" in text:
        return KeyRing.from_pem(text, kid=kid, algorithms=algorithms)
    jwk = parse_object(text.encode())
    if jwk is None or "kty" not in jwk:
        raise KeyFormatError("it is neither PEM nor a JWK")
    if jwk.get("kid", kid) != kid:
        raise KeyFormatError("the key has another key id")
    return KeyRing.from_jwks({"keys": [{**jwk, "kid": kid}]}, algorithms=algorithms, allow_padding=allow_padding)
