"""
Keys and tokens for tests, and the shadow verifier: a second, independent judgement (PyJWT) of every token that reaches a backend.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import Algorithm, ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.utils import base64url_decode

try:
    from cryptography.hazmat.primitives.asymmetric import mldsa
except ImportError:  # before version 48
    mldsa = None  # type: ignore[assignment]

ISSUER = "https://issuer.test"
AUDIENCE = "api"
CLOCK_SKEW = 60.0  # seconds; lbjwt's default

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class TokenSource(ABC):
    """An issuer, or several that are judged as one."""

    issuer: str
    audience: str

    @abstractmethod
    def jwks(self) -> dict[str, Any]:
        """The public keys as a JWK Set (RFC 7517), for the balancer's file and the shadow verifier."""

    @abstractmethod
    def mint(self, *arguments: Any, **claims: Any) -> str:
        """A signed token. Registered claims have good values unless given; a claim given as None is left out."""

    def write_jwks(self, path: Path) -> Path:
        """Write the JWK Set to a file; returns the path."""
        path.write_text(json.dumps(self.jwks()), encoding="utf-8")
        return path


class TokenFactory(TokenSource):
    """One issuer with a key for each of RS256, ES256 and EdDSA. Key ids are the algorithm names."""

    def __init__(self, issuer: str = ISSUER, audience: str = AUDIENCE) -> None:
        self.issuer = issuer
        self.audience = audience

    @cached_property
    def keys(self) -> dict[str, PrivateKey]:
        """Private keys by key id, made when they are first needed: many modules have an issuer, and every process of a run imports them all."""
        return {
            "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "ES256": ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        }

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JWK Set (RFC 7517)."""
        documents = []
        for name, key in self.keys.items():
            public = key.public_key()
            if isinstance(public, rsa.RSAPublicKey):
                text = RSAAlgorithm.to_jwk(public)
            elif isinstance(public, ec.EllipticCurvePublicKey):
                text = ECAlgorithm.to_jwk(public)
            else:
                text = OKPAlgorithm.to_jwk(public)
            document = {**json.loads(text), "kid": name, "use": "sig", "alg": name}
            document.pop("key_ops", None)  # RFC 7517 section 4.3: not together with use
            documents.append(document)
        return {"keys": documents}

    def mint(
        self, algorithm: str = "RS256", *, lifetime: float = 3600.0, key: PrivateKey | None = None, **claims: Any
    ) -> str:
        """
        A signed token. Registered claims have good values unless given; a claim given as None is left out.

        Args:
            lifetime: Seconds from now to `exp`; negative for an expired token.
            key: Sign with this key instead of the issuer's (for forgeries).
        """
        now = int(time.time())
        payload: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": "alice",
            "iat": now,
            "exp": int(now + lifetime),
            **claims,
        }
        payload = {name: value for name, value in payload.items() if value is not None}
        return jwt.encode(payload, key or self.keys[algorithm], algorithm, headers={"kid": algorithm})


class _MlDsa(Algorithm):
    """ML-DSA (RFC 9964), which PyJWT does not have."""

    def prepare_key(self, key: Any) -> Any:
        return key

    def sign(self, msg: bytes, key: Any) -> bytes:
        raise NotImplementedError

    def verify(self, msg: bytes, key: Any, sig: bytes) -> bool:
        try:
            key.verify(sig, msg)
        except InvalidSignature:
            return False
        return True

    @staticmethod
    def to_jwk(key_obj: Any, as_dict: bool = False) -> Any:
        raise NotImplementedError

    @staticmethod
    def from_jwk(jwk: Any) -> Any:
        return getattr(mldsa, jwk["alg"].replace("ML-DSA-", "MLDSA") + "PublicKey").from_public_bytes(
            base64url_decode(jwk["pub"])
        )


# Names that PyJWT has not: of RFC 9864, whose curve the key tells it, and of RFC 9964.
MORE_ALGORITHMS: dict[str, Algorithm] = {"Ed25519": OKPAlgorithm(), "Ed448": OKPAlgorithm()}
MORE_ALGORITHMS |= {f"ML-DSA-{size}": _MlDsa() for size in (44, 65, 87)}
for _name, _algorithm in MORE_ALGORITHMS.items():
    jwt.register_algorithm(_name, _algorithm)


class ShadowVerifier:
    """
    PyJWT's opinion of an Authorization value.

    A token that verified once is remembered by its whole text until its own `exp` plus skew, so that a backend can judge every request of a
    million without being the slowest part. A key may say whose it is in a member `issuer`: it is then believed for that issuer only.
    """

    def __init__(self, jwks: dict[str, Any], issuer: str, audience: str, skew: float = CLOCK_SKEW) -> None:
        self._keys = {key["kid"]: (_public(key), key["alg"], key.get("issuer", issuer)) for key in jwks["keys"]}
        self._audience = audience
        self._skew = skew
        self._good: dict[bytes, float] = {}

    def judge(self, values: list[bytes]) -> str:
        """ "ok", or why these Authorization values are not exactly one good bearer token."""
        if len(values) != 1:
            return "no token" if not values else "several tokens"
        value = values[0]
        # Half a second of grace: the balancer judged earlier than we do.
        if self._good.get(value, 0.0) + 0.5 > time.time():
            return "ok"
        scheme, _, token = value.partition(b" ")
        if scheme.lower() != b"bearer":
            return "not a bearer token"
        token = token.lstrip(b" ")  # RFC 6750 section 2.1: 1*SP
        try:
            key, algorithm, issuer = self._keys[jwt.get_unverified_header(token)["kid"]]
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=issuer,
                audience=self._audience,
                leeway=self._skew + 0.5,
                options={"require": ["exp"]},
            )
        except (jwt.PyJWTError, KeyError, ValueError) as problem:
            return type(problem).__name__
        if len(self._good) > 100_000:
            self._good.clear()
        self._good[value] = claims["exp"] + self._skew
        return "ok"


def _public(key: dict[str, Any]) -> Any:
    """The key object of a JWK."""
    own = MORE_ALGORITHMS.get(key["alg"])
    return own.from_jwk(key) if own is not None else jwt.PyJWK(key).key
