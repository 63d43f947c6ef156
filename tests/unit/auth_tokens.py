"""Keys, tokens and verifiers for the tests of the gate. Tokens are made by hand here, so that they can be wrong in every way."""

import base64
import datetime
import json
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from lbjwt.auth.verdict import Verdict
from lbjwt.auth.verifier import Verifier

NOW = 1_800_000_000.0
ISSUER = "https://issuer.example"
SECRET = bytes(range(64))
HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1(), "ES256K": ec.SECP256K1()}
NAMES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "ES256K": "secp256k1"}
MLDSA: dict[str, Any] = {
    "ML-DSA-44": mldsa.MLDSA44PrivateKey,
    "ML-DSA-65": mldsa.MLDSA65PrivateKey,
    "ML-DSA-87": mldsa.MLDSA87PrivateKey,
}
ALGORITHMS = [
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "ES256K"),
    *("EdDSA", "Ed25519", "Ed448", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87", "HS256", "HS384", "HS512"),
]


def b64(data: bytes) -> str:
    """Unpadded base64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str | bytes) -> bytes:
    """The bytes of unpadded base64url."""
    data = text.encode() if isinstance(text, str) else text
    return base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4))


def number(value: int, size: int = 0) -> str:
    """An unsigned integer as JWK text."""
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8 or 1, "big"))


@cache
def private_key(algorithm: str) -> Any:
    """One private key per algorithm family member; RSA shares one."""
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm])
    if algorithm in MLDSA:
        return MLDSA[algorithm].generate()
    if algorithm == "Ed448":
        return ed448.Ed448PrivateKey.generate()
    if algorithm in ("EdDSA", "Ed25519"):
        return ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else private_key("EdDSA")
    if algorithm[:2] == "HS":
        return SECRET
    return rsa_key()


@cache
def rsa_key(which: int = 0) -> rsa.RSAPrivateKey:
    """RSA-2048 keys by number."""
    return rsa.generate_private_key(65537, 2048)


def public_pem(algorithm: str) -> bytes:
    """The public half as PEM."""
    return private_key(algorithm).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def certificate(
    key: Any = None, *, name: str = "issuer", issuer: str | None = None, by: Any = None, serial: int = 1
) -> x509.Certificate:
    """A certificate of an RSA key, expired long ago; self-signed, unless another issuer and the key it signs with are given."""
    key = rsa_key() if key is None else key
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
        for text in (name, name if issuer is None else issuer)
    ]
    day = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(key.public_key())
    builder = builder.serial_number(serial).not_valid_before(day).not_valid_after(day + datetime.timedelta(days=1))
    return builder.sign(key if by is None else by, hashes.SHA256())


def jwk_of(key: Any, **members: Any) -> dict[str, Any]:
    """The public JWK of a private key of the cryptography package; it names its algorithm where it must to be used."""
    public = key.public_key()
    for algorithm, kind in MLDSA.items():
        if isinstance(key, kind):
            return {"kty": "AKP", "alg": algorithm, "pub": b64(public.public_bytes_raw()), **members}
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), **members}
    if isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        size = (public.key_size + 7) // 8
        named = (
            {"crv": "secp256k1", "alg": "ES256K"}
            if public.curve.name == "secp256k1"
            else {"crv": f"P-{public.key_size}"}
        )
        return {"kty": "EC", **named, "x": number(point.x, size), "y": number(point.y, size), **members}
    curve = "Ed25519" if isinstance(public, ed25519.Ed25519PublicKey) else "Ed448"
    return {"kty": "OKP", "crv": curve, "x": b64(public.public_bytes_raw()), **members}


def sign(algorithm: str, signed: bytes, key: Any = None) -> bytes:
    """A signature as JWS wants it."""
    key = private_key(algorithm) if key is None else key
    if algorithm[:2] == "HS":
        mac = HMAC(key, HASHES[algorithm[2:]])
        mac.update(signed)
        return mac.finalize()
    if algorithm[:2] == "RS":
        return key.sign(signed, padding.PKCS1v15(), HASHES[algorithm[2:]])
    if algorithm[:2] == "PS":
        digest = HASHES[algorithm[2:]]
        return key.sign(signed, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    if algorithm in CURVES:
        r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(HASHES[algorithm[2:5]])))
        size = (key.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    return key.sign(signed)


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims; a change to None leaves the claim out."""
    good = {"iss": ISSUER, "aud": "api", "sub": "user-1", "exp": int(NOW) + 600, "iat": int(NOW) - 10, **changes}
    return {name: value for name, value in good.items() if value is not None}


def token(
    payload: dict[str, Any] | bytes | None = None,
    *,
    algorithm: str = "HS256",
    header: dict[str, Any] | bytes | None = None,
    key: Any = None,
    kid: str | None = "k1",
) -> bytes:
    """A signed token. header and payload as bytes are taken as they are."""
    if header is None:
        header = {"alg": algorithm, "typ": "JWT"} | ({} if kid is None else {"kid": kid})
    payload = claims() if payload is None else payload
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signed = ".".join(b64(part) for part in parts).encode()
    return signed + b"." + b64(sign(algorithm, signed, key)).encode()


def verifier(algorithm: str = "HS256", **options: Any) -> Verifier:
    """A verifier for the tokens of `token` of one algorithm."""
    options = {"issuer": ISSUER, "audiences": ["api"]} | options
    if options.get("any_issuer"):
        options.pop("issuer")
    if options.get("any_audience"):
        options.pop("audiences")
    if algorithm[:2] == "HS":
        return Verifier.from_secret(SECRET, algorithms=[algorithm], **options)
    return Verifier.from_jwks({"keys": [jwk_of(private_key(algorithm), kid="k1")]}, **options)


def reason(text: bytes | str, algorithm: str = "HS256", now: float = NOW, **options: Any) -> str:
    """The name of the reason a fresh verifier gives."""
    return judged(verifier(algorithm, **options).verify(text, now))


def judged(verdict: Verdict) -> str:
    """The name of a verdict's reason, after a look at its consistency."""
    assert verdict.allowed == (verdict.grant is not None) == (verdict.reason.name == "NONE")
    return verdict.reason.name
