"""
Signing keys of every algorithm, and tokens made of parts that need not fit together.

Signs with `cryptography` and nothing else, so that what is judged here shares no code with what judges it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

try:
    from cryptography.hazmat.primitives.asymmetric import mldsa
except ImportError:  # before version 48
    mldsa = None  # type: ignore[assignment]

HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CURVES: dict[str, tuple[str, ec.EllipticCurve]] = {
    "ES256": ("P-256", ec.SECP256R1()),
    "ES384": ("P-384", ec.SECP384R1()),
    "ES512": ("P-521", ec.SECP521R1()),
    "ES256K": ("secp256k1", ec.SECP256K1()),
}
ML_DSA: dict[str, Any] = {
    f"ML-DSA-{size}": kind for size in (44, 65, 87) if (kind := getattr(mldsa, f"MLDSA{size}PrivateKey", None))
}
SYMMETRIC = ("HS256", "HS384", "HS512")
ASYMMETRIC = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *CURVES,
    *("EdDSA", "Ed25519", "Ed448"),
    *ML_DSA,
)


def b64(data: bytes) -> str:
    """base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """The other way."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(value: int, size: int = 0) -> str:
    """A big-endian number as JWKs hold it, padded to `size` bytes."""
    return b64(value.to_bytes(max(size, (value.bit_length() + 7) // 8), "big"))


@dataclass(frozen=True)
class SigningKey:
    """One private key with one algorithm."""

    kid: str
    algorithm: str
    private: Any = field(repr=False)

    def sign(self, data: bytes) -> bytes:
        """A JWS signature (RFC 7518 section 3, RFC 8037, RFC 8812, RFC 9964)."""
        name, private = self.algorithm, self.private
        if name in SYMMETRIC:
            return hmac.new(private, data, f"sha{name[2:]}").digest()
        if name.startswith("RS"):
            return bytes(private.sign(data, padding.PKCS1v15(), HASHES[name[2:]]))
        if name.startswith("PS"):
            digest = HASHES[name[2:]]
            return bytes(private.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest))
        if name in CURVES:
            size = (private.key_size + 7) // 8
            r, s = decode_dss_signature(private.sign(data, ec.ECDSA(HASHES[name[2:5]])))
            return bytes(r.to_bytes(size, "big") + s.to_bytes(size, "big"))
        return bytes(private.sign(data))

    def jwk(self, **members: Any) -> dict[str, Any]:
        """The public JWK (RFC 7517), with `members` over it; None leaves one out. Of an HMAC key: the secret."""
        document = {"kid": self.kid, "alg": self.algorithm, "use": "sig", **public_members(self.private), **members}
        return {name: value for name, value in document.items() if value is not None}

    def token(self, claims: dict[str, Any] | bytes, **header: Any) -> str:
        """A compact JWS. `header` goes over `alg` and `kid`; a member given as None is left out."""
        members = {"alg": self.algorithm, "kid": self.kid, **header}
        return self.sealed(
            json.dumps({name: value for name, value in members.items() if value is not None}).encode(),
            claims if isinstance(claims, bytes) else json.dumps(claims).encode(),
        )

    def sealed(self, header: bytes, payload: bytes) -> str:
        """A compact JWS of exactly these bytes."""
        signed = f"{b64(header)}.{b64(payload)}"
        return f"{signed}.{b64(self.sign(signed.encode()))}"


def public_members(private: Any) -> dict[str, Any]:
    """Key type and public numbers, as RFC 7518 section 6, RFC 8037 section 2 and RFC 9964 have them."""
    if isinstance(private, bytes):
        return {"kty": "oct", "k": b64(private)}
    public = private.public_key()
    if isinstance(private, rsa.RSAPrivateKey):
        numbers = public.public_numbers()
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    if isinstance(private, ec.EllipticCurvePrivateKey):
        numbers, size = public.public_numbers(), (private.key_size + 7) // 8
        curve = next(name for name, kind in CURVES.values() if kind.name == private.curve.name)
        return {"kty": "EC", "crv": curve, "x": number(numbers.x, size), "y": number(numbers.y, size)}
    if isinstance(private, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        curve = "Ed25519" if isinstance(private, ed25519.Ed25519PrivateKey) else "Ed448"
        return {"kty": "OKP", "crv": curve, "x": b64(public.public_bytes_raw())}
    return {"kty": "AKP", "pub": b64(public.public_bytes_raw())}


def private_members(private: Any) -> dict[str, Any]:
    """The members that nobody should publish."""
    if isinstance(private, rsa.RSAPrivateKey):
        numbers = private.private_numbers()
        return {"d": number(numbers.d), "p": number(numbers.p), "q": number(numbers.q)}
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return {"d": number(private.private_numbers().private_value, (private.key_size + 7) // 8)}
    return {"d": b64(private.private_bytes_raw())}


def new_key(algorithm: str, kid: str = "") -> SigningKey:
    """A fresh key; its id is the algorithm's name unless given."""
    private: Any
    if algorithm in SYMMETRIC:
        private = os.urandom(hashlib.new(f"sha{algorithm[2:]}").digest_size)
    elif algorithm[:2] in ("RS", "PS"):
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    elif algorithm in CURVES:
        private = ec.generate_private_key(CURVES[algorithm][1])
    elif algorithm in ML_DSA:
        private = ML_DSA[algorithm].generate()
    else:
        private = (ed448.Ed448PrivateKey if algorithm == "Ed448" else ed25519.Ed25519PrivateKey).generate()
    return SigningKey(kid or algorithm, algorithm, private)
