"""
Certificates as names of keys: their thumbprints, which a token may give in place of a key id, and which of several in one file is the signer's.

A certificate is never a reason to trust: dates, chains and names are not checked, since the file or key set that holds it is trusted as a whole.

Source: RFC 7515 sections 4.1.7 and 4.1.8, RFC 7517 sections 4.7 to 4.9.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha1, sha256
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import Certificate

_NAMES = ("x5t#S256", "x5t")


def thumbprints_named(members: Mapping[str, Any]) -> tuple[str, ...]:
    """The thumbprints that a JWK or a token header gives as text, without padding. They are compared, never decoded: odd ones match nothing."""
    return tuple(text.rstrip("=") for name in _NAMES if isinstance(text := members.get(name), str) and text)


def thumbprints(jwk: Mapping[str, Any]) -> frozenset[str]:
    """All that a token may call the certificate of a JWK: its members `x5t` and `x5t#S256`, and what follows from the first one in `x5c`."""
    chain = jwk.get("x5c")
    first = chain[0] if isinstance(chain, list) and chain else None
    computed: Iterable[str] = ()
    if isinstance(first, str):
        try:
            computed = thumbprints_of(base64.b64decode(first, validate=True))
        except ValueError:  # a certificate that cannot be read names nothing; the key beside it is as good as before
            computed = ()
    return frozenset((*thumbprints_named(jwk), *computed))


def thumbprints_of(der: bytes) -> tuple[str, str]:
    """`x5t#S256` and `x5t` of a certificate in DER. SHA-1 is a name here, not a protection: all it chooses among are the issuer's own keys."""
    return _text(sha256(der).digest()), _text(sha1(der, usedforsecurity=False).digest())


def signers(certificates: Sequence[Certificate]) -> list[Certificate]:
    """
    The certificates of one file whose keys sign tokens, in their order: all but those that issued another one of the file.

    So a chain gives its leaf, which stands first in it, and several certificates that did not issue each other (a rotation) give one each.
    A certificate that was renewed with the same key has not issued the older one, though it looks as if it had.
    """
    keyed = [
        (one, one.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)) for one in certificates
    ]
    return [one for one, key in keyed if not any(_issued(one, other) for other, others in keyed if others != key)]


def _issued(authority: Certificate, subject: Certificate) -> bool:
    try:
        subject.verify_directly_issued_by(authority)
    except Exception:  # another name, another signature, an algorithm that is not known: whatever it is, it is no proof
        return False
    return True


def _text(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
