"""Keys, encrypted tokens and verifiers for the tests of JWE. Tokens are encrypted by joserfc with every algorithm that it has."""

import json
from functools import cache
from typing import Any

from joserfc import jwe
from joserfc.jwe import JWERegistry
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from lbjwt.auth.encrypted import Decryption
from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.verifier import Verifier
from lbjwt.jose.decryption import DecryptionKey, import_decryption_keys
from lbjwt.jose.encryption import ENCRYPTIONS
from lbjwt.jose.keyring import KeyRing
from tests.unit.auth_tokens import ISSUER, b64, jwk_of, rsa_key, token, unb64

CURVES: dict[str, Any] = {"P-256": ECKey, "P-384": ECKey, "P-521": ECKey, "X25519": OKPKey, "X448": OKPKey}
EVERYTHING = JWERegistry(algorithms=[*JWERegistry.algorithms["alg"], *JWERegistry.algorithms["enc"], "DEF"])


@cache
def recipient(kind: str, which: int = 0) -> Any:
    """A private key by its kind: RSA, a curve, or the bytes of a secret."""
    if kind == "RSA":
        return RSAKey.generate_key(2048)
    return CURVES[kind].generate_key(kind) if kind in CURVES else OctKey.generate_key(int(kind) * 8)


def kind_for(algorithm: str, encryption: str) -> str:
    """A kind of key for an algorithm."""
    if algorithm.startswith("RSA"):
        return "RSA"
    if algorithm.startswith("ECDH-ES"):
        return "P-256"
    return str(ENCRYPTIONS[encryption].key_size if algorithm == "dir" else int(algorithm[1:4]) // 8)


def private_jwk(key: Any, **members: Any) -> dict[str, Any]:
    """The private JWK of a key."""
    return {**key.as_dict(private=True), **members}


def decryption_key(key: Any, **members: Any) -> DecryptionKey:
    """The key as lbjwt reads it from a file."""
    return _imported(json.dumps(private_jwk(key, **members)).encode())


@cache
def _imported(text: bytes) -> DecryptionKey:
    (found,) = import_decryption_keys(text)
    return found


def encrypt(
    content: bytes, key: Any, algorithm: str = "RSA-OAEP-256", encryption: str = "A256GCM", **header: Any
) -> bytes:
    """A compact JWE; a member given as None is left out."""
    members = {"alg": algorithm, "enc": encryption, "cty": "JWT", **header}
    members = {name: value for name, value in members.items() if value is not None}
    return jwe.encrypt_compact(members, content, key, registry=EVERYTHING).encode()


def signed(**changes: Any) -> bytes:
    """A good signed token."""
    return token(algorithm="RS256", key=rsa_key(), kid="s1", **changes)


def verifier(*keys: Any, policy: dict[str, Any] | None = None, **options: Any) -> Verifier:
    """A verifier of one issuer that has these private keys."""
    ring = KeyRing.from_jwks({"keys": [jwk_of(rsa_key(), kid="s1")]})
    decryption = Decryption(tuple(map(decryption_key, keys)), **options)
    return Verifier(ring, IssuerPolicy(issuer=ISSUER, audiences=("api",), **(policy or {})), decryption=decryption)


def changed(text: bytes, part: int, *, header: dict[str, Any] | None = None) -> bytes:
    """The token with the first bit of one part flipped, or with another header."""
    parts = text.split(b".")
    if header is not None:
        parts[0] = b64(json.dumps(header).encode()).encode()
    else:
        raw = bytearray(unb64(parts[part]))
        raw[0] ^= 0x80
        parts[part] = b64(bytes(raw)).encode()
    return b".".join(parts)


def header_of(text: bytes) -> dict[str, Any]:
    """The header of a JWE."""
    found: dict[str, Any] = json.loads(unb64(text.split(b".")[0]))
    return found
