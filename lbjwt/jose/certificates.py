"""
Certificates as names of keys: their thumbprints, which a token may have in place of a key id, and which one of a file belongs to the signer.

Dates, chains and names are not checked, because the file or key set that holds a certificate is trusted as a whole.

Source: RFC 7515 sections 4.1.7 and 4.1.8, RFC 7517 sections 4.7 to 4.9.
"""

import base64
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha1, sha256
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import Certificate

_NAMES = ("x5t#S256", "x5t")


def thumbprints_named(members: Mapping[str, Any]) -> tuple[str, ...]:
    """The thumbprints in a JWK or a token header, without padding. They are compared, never decoded."""
    return tuple(text.rstrip("=") for name in _NAMES if isinstance(text := members.get(name), str) and text)


def thumbprints(jwk: Mapping[str, Any]) -> frozenset[str]:
    """The thumbprints of a JWK's certificate: its members `x5t` and `x5t#S256`, and those of the first certificate in `x5c`."""
    chain = jwk.get("x5c")
    first = chain[0] if isinstance(chain, list) and chain else None
    computed: tuple[str, ...] = ()
    if isinstance(first, str):
        with suppress(ValueError):  # a certificate that cannot be read does not spoil the key beside it
            computed = thumbprints_of(base64.b64decode(first, validate=True))
    return frozenset((*thumbprints_named(jwk), *computed))


def thumbprints_of(der: bytes) -> tuple[str, str]:
    """`x5t#S256` and `x5t` of a certificate in DER. SHA-1 protects nothing here: it chooses among the issuer's own keys."""
    return _text(sha256(der).digest()), _text(sha1(der, usedforsecurity=False).digest())


def signers(certificates: Sequence[Certificate]) -> list[Certificate]:
    """
    The certificates of one file whose keys sign tokens, in their order: all but those that issued another one of the file.

    That is the leaf of a chain, and each of several certificates that did not issue one another (a rotation). A renewed certificate with the same
    key only looks as if it had issued the older one.
    """
    keyed = [
        (one, one.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)) for one in certificates
    ]
    return [one for one, key in keyed if not any(_issued(one, other) for other, others in keyed if others != key)]


def _issued(authority: Certificate, subject: Certificate) -> bool:
    try:
        subject.verify_directly_issued_by(authority)
    except Exception:  # another name or signature, or an unknown algorithm
        return False
    return True


def _text(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
