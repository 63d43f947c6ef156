"""
From one JWK to a verification key.

Checks what the JWK import of joserfc does not: private members, sizes, exponents, curves, encodings, and `use`, `key_ops` and `alg`.

Source: RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2, RFC 8812 section 3.1, RFC 9964.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from joserfc.jwk import JWKRegistry

from lbjwt._compact import parse_base64url
from lbjwt.errors import KeyFormatError
from lbjwt.jose.algorithms import ALGORITHMS
from lbjwt.jose.certificates import thumbprints
from lbjwt.jose.keys import VerificationKey, public_key, secret_key
from lbjwt.jose.mistaken import SECRET_MEMBERS
from lbjwt.jose.mldsa import mldsa_key
from lbjwt.jose.weak import MAX_RSA_BITS, rsa_weakness

MAX_KEY_ID = 256  # characters

_PUBLIC_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "AKP": ("alg", "pub")}
_COORDINATE_BYTES = {"P-256": 32, "P-384": 48, "P-521": 66, "secp256k1": 32, "Ed25519": 32, "Ed448": 57}


def is_usable_key_id(kid: object) -> bool:
    """True for a string of 1 to 256 printable characters (THREATS A8)."""
    return isinstance(kid, str) and 0 < len(kid) <= MAX_KEY_ID and kid.isprintable()


def import_jwk(
    jwk: Mapping[str, Any],
    *,
    allowed: Iterable[str] | None = None,
    allow_padding: bool = False,
    symmetric: bool = False,
) -> tuple[VerificationKey, tuple[str, ...]]:
    """
    Import one JWK.

    Private members are dropped unread, with a warning (THREATS B13, B14). A member that is null counts as missing, because many serialisers
    write null for a member without a value.

    Args:
        allowed: Algorithms the key may check at most; None for all that fit. A JWK with `alg` serves that one only.
        allow_padding: Accept base64url with correct `=` padding.
        symmetric: Import only secrets (`oct`). Not for documents from the network (THREATS B12).

    Returns:
        The key, and warnings about it.

    Raises:
        KeyFormatError: Of the wrong kind, unknown, weak, malformed, or not for signatures.
    """
    jwk = {name: value for name, value in jwk.items() if value is not None}
    kty = jwk.get("kty")
    if (kty == "oct") != symmetric:
        raise KeyFormatError(
            "a public key cannot be used with HS algorithms"
            if symmetric
            else "a symmetric key is used only from a jwks_file, for an issuer with HS algorithms only"
        )
    names = ("k",) if symmetric else _PUBLIC_MEMBERS.get(kty) if isinstance(kty, str) else None
    if names is None:
        raise KeyFormatError("the key type is unknown")
    kid = jwk.get("kid", "")
    if kid != "" and not is_usable_key_id(kid):
        raise KeyFormatError(f"the key id is not 1 to {MAX_KEY_ID} printable characters")
    chosen = _algorithms_of(jwk, allowed)
    _check_purpose(jwk)
    members = {name: value for name in names if isinstance(value := jwk.get(name), str)}
    if len(members) < len(names):
        raise KeyFormatError(f"the key has no {' and '.join(names)} as text")
    if allow_padding:
        members = {name: value if name in ("crv", "alg") else _unpadded(name, value) for name, value in members.items()}
    if symmetric:
        return secret_key(_bytes_of("k", members["k"]), kid=kid, allowed=chosen or ()), ()
    # RFC 9964: `alg` of an AKP key says what `pub` is
    raw = mldsa_key(members["alg"], _bytes_of("pub", members["pub"])) if kty == "AKP" else _classic(str(kty), members)
    warnings = (
        ("lbjwt ignored private members; remove them, because anybody who reads them can sign tokens",)
        if SECRET_MEMBERS & jwk.keys()
        else ()
    )
    return public_key(raw, kid=kid, allowed=chosen, certificates=thumbprints(jwk)), warnings


def _classic(kty: str, members: Mapping[str, str]) -> object:
    _check_numbers(members)
    try:
        return getattr(JWKRegistry.import_key({"kty": kty, **members}), "public_key", None)
    except Exception as problem:  # joserfc lets ValueError, KeyError and TypeError through, depending on the type
        raise KeyFormatError("the key material is not a valid public key") from problem


def _algorithms_of(jwk: Mapping[str, Any], allowed: Iterable[str] | None) -> frozenset[str] | None:
    """The algorithms that both `alg` and the configuration allow; None for any (RFC 7517 section 4.4, RFC 8725 section 3.1)."""
    named = jwk.get("alg")
    if named is None:
        return None if allowed is None else frozenset(allowed)
    if not isinstance(named, str) or named not in ALGORITHMS:
        raise KeyFormatError("lbjwt does not support its algorithm for signatures")
    if allowed is not None and named not in frozenset(allowed):
        raise KeyFormatError(f"its algorithm {named} is not among the configured ones")
    return frozenset({named})


def _check_purpose(jwk: Mapping[str, Any]) -> None:
    """RFC 7517 sections 4.2 and 4.3."""
    if jwk.get("use", "sig") != "sig":
        raise KeyFormatError("its use is not sig")
    # Web Cryptography writes an empty list for a public key of a key agreement (ECDH).
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise KeyFormatError("its key_ops do not include verify")


def _check_numbers(members: Mapping[str, str]) -> None:
    """Refuse all but strict base64url, numbers of the right length (before any arithmetic), and RSA keys without weakness."""
    curve = members.get("crv")
    numbers: dict[str, int] = {}
    if curve is not None and curve not in _COORDINATE_BYTES:
        raise KeyFormatError("the curve is not P-256, P-384, P-521, secp256k1, Ed25519 or Ed448")
    for name, text in members.items():
        if name == "crv":
            continue
        value = _bytes_of(name, text)
        if curve is not None and len(value) != _COORDINATE_BYTES[curve]:
            raise KeyFormatError(f"{name} does not have the length that its curve requires")
        if curve is None and len(value) > MAX_RSA_BITS // 8 + 1:
            raise KeyFormatError(f"{name} is longer than {MAX_RSA_BITS} bits")
        numbers[name] = int.from_bytes(value, "big")
    if curve is None and (weakness := rsa_weakness(numbers["n"], numbers["e"])):
        raise KeyFormatError(weakness)


def _bytes_of(name: str, text: str, padding: bool = False) -> bytes:
    value = parse_base64url(text.encode("utf-8", "replace"), padding)
    if not value:
        raise KeyFormatError(f"{name} is not base64url")
    return value


def _unpadded(name: str, text: str) -> str:
    _bytes_of(name, text, padding=True)  # correct padding, or refused
    return text.rstrip("=")
