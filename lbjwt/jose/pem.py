"""
PEM text to verification keys: public keys, certificates and chains, several in one file for a rotation.

Text between the blocks is a comment (RFC 7468 section 2).
"""

import re
from collections.abc import Iterable

from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key
from cryptography.x509 import Certificate, load_pem_x509_certificate

from lbjwt.errors import KeyFormatError
from lbjwt.jose.certificates import signers, thumbprints_of
from lbjwt.jose.keys import VerificationKey, public_key
from lbjwt.jose.mistaken import instead_of_pem

MAX_BLOCKS = 100

_BEGIN = b"-----BEGIN "
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 #]+)-----.*?-----END \1-----", re.DOTALL)
_PUBLIC = (b"PUBLIC KEY", b"RSA PUBLIC KEY")


def import_pem(
    text: bytes | str, *, kid: str = "", allowed: Iterable[str] | None = None
) -> tuple[VerificationKey, ...]:
    """
    Import all public keys (SubjectPublicKeyInfo or PKCS#1) and certificates of a PEM text, in their order.

    A chain of certificates gives one key, that of its leaf. The dates of a certificate are ignored.

    Args:
        kid: Of every key.
        allowed: Algorithms they may check at most; None for all that fit.

    Raises:
        KeyFormatError: A private key, another kind of block, an incomplete block, no block, or a weak key. One bad block refuses the whole text.
    """
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    blocks = [(match[1], match[0]) for match in _BLOCK.finditer(data)]
    if b"PRIVATE KEY-----" in data:
        which = "this" if data.count(_BEGIN) == 1 else "one of the PEM blocks"
        raise KeyFormatError(f"{which} is a private key; lbjwt needs public keys only")
    if mistaken := instead_of_pem(data):
        raise KeyFormatError(f"not PEM: {mistaken}")
    if not blocks or data.count(_BEGIN) != len(blocks):
        raise KeyFormatError("there is no complete PEM block" if not blocks else "a PEM block is incomplete")
    if len(blocks) > MAX_BLOCKS:
        raise KeyFormatError(f"there are {len(blocks)} PEM blocks; at most {MAX_BLOCKS} are accepted")
    loaded = [_load(label, block, number) for number, (label, block) in enumerate(blocks, 1)]
    wanted = None if allowed is None else frozenset(allowed)
    counting = signers([one for one in loaded if isinstance(one, Certificate)])
    keys: list[VerificationKey] = []
    for number, one in enumerate(loaded, 1):
        if isinstance(one, Certificate) and one not in counting:
            continue
        try:
            if isinstance(one, Certificate):
                names = frozenset(thumbprints_of(one.public_bytes(Encoding.DER)))
                keys.append(public_key(one.public_key(), kid=kid, allowed=wanted, certificates=names))
            else:
                keys.append(public_key(one, kid=kid, allowed=wanted))
        except KeyFormatError as problem:
            raise KeyFormatError(f"PEM block {number}: {problem}" if len(blocks) > 1 else str(problem)) from None
    return tuple(keys)


def _load(label: bytes, block: bytes, number: int) -> object:
    try:
        if label == b"CERTIFICATE":
            certificate = load_pem_x509_certificate(block)
            certificate.public_key()  # raises for an unknown kind of key
            return certificate
        if label in _PUBLIC:
            return load_pem_public_key(block)
    except Exception as problem:  # ValueError, UnsupportedAlgorithm, and what the ASN.1 parser finds
        raise KeyFormatError(f"PEM block {number} is not a usable public key or certificate") from problem
    raise KeyFormatError(f"PEM block {number} is {label.decode()}, neither a public key nor a certificate")
