"""
Keys that have the right form and protect nothing. Arithmetic only; knows no JWK, no PEM.
"""

from dataclasses import dataclass

MIN_RSA_BITS = 2048  # RFC 7518 section 3.3
MAX_RSA_BITS = 8192  # above, one verification costs more than a client should be able to ask for
MAX_RSA_EXPONENT = 1 << 32  # a 3,000-bit exponent makes a verification some 280 times dearer

_ROCA_PRIMES = tuple(n for n in range(3, 168, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2)))
_ROCA_RESIDUES = {p: frozenset(pow(65537, power, p) for power in range(p)) for p in _ROCA_PRIMES}


@dataclass(frozen=True, slots=True)
class _Edwards:
    """a x^2 + y^2 = 1 + d x^2 y^2 modulo p (RFC 8032 section 5)."""

    p: int
    a: int
    d: int
    bits: int  # of an encoded y coordinate
    doublings: int  # log2 of the cofactor


_CURVES = {
    "Ed25519": _Edwards(2**255 - 19, -1, -121665 * pow(121666, -1, 2**255 - 19), 255, 3),
    "Ed448": _Edwards(2**448 - 2**224 - 1, 1, -39081, 448, 2),
}


def rsa_weakness(n: int, e: int) -> str:
    """Say what is wrong with an RSA public key in a few words, or "" (RFC 7518 section 3.3, RFC 8725 section 3.5)."""
    if not MIN_RSA_BITS <= n.bit_length() <= MAX_RSA_BITS:
        return f"an RSA modulus of {n.bit_length()} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted"
    if n % 2 == 0:
        return "an even RSA modulus"
    if not 3 <= e <= MAX_RSA_EXPONENT or e % 2 == 0:
        return "an RSA exponent that is not an odd number from 3 to 2^32"
    if has_roca_fingerprint(n):
        return "an RSA modulus made by a broken generator (ROCA, CVE-2017-15361)"
    return ""


def has_roca_fingerprint(n: int) -> bool:
    """
    True when a modulus bears the mark of the generator of CVE-2017-15361: modulo each small prime it is a power of 65537.

    A sound modulus does so with a probability below 2^-27.

    Source: Nemec et al., "The Return of Coppersmith's Attack" (CCS 2017), section 2.
    """
    return all(n % p in residues for p, residues in _ROCA_RESIDUES.items())


def edwards_weakness(curve: str, encoded: bytes) -> str:
    """
    Say what is wrong with an encoded Ed25519 or Ed448 public key, or "".

    The primitive takes any bytes of the right length. Bytes that are no point verify nothing; a point whose order divides the cofactor
    lets anyone make a signature that verifies. Such a point doubles to the neutral element (0, 1); x^2 and y are all that doubling needs.

    Source: RFC 8032 sections 5.1.3 and 5.2.3, RFC 8725 section 3.4.
    """
    e = _CURVES[curve]
    y = int.from_bytes(encoded, "little") & ((1 << e.bits) - 1)
    x_squared = (1 - y * y) * pow(e.a - e.d * y * y, -1, e.p) % e.p  # d is no square, so the denominator is never 0
    if y >= e.p or pow(x_squared, (e.p - 1) // 2, e.p) > 1:
        return f"bytes that are no point of {curve}"
    for _ in range(e.doublings):
        y_squared = y * y
        slope = pow(1 - e.d * x_squared * y_squared, -1, e.p)
        y = (y_squared - e.a * x_squared) * slope % e.p
        x_squared = (1 - y * y) * pow(e.a - e.d * y * y, -1, e.p) % e.p
    return f"a point of small order on {curve}" if y == 1 else ""
