"""
The table of all signature algorithms that lbjwt uses. `none` is not among them (RFC 8725 section 3.2).
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from lbjwt.errors import ConfigurationError


class Family(Enum):
    """How a signature is made; decides the primitive and its padding."""

    RSA_PKCS1 = "RSASSA-PKCS1-v1_5"
    RSA_PSS = "RSASSA-PSS"
    ECDSA = "ECDSA"
    EDDSA = "EdDSA"
    MLDSA = "ML-DSA"
    HMAC = "HMAC"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """
    One row of the table.

    Attributes:
        name: The JWS `alg` value.
        kty: The JWK key type it needs.
        crv: The JWK curve it needs; "" where the key type has none; for an AKP key, which has one algorithm (RFC 9964), that algorithm's name.
        hash_name: As hashlib spells it; "" where the primitive brings its own.
        digest_size: Bytes of the hash; the least size of an HMAC secret (RFC 7518 section 3.2).
        signature_size: Bytes of every signature; 0 for RSA, where it is the size of the modulus.
        on_demand: Used only when the configuration or the key's own `alg` names it.
    """

    name: str
    family: Family
    kty: str
    crv: str = ""
    hash_name: str = ""
    digest_size: int = 0
    signature_size: int = 0
    on_demand: bool = False

    @property
    def symmetric(self) -> bool:
        """True for HMAC, where the key that checks also signs."""
        return self.family is Family.HMAC


def _table() -> Iterable[Algorithm]:
    # RFC 7518 section 3.1
    hashes = ((256, 32), (384, 48), (512, 64))
    for bits, size in hashes:
        yield Algorithm(f"RS{bits}", Family.RSA_PKCS1, "RSA", "", f"sha{bits}", size)
    for bits, size in hashes:
        yield Algorithm(f"PS{bits}", Family.RSA_PSS, "RSA", "", f"sha{bits}", size)
    yield Algorithm("ES256", Family.ECDSA, "EC", "P-256", "sha256", 32, 64)
    yield Algorithm("ES384", Family.ECDSA, "EC", "P-384", "sha384", 48, 96)
    yield Algorithm("ES512", Family.ECDSA, "EC", "P-521", "sha512", 64, 132)
    # RFC 8812 section 3.2
    yield Algorithm("ES256K", Family.ECDSA, "EC", "secp256k1", "sha256", 32, 64, on_demand=True)
    # RFC 9864: one name, one curve. `EdDSA` (RFC 8037) stands for either curve and gets its size from the key.
    yield Algorithm("EdDSA", Family.EDDSA, "OKP")
    yield Algorithm("Ed25519", Family.EDDSA, "OKP", "Ed25519", signature_size=64)
    yield Algorithm("Ed448", Family.EDDSA, "OKP", "Ed448", signature_size=114)
    # RFC 9964; sizes: FIPS 204 table 2
    for name, size in (("ML-DSA-44", 2420), ("ML-DSA-65", 3309), ("ML-DSA-87", 4627)):
        yield Algorithm(name, Family.MLDSA, "AKP", name, signature_size=size)
    for bits, size in hashes:
        yield Algorithm(f"HS{bits}", Family.HMAC, "oct", "", f"sha{bits}", size, size)


ALGORITHMS: MappingProxyType[str, Algorithm] = MappingProxyType({row.name: row for row in _table()})


def algorithms_for(kty: str, crv: str = "", secret_size: int = 0) -> frozenset[str]:
    """
    The names of all algorithms for a type of key, with those on demand; empty for an unknown type or curve.

    Args:
        secret_size: Bytes of an `oct` secret; algorithms with a longer hash are left out (RFC 7518 section 3.2).
    """
    if kty == "OKP":
        return frozenset({"EdDSA", crv}) if crv in ("Ed25519", "Ed448") else frozenset()
    return frozenset(
        row.name
        for row in ALGORITHMS.values()
        if row.kty == kty and row.crv == crv and (kty != "oct" or row.digest_size <= secret_size)
    )


def check_algorithms(names: Collection[str]) -> None:
    """ConfigurationError for a name that is not in the table, and for an empty list."""
    if not names:
        raise ConfigurationError("the list of algorithms is empty")
    for name in names:
        if name not in ALGORITHMS:
            hint = (
                " (lbjwt never accepts it)"
                if name.lower() == "none"
                else f"; the known algorithms are {', '.join(sorted(ALGORITHMS))}"
            )
            raise ConfigurationError(f"unknown algorithm {name!r}{hint}")
