"""
ML-DSA private keys for the command line: made, read from a file, written, signed with. No message holds a key.

joserfc has no such keys; the ones here answer to the same few calls. A private key is its 32-byte seed, in a JWK (`priv`) and in PEM alike.

Source: RFC 9964, RFC 7638 section 3 (thumbprint), RFC 7515 section 7.1 (the text that is signed).
"""

import base64
import hashlib
import json
from typing import Any, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from lbjwt._compact import parse_base64url
from lbjwt.errors import KeyFormatError
from lbjwt.jose.mldsa import NOT_OFFERED, mldsa, mldsa_algorithm

__all__ = ["MLDSAKey"]

_SEED = 32  # bytes, of every parameter set


class MLDSAKey:
    """A private key of one of the ML-DSA algorithms."""

    def __init__(self, private: Any, *, kid: str | None = None) -> None:
        """
        Raises:
            KeyFormatError: A private key of another kind.
        """
        public: Any = private.public_key()
        self.alg = mldsa_algorithm(public)
        if not self.alg:
            raise KeyFormatError("no ML-DSA private key")
        self.kid = kid
        self._private = private
        self._public = _encode(public.public_bytes_raw())

    @classmethod
    def generate(cls, algorithm: str) -> Self:
        """
        Raises:
            KeyFormatError: `cryptography` does not offer it.
        """
        try:
            return cls(_type(algorithm).generate())
        except UnsupportedAlgorithm:
            raise KeyFormatError(f"{algorithm} {NOT_OFFERED}") from None

    @classmethod
    def from_jwk(cls, jwk: dict[str, Any]) -> Self:
        """
        Read a private JWK of type AKP.

        Raises:
            KeyFormatError: Malformed, for another algorithm, of two keys, or `cryptography` does not offer it.
        """
        algorithm, public, seed, kid = (jwk.get(name) for name in ("alg", "pub", "priv", "kid"))
        content = parse_base64url(seed.encode("utf-8", "replace")) if isinstance(seed, str) else None
        if (
            content is None
            or len(content) != _SEED
            or not isinstance(algorithm, str)
            or not isinstance(kid, str | None)
        ):
            raise KeyFormatError("no private JWK of an ML-DSA key")
        try:
            key = cls(_type(algorithm).from_seed_bytes(content), kid=kid)
        except UnsupportedAlgorithm:
            raise KeyFormatError(f"{algorithm} {NOT_OFFERED}") from None
        if public != key._public:
            raise KeyFormatError("pub and priv are of two keys")
        return key

    @classmethod
    def from_pem(cls, text: bytes) -> Self:
        """
        Read an unencrypted private key in PEM.

        Raises:
            KeyFormatError: Another kind of key, or none.
        """
        try:
            private = load_pem_private_key(text, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise KeyFormatError("no unencrypted private key in PEM") from None
        return cls(private)

    def as_dict(self, *, private: bool) -> dict[str, str]:
        """The JWK, without labels that the algorithm does not need."""
        jwk = {"kty": "AKP", "alg": self.alg, "pub": self._public}
        return {**jwk, "priv": _encode(self._private.private_bytes_raw())} if private else jwk

    def as_pem(self, *, private: bool) -> bytes:
        """The private key in PKCS#8, as its seed."""
        if not private:
            raise ValueError("the public key goes into a JWK Set")
        pem: bytes = self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem

    def thumbprint(self) -> str:
        """The SHA-256 thumbprint of the public key."""
        members = {"alg": self.alg, "kty": "AKP", "pub": self._public}  # in the order of RFC 7638 section 3.3
        return _encode(hashlib.sha256(_json(members)).digest())

    def sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """A compact JWS. The header must name the key's algorithm."""
        if header["alg"] != self.alg:
            raise ValueError("an ML-DSA key signs with its own algorithm only")
        signed = f"{_encode(_json(header))}.{_encode(_json(claims))}"
        return f"{signed}.{_encode(self._private.sign(signed.encode()))}"


def _type(algorithm: str) -> Any:
    if mldsa is None:
        raise KeyFormatError(f"{algorithm} {NOT_OFFERED}")
    types = {
        "ML-DSA-44": mldsa.MLDSA44PrivateKey,
        "ML-DSA-65": mldsa.MLDSA65PrivateKey,
        "ML-DSA-87": mldsa.MLDSA87PrivateKey,
    }
    if algorithm not in types:
        raise KeyFormatError("an AKP key for something else than ML-DSA")
    return types[algorithm]


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
