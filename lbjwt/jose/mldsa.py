"""
ML-DSA public keys (FIPS 204). The installed `cryptography` may not have them: its wheels do since version 48, other builds only with
OpenSSL 3.5 or newer. Without them, only keys of this kind are refused.

Source: RFC 9964, FIPS 204.
"""

from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm

from lbjwt.errors import KeyFormatError

try:
    from cryptography.hazmat.primitives.asymmetric import mldsa as _module
except ImportError:  # cryptography < 47
    _module = None  # type: ignore[assignment]

mldsa: Any = _module

# FIPS 204 table 2: bytes of an encoded public key. Every string of that length is a key (section 7.2).
_SIZES = {"ML-DSA-44": 1312, "ML-DSA-65": 1952, "ML-DSA-87": 2592}


def mldsa_key(algorithm: str, encoded: bytes) -> Any:
    """
    Decode a public key of the cryptography package.

    Raises:
        KeyFormatError: Not an ML-DSA algorithm, the wrong length, or `cryptography` does not offer it.
    """
    size = _SIZES.get(algorithm)
    if size is None:
        raise KeyFormatError("the AKP key is for an algorithm other than ML-DSA")
    if len(encoded) != size:
        raise KeyFormatError(f"pub does not have the {size} bytes of {algorithm}")
    missing = KeyFormatError(
        f"the installed version of cryptography does not support {algorithm}; install 48.0 or newer"
    )
    if mldsa is None:
        raise missing
    try:
        return _types()[algorithm].from_public_bytes(encoded)
    except UnsupportedAlgorithm:
        raise missing from None
    except ValueError as problem:
        raise KeyFormatError("the key material is not a valid public key") from problem


def mldsa_algorithm(key: object) -> str:
    """The algorithm of a public key of the cryptography package; "" for a key of another kind."""
    return "" if mldsa is None else next((name for name, kind in _types().items() if isinstance(key, kind)), "")


def _types() -> dict[str, Any]:
    return {
        "ML-DSA-44": mldsa.MLDSA44PublicKey,
        "ML-DSA-65": mldsa.MLDSA65PublicKey,
        "ML-DSA-87": mldsa.MLDSA87PublicKey,
    }
