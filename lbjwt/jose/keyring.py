"""
The keys of one issuer, as an immutable set: how a JWK Set is read, and which keys a token header may mean.

Source: RFC 7517 sections 4.5 and 5, RFC 7515 sections 4.1.4, 4.1.7, 6 and appendix D, RFC 8725 section 3.10.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from lbjwt._compact import parse_object
from lbjwt._fastverify import DenyReason, SignatureCheck
from lbjwt.errors import KeyFormatError
from lbjwt.jose.imports import import_jwk
from lbjwt.jose.keys import VerificationKey, secret_key
from lbjwt.jose.mistaken import instead_of_jwks
from lbjwt.jose.pem import import_pem

MAX_BYTES = 256 * 1024  # of a JWK Set document
MAX_KEYS = 100
MAX_TRIED = 8  # keys for one token: signatures that one request can make us check


class KeyRing:
    """
    Immutable. Symmetric keys and public keys never share a ring (RFC 8725 section 3.1).

    Attributes:
        keys: All usable keys, in the order of the document; the same key given twice is one.
        warnings: One sentence per key that was left out or looked odd; no key material in it.
    """

    __slots__ = ("_by_certificate", "_by_id", "_nameless", "keys", "warnings")

    def __init__(
        self, keys: Iterable[VerificationKey], *, warnings: Iterable[str] = (), may_be_empty: bool = False
    ) -> None:
        """
        Raises:
            KeyFormatError: No usable key is left, or symmetric and public keys are mixed.
        """
        notes = list(warnings)
        different: list[VerificationKey] = []
        self._by_id: dict[str, list[VerificationKey]] = {}
        self._by_certificate: dict[str, list[VerificationKey]] = {}
        for key in keys:
            namesakes = self._by_id.setdefault(key.kid, [])
            if any(key.same_as(other) for other in namesakes):
                continue
            different.append(key)
            namesakes.append(key)
            for thumbprint in key.certificates:
                self._by_certificate.setdefault(thumbprint, []).append(key)
        self.keys = tuple(different)
        # A key that is here both with and without an id is used under the id only, so that a revocation of the id ends all its tokens.
        named = {key.digest for key in different if key.kid}
        self._nameless = [key for key in self._by_id.get("", []) if key.digest not in named]
        if len({key.kty == "oct" for key in self.keys}) > 1:
            raise KeyFormatError("an issuer cannot have both a secret and public keys")
        if not self.keys and not may_be_empty:
            raise KeyFormatError("there is no usable key" + (f" ({notes[0]})" if notes else ""))
        self.warnings = tuple(dict.fromkeys((*notes, *_ambiguities(self._by_id))))

    @classmethod
    def from_jwks(
        cls,
        document: bytes | str | Mapping[str, Any],
        *,
        algorithms: Iterable[str] | None = None,
        allow_padding: bool = False,
        symmetric: bool = False,
        max_bytes: int = MAX_BYTES,
        max_keys: int = MAX_KEYS,
    ) -> "KeyRing":
        """
        Read a JWK Set. A member that cannot be used is left out with a warning, and the others stay (RFC 7517 section 5).

        Args:
            algorithms: The configured algorithms; None for all that the keys themselves allow.
            allow_padding: Accept base64url with correct `=` padding.
            symmetric: Read secrets (`oct`) instead of public keys. Not for documents from the network.

        Raises:
            KeyFormatError: Over a limit, not a JWK Set, or without one usable key.
        """
        if isinstance(document, Mapping):
            try:
                text = orjson.dumps(dict(document))
            except TypeError as problem:
                raise KeyFormatError("this is not a JWK Set: it cannot be written as JSON") from problem
        else:
            text = document.encode("utf-8", "surrogatepass") if isinstance(document, str) else document
        if len(text) > max_bytes:
            raise KeyFormatError(f"the key set has {len(text)} bytes; at most {max_bytes} are accepted")
        parsed = parse_object(bytes(text))
        members = parsed.get("keys") if parsed is not None else None
        if not isinstance(members, list):
            raise KeyFormatError(
                f"not a JWK Set: {instead_of_jwks(bytes(text)) or 'it must be a JSON object with a list of keys'}"
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
                key, notes = import_jwk(member, allowed=allowed, allow_padding=allow_padding, symmetric=symmetric)
            except KeyFormatError as problem:
                warnings.append(f"key {index} was left out: {problem}")
            else:
                keys.append(key)
                warnings += [f"key {index}: {note}" for note in notes]
        return cls(keys, warnings=warnings)

    @classmethod
    def from_pem(cls, text: bytes | str, *, kid: str = "", algorithms: Iterable[str] | None = None) -> "KeyRing":
        """
        A ring of the public keys and certificates of a PEM text; a chain of certificates is one key.

        Raises:
            KeyFormatError: See `import_pem`.
        """
        return cls(import_pem(text, kid=kid, allowed=algorithms))

    @classmethod
    def from_secret(cls, *secrets: bytes, algorithms: Iterable[str], kid: str = "") -> "KeyRing":
        """
        A ring of one HMAC secret, or of several during a rotation. A secret does not name its algorithms, so the caller must.

        Raises:
            KeyFormatError: See `secret_key`.
        """
        names = tuple(algorithms)
        keys = []
        for number, secret in enumerate(secrets, 1):
            try:
                keys.append(secret_key(secret, kid=kid, allowed=names))
            except KeyFormatError as problem:
                raise KeyFormatError(f"secret {number}: {problem}" if len(secrets) > 1 else str(problem)) from None
        return cls(keys)

    def candidates(self, kid: str | None, thumbprints: Iterable[str] = ()) -> list[VerificationKey]:
        """
        The keys that a token may mean, whatever its algorithm.

        With a key id: the keys with that id, or else those without one. Without a key id: the keys of the certificate that the token names
        (RFC 7515 section 4.1.7), or else all keys, those without an id first.

        Args:
            kid: None when the token names none.
            thumbprints: Of the certificate it names, SHA-256 first.
        """
        if kid is not None:
            return self._by_id.get(kid) or self._nameless
        for thumbprint in thumbprints:
            if thumbprint in self._by_certificate:
                return self._by_certificate[thumbprint]
        return sorted(self.keys, key=lambda key: bool(key.kid))

    def find(
        self, kid: str | None, algorithm: str, thumbprints: Iterable[str] = ()
    ) -> SignatureCheck | tuple[SignatureCheck, ...] | DenyReason:
        """
        The signature check for a token with this key id and algorithm, or those of up to MAX_TRIED keys, which are tried in turn.

        All are keys of the claimed issuer that allow the token's algorithm, so trying them accepts nothing that this issuer did not
        sign (THREATS B11). Arguments as for `candidates`.

        Returns:
            UNKNOWN_KEY when the token can mean no key, ALGORITHM_REFUSED when none that it can mean allows the algorithm.
        """
        candidates = self.candidates(kid, thumbprints)
        # Each material is tried once, under its id if it has one.
        checks = {key.digest: check for key in candidates if (check := key.check_for(algorithm)) is not None}
        if not checks:
            return DenyReason.ALGORITHM_REFUSED if candidates else DenyReason.UNKNOWN_KEY
        found = tuple(checks.values())[:MAX_TRIED]
        return found[0] if len(found) == 1 else found

    def adopt(self, previous: "KeyRing") -> "KeyRing":
        """This ring with the previous ring's object for each key that both have, so that cached tokens of that key stay valid."""
        return KeyRing(
            [next((old for old in previous.keys if old.same_as(key)), key) for key in self.keys],
            warnings=self.warnings,
        )

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[VerificationKey]:
        return iter(self.keys)


def _ambiguities(by_id: Mapping[str, list[VerificationKey]]) -> Iterator[str]:
    """Warnings about keys that share an id, and about keys without one that are never tried."""
    for kid, keys in by_id.items():
        if len(keys) == 1:
            continue
        for algorithm in sorted(frozenset().union(*(key.algorithms for key in keys))):
            count = len({key.digest for key in keys if key.check_for(algorithm) is not None})
            if kid and count > 1:
                yield f"{count} keys for {algorithm} have the key id {kid!r}: lbjwt tries at most {MAX_TRIED} of them"
            elif count > MAX_TRIED:
                yield f"{count} keys for {algorithm} have no key id: lbjwt tries only the first {MAX_TRIED}"
