"""
A verification key: a public key or an HMAC secret, and the set of algorithms it may check.

JWK, PEM, certificates and secrets all go through `public_key` or `secret_key`, which have the rules on sizes, curves and exponents.

Source: RFC 7518 sections 3 and 6, RFC 8037, RFC 8725 sections 3.1 to 3.5, RFC 8812, RFC 9964.
"""

from base64 import b64decode
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from hmac import compare_digest, digest
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from cryptography.x509 import load_der_x509_certificate

from lbjwt._fastverify import SignatureCheck
from lbjwt.errors import KeyFormatError
from lbjwt.jose.algorithms import ALGORITHMS, Algorithm, Family, algorithms_for
from lbjwt.jose.mldsa import mldsa_algorithm
from lbjwt.jose.weak import edwards_weakness, rsa_weakness

MAX_SECRET = 8192  # bytes; more is a mistake, such as a whole file

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521", "secp256k1": "secp256k1"}
# The text of public keys and certificates, which must never serve as a secret (THREATS A2).
_KEY_TEXT = (b"-----BEGIN", b"ssh-rsa", b"ssh-ed25519", b"ecdsa-sha2-", b'"kty"')


class VerificationKey:
    """
    One key of an issuer, immutable. Compared by identity: a cached token belongs to the very object that verified it.

    Attributes:
        kid: The key id; "" when it has none.
        kty: "RSA", "EC", "OKP", "AKP" or "oct".
        crv: The curve; of an AKP key its algorithm; "" where the type has none.
        bits: Size of modulus, field or secret; of an AKP key: of the public key.
        certificates: The thumbprints `x5t` and `x5t#S256` of its certificate.
        digest: SHA-256 of the material, to compare keys; never logged.
    """

    __slots__ = ("_make_check", "algorithms", "bits", "certificates", "crv", "digest", "kid", "kty")

    def __init__(
        self,
        *,
        kid: str,
        kty: str,
        crv: str = "",
        bits: int,
        material: bytes,
        allowed: Iterable[str] | None,
        make_check: Callable[["VerificationKey", Algorithm], SignatureCheck],
        certificates: frozenset[str] = frozenset(),
    ) -> None:
        fitting = algorithms_for(kty, crv, bits // 8 if kty == "oct" else 0)
        unasked = frozenset(name for name in fitting if not ALGORITHMS[name].on_demand)
        chosen = unasked if allowed is None else fitting & frozenset(allowed)
        if not chosen:
            wanted = f" of {', '.join(sorted(allowed))}" if allowed is not None else ""
            if allowed is None and fitting:
                wanted = f" unless you add {', '.join(sorted(fitting))} to algorithms, or the key names it"
            raise KeyFormatError(
                f"a key of type {kty}{f' {crv}' if crv else ''} with {bits} bits fits no algorithm{wanted}"
            )
        self.kid = kid
        self.kty = kty
        self.crv = crv
        self.bits = bits
        self.algorithms = chosen
        self.certificates = certificates
        self.digest = sha256(material).digest()
        self._make_check = make_check

    def check_for(self, algorithm: str) -> SignatureCheck | None:
        """
        A check of one algorithm; None when the key does not allow it.

        The key does not keep its checks: each refers to the key, and a key that was replaced would wait for the garbage collector.
        """
        return self._make_check(self, ALGORITHMS[algorithm]) if algorithm in self.algorithms else None

    def same_as(self, other: "VerificationKey") -> bool:
        """True when the other key has the same material, names and algorithms."""
        return (
            self.kid == other.kid
            and self.algorithms == other.algorithms
            and self.digest == other.digest
            and self.certificates == other.certificates
        )

    def __repr__(self) -> str:
        return f"<VerificationKey {self.kid!r} {self.kty}{f' {self.crv}' if self.crv else ''} {self.bits} bits>"


def public_key(
    key: object, *, kid: str = "", allowed: Iterable[str] | None = None, certificates: frozenset[str] = frozenset()
) -> VerificationKey:
    """
    Make a verification key of a public key of the cryptography package.

    Args:
        allowed: Algorithms it may check at most; None for all that fit its type and curve.

    Raises:
        KeyFormatError: Another type or curve, a weak key, or no allowed algorithm fits.
    """
    sound, kty, crv, bits = _describe(key)

    def make_check(owner: VerificationKey, algorithm: Algorithm) -> SignatureCheck:
        arguments: tuple[object, ...] = ()
        size = algorithm.signature_size
        if algorithm.family is Family.EDDSA:
            size = ALGORITHMS[crv].signature_size
        elif algorithm.family is not Family.MLDSA:  # which is pure ML-DSA with an empty context (RFC 9964)
            hash_algorithm = _HASHES[algorithm.hash_name]
            if algorithm.family is Family.ECDSA:
                arguments = (ECDSA(hash_algorithm),)
            else:
                size = (bits + 7) // 8
                # RFC 7518 section 3.5: the salt is as long as the hash, no other length (THREATS A12)
                pss = algorithm.family is Family.RSA_PSS
                arguments = (PSS(MGF1(hash_algorithm), algorithm.digest_size) if pss else PKCS1v15(), hash_algorithm)
        return SignatureCheck(
            key=owner,
            key_id=owner.kid,
            algorithm=algorithm.name,
            signature_size=size,
            verify=sound.verify,
            arguments=arguments,
            raw_ecdsa=algorithm.family is Family.ECDSA,
        )

    return VerificationKey(
        kid=kid,
        kty=kty,
        crv=crv,
        bits=bits,
        material=sound.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        allowed=allowed,
        make_check=make_check,
        certificates=certificates,
    )


def _describe(key: Any) -> tuple[Any, str, str, int]:
    """A public key without known weakness, with its kty, crv and bits."""
    if isinstance(key, RSAPublicKey):
        numbers = key.public_numbers()
        if weakness := rsa_weakness(numbers.n, numbers.e):
            raise KeyFormatError(weakness)
        return key, "RSA", "", numbers.n.bit_length()
    if isinstance(key, EllipticCurvePublicKey):
        curve = _CURVES.get(key.curve.name)
        if curve is None:
            raise KeyFormatError("the elliptic curve is not P-256, P-384, P-521 or secp256k1")
        return key, "EC", curve, key.curve.key_size
    if isinstance(key, Ed25519PublicKey | Ed448PublicKey):
        curve, bits = ("Ed25519", 256) if isinstance(key, Ed25519PublicKey) else ("Ed448", 456)
        if weakness := edwards_weakness(curve, key.public_bytes_raw()):
            raise KeyFormatError(weakness)
        return key, "OKP", curve, bits
    if name := mldsa_algorithm(key):
        return key, "AKP", name, len(key.public_bytes_raw()) * 8
    raise KeyFormatError("lbjwt does not support this type of key for signatures")


def secret_key(secret: bytes, *, kid: str = "", allowed: Iterable[str]) -> VerificationKey:
    """
    Make a verification key of an HMAC secret.

    Args:
        allowed: The HS algorithms it may check; each needs a secret at least as long as its hash (RFC 7518 section 3.2).

    Raises:
        KeyFormatError: Too short for one of them, too long, or a public key, certificate or JWK, also in base64.
    """
    wanted = frozenset(allowed)
    for name in sorted(wanted):
        if name not in ALGORITHMS or not ALGORITHMS[name].symmetric:
            raise KeyFormatError(f"a secret cannot verify {name}, only HS256, HS384 or HS512")
        if len(secret) < ALGORITHMS[name].digest_size:
            raise KeyFormatError(
                f"the secret has {len(secret)} bytes; {name} needs at least {ALGORITHMS[name].digest_size}"
            )
    if len(secret) > MAX_SECRET:
        raise KeyFormatError(f"the secret has {len(secret)} bytes; at most {MAX_SECRET} are accepted")
    if _is_public_text(secret):
        raise KeyFormatError("this is a public key or a key set, which cannot be used as a secret")

    def make_check(owner: VerificationKey, algorithm: Algorithm) -> SignatureCheck:
        def verify(signature: bytes, signed: bytes) -> None:
            if not compare_digest(digest(secret, signed, algorithm.hash_name), signature):
                raise InvalidSignature

        return SignatureCheck(
            key=owner, key_id=owner.kid, algorithm=algorithm.name, signature_size=algorithm.digest_size, verify=verify
        )

    return VerificationKey(
        kid=kid, kty="oct", bits=len(secret) * 8, material=b"oct:" + secret, allowed=wanted, make_check=make_check
    )


def _is_public_text(secret: bytes) -> bool:
    """True for PEM, SSH and JWK text anywhere inside, for DER of a public key or certificate, and for either of them in base64."""
    return _is_public(secret) or _is_public(_unarmoured(secret))


def _unarmoured(text: bytes) -> bytes:
    """The bytes of a base64 text of either alphabet, with or without padding and white space; b"" for any other text."""
    letters = b"".join(text.split()).rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    with suppress(ValueError):
        return b64decode(letters + b"=" * (-len(letters) % 4), validate=True)
    return b""


def _is_public(secret: bytes) -> bool:
    if any(mark in secret for mark in _KEY_TEXT):
        return True
    if not secret.startswith(b"\x30"):
        return False
    for load in (load_der_public_key, load_der_x509_certificate):
        for text in (secret, secret.rstrip(b"\r\n")):
            with suppress(Exception):
                load(text)
                return True
    return False
