"""
Keys and tokens for tests, and the shadow verifier: a second, independent judgement (PyJWT) of every token that reaches a backend.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://issuer.test"
AUDIENCE = "api"
CLOCK_SKEW = 60.0  # seconds; lbjwt's default
ALGORITHMS = ["RS256", "ES256", "EdDSA"]

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class TokenFactory:
    """One issuer with a key for each of RS256, ES256 and EdDSA. Key ids are the algorithm names."""

    def __init__(self, issuer: str = ISSUER, audience: str = AUDIENCE) -> None:
        self.issuer = issuer
        self.audience = audience
        self.keys: dict[str, PrivateKey] = {
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

    def write_jwks(self, path: Path) -> Path:
        """Write the JWK Set to a file; returns the path."""
        path.write_text(json.dumps(self.jwks()), encoding="utf-8")
        return path

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


class ShadowVerifier:
    """
    PyJWT's opinion of an Authorization value.

    A token that verified once is remembered by its whole text until its own `exp` plus skew, so that a backend can judge every request of a
    million without being the slowest part.
    """

    def __init__(self, jwks: dict[str, Any], issuer: str, audience: str, skew: float = CLOCK_SKEW) -> None:
        self._keys = {key["kid"]: jwt.PyJWK(key) for key in jwks["keys"]}
        self._issuer = issuer
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
            kid = jwt.get_unverified_header(token)["kid"]
            claims = jwt.decode(
                token,
                self._keys[kid].key,
                algorithms=ALGORITHMS,
                issuer=self._issuer,
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
