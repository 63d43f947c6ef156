"""
Keys and tokens of the benchmark: made once, kept for an hour of use, private keys never written.

Minted with PyJWT, not with the project's own code, so that what is accepted was not made by the one who accepts it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER = "https://issuer.bench.example/"
AUDIENCE = "https://api.bench.example"
ROTATION = 30_000  # different tokens that take turns
LIFETIME = 7200  # seconds
LEAST_LIFE = 3600  # seconds a stored set must still be valid to be used again


@dataclass(frozen=True)
class Material:
    """Files of one algorithm; ``hot`` holds one token, ``rotation`` one a line."""

    algorithm: str
    jwks: Path
    pem: Path
    hot: Path
    rotation: Path
    expired: str
    forged: str  # well-formed, right key id, signed by another key

    @property
    def token(self) -> str:
        """The hot token."""
        return self.hot.read_text().strip()


def _new_key(algorithm: str) -> Any:
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def _claims(number: int, now: int) -> dict[str, object]:
    return {
        "iss": ISSUER,
        "sub": f"auth0|{number:024x}",
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + LIFETIME,
        "scope": "openid profile email catalogue:read basket:read basket:write orders:read orders:write",
    }


def _jwk(public_key: Any, algorithm: str, key_id: str) -> dict[str, object]:
    kind = RSAAlgorithm if algorithm == "RS256" else ECAlgorithm
    return {**kind.to_jwk(public_key, as_dict=True), "kid": key_id, "alg": algorithm, "use": "sig"}


def material(directory: Path, algorithm: str, count: int = ROTATION) -> Material:
    """Tokens of one algorithm (``RS256`` or ``ES256``): the stored set while it lives long enough, else a new one."""
    place = directory / f"{algorithm}-{count}"
    notes = place / "notes.json"
    if not notes.exists() or json.loads(notes.read_text())["expires"] < time.time() + LEAST_LIFE:
        place.mkdir(parents=True, exist_ok=True)
        _make(place, notes, algorithm, count)
    stored = json.loads(notes.read_text())
    return Material(
        algorithm=algorithm,
        jwks=place / "jwks.json",
        pem=place / "public.pem",
        hot=place / "hot.txt",
        rotation=place / "rotation.txt",
        expired=stored["expired"],
        forged=stored["forged"],
    )


def _make(place: Path, notes: Path, algorithm: str, count: int) -> None:
    notes.unlink(missing_ok=True)
    now = int(time.time())
    key, other_key, key_id = _new_key(algorithm), _new_key(algorithm), f"bench-{algorithm.lower()}-{now}"

    def mint(claims: dict[str, object], signer: Any = key) -> str:
        return jwt.encode(claims, signer, algorithm=algorithm, headers={"kid": key_id})

    public = key.public_key()
    (place / "jwks.json").write_text(json.dumps({"keys": [_jwk(public, algorithm, key_id)]}))
    (place / "public.pem").write_bytes(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (place / "hot.txt").write_text(mint(_claims(0, now)) + "\n")
    with (place / "rotation.txt").open("w") as lines:
        for number in range(1, count + 1):
            lines.write(mint(_claims(number, now)) + "\n")
    expired = mint({**_claims(0, now), "iat": now - 9000, "exp": now - 3600})
    forged = mint(_claims(0, now), other_key)
    notes.write_text(json.dumps({"expires": now + LIFETIME, "expired": expired, "forged": forged}))
