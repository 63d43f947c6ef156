"""
The keys of one issuer at one moment: an immutable set, looked up by key id.

Knows how a JWK Set is read and which key a token header means. Does not fetch, does not know the time, holds no policy.

Source: RFC 7517 section 5, RFC 7515 sections 4.1.4 and 6, RFC 8725 section 3.10.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from lbjwt._compact import parse_object
from lbjwt._fastverify import DenyReason, SignatureCheck
from lbjwt.errors import KeyFormatError
from lbjwt.jose.imports import import_jwk, import_pem
from lbjwt.jose.keys import VerificationKey, secret_key
from lbjwt.jose.mistaken import instead_of_jwks

__all__ = ["KeyRing"]

MAX_BYTES = 256 * 1024  # of a JWK Set document
MAX_KEYS = 100


class KeyRing:
    """
    Immutable. Symmetric keys and public keys never share a ring (RFC 8725 section 3.1).

    Attributes:
        keys: All usable keys, in the order of the document.
        warnings: One sentence per key that was left out or looked odd; no key material in it.
    """

    __slots__ = ("_by_id", "keys", "warnings")

    def __init__(self, keys: Iterable[VerificationKey], *, warnings: Iterable[str] = ()) -> None:
        """
        Raises:
            KeyFormatError: No usable key is left, or symmetric and public keys are mixed.
        """
        given = tuple(keys)
        notes = list(warnings)
        counts = Counter(key.kid for key in given if key.kid)
        for kid, count in counts.items():
            if count > 1:
                notes.append(f"key id {kid!r} is used by {count} keys: none of them is used")
        self.keys = tuple(key for key in given if counts[key.kid] <= 1)
        self.warnings = tuple(notes)
        if len({key.kty == "oct" for key in self.keys}) > 1:
            raise KeyFormatError("a secret and public keys cannot serve one issuer")
        if not self.keys:
            raise KeyFormatError("no usable key" + (f" ({notes[0]})" if notes else ""))
        self._by_id = {key.kid: key for key in self.keys if key.kid}

    @classmethod
    def from_jwks(
        cls,
        document: bytes | str | Mapping[str, Any],
        *,
        algorithms: Iterable[str] | None = None,
        max_bytes: int = MAX_BYTES,
        max_keys: int = MAX_KEYS,
    ) -> "KeyRing":
        """
        Read a JWK Set. A member that cannot be used is left out with a warning, and the others stay (RFC 7517 section 5).

        Args:
            algorithms: The configured algorithms; None for all that the keys themselves allow.

        Raises:
            KeyFormatError: Over a limit, not a JWK Set, or without one usable key.
        """
        if isinstance(document, Mapping):
            try:
                text = orjson.dumps(dict(document))
            except TypeError as problem:
                raise KeyFormatError("not a JWK Set: it cannot be written as JSON") from problem
        else:
            text = document.encode("utf-8", "surrogatepass") if isinstance(document, str) else document
        if len(text) > max_bytes:
            raise KeyFormatError(f"the key set has {len(text)} bytes; at most {max_bytes} are accepted")
        parsed = parse_object(bytes(text))
        members = parsed.get("keys") if parsed is not None else None
        if not isinstance(members, list):
            raise KeyFormatError(
                f"not a JWK Set: {instead_of_jwks(bytes(text)) or 'a JSON object with a list of keys is needed'}"
            )
        if len(members) > max_keys:
            raise KeyFormatError(f"the key set has {len(members)} keys; at most {max_keys} are accepted")
        allowed = None if algorithms is None else frozenset(algorithms)
        keys: list[VerificationKey] = []
        warnings: list[str] = []
        for index, member in enumerate(members):
            try:
                if not isinstance(member, dict):
                    raise KeyFormatError("not an object")
                key, notes = import_jwk(member, allowed=allowed)
            except KeyFormatError as problem:
                warnings.append(f"key {index} was left out: {problem}")
            else:
                keys.append(key)
                warnings += [f"key {index}: {note}" for note in notes]
        return cls(keys, warnings=warnings)

    @classmethod
    def from_pem(cls, text: bytes | str, *, kid: str = "", algorithms: Iterable[str] | None = None) -> "KeyRing":
        """
        A ring of the one public key or certificate of a PEM text.

        Raises:
            KeyFormatError: See `import_pem`.
        """
        return cls([import_pem(text, kid=kid, allowed=algorithms)])

    @classmethod
    def from_secret(cls, secret: bytes, *, algorithms: Iterable[str], kid: str = "") -> "KeyRing":
        """
        A ring of one HMAC secret. The algorithms are always named: nothing about a secret says which.

        Raises:
            KeyFormatError: See `secret_key`.
        """
        return cls([secret_key(secret, kid=kid, allowed=algorithms)])

    def find(self, kid: str | None, algorithm: str) -> SignatureCheck | DenyReason:
        """
        The one check a token with this key id and algorithm asks for.

        A key with that very id decides alone. Else the keys that fit the algorithm and are not named otherwise are candidates (all
        keys when the token names none), and one is used only when it is the only one: nothing is tried in turn.

        Returns:
            ALGORITHM_REFUSED when the named key must not be used with the algorithm, UNKNOWN_KEY when no single key is meant.
        """
        if kid is not None:
            named = self._by_id.get(kid)
            if named is not None:
                return named.check_for(algorithm) or DenyReason.ALGORITHM_REFUSED
        candidates = [key for key in self.keys if kid is None or not key.kid]
        checks = [check for key in candidates if (check := key.check_for(algorithm)) is not None]
        if len(checks) == 1:
            return checks[0]
        return DenyReason.ALGORITHM_REFUSED if candidates and not checks else DenyReason.UNKNOWN_KEY

    def adopt(self, previous: "KeyRing") -> "KeyRing":
        """This ring, with each key that the previous one already had replaced by that very object, so that its grants live on."""
        return KeyRing(
            [next((old for old in previous.keys if old.same_as(key)), key) for key in self.keys],
            warnings=self.warnings,
        )

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[VerificationKey]:
        return iter(self.keys)

    def __contains__(self, key: object) -> bool:
        return any(key is own for own in self.keys)

    def __repr__(self) -> str:
        return f"<KeyRing of {len(self.keys)} keys>"
