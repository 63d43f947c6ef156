"""
Weak public keys that have a valid form.
"""

MIN_RSA_BITS = 2048  # RFC 7518 section 3.3
MAX_RSA_BITS = 8192  # above, one verification costs more than a client should be able to ask for
MAX_RSA_EXPONENT = 1 << 32  # a 3,000-bit exponent makes a verification some 280 times dearer

_ROCA_PRIMES = tuple(n for n in range(3, 168, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2)))
_ROCA_RESIDUES = {p: frozenset(pow(65537, power, p) for power in range(p)) for p in _ROCA_PRIMES}

_P25519, _P448 = 2**255 - 19, 2**448 - 2**224 - 1
_Y8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826  # of the points of order 8

# a x^2 + y^2 = 1 + d x^2 y^2 modulo p (RFC 8032 section 5): p, a, d, and y of the points whose order divides the cofactor
_CURVES = {
    "Ed25519": (_P25519, -1, -121665 * pow(121666, -1, _P25519), (0, 1, _P25519 - 1, _Y8, _P25519 - _Y8)),
    "Ed448": (_P448, 1, -39081, (0, 1, _P448 - 1)),
}


def rsa_weakness(n: int, e: int) -> str:
    """What is wrong with an RSA public key, or "" (RFC 7518 section 3.3, RFC 8725 section 3.5)."""
    if not MIN_RSA_BITS <= n.bit_length() <= MAX_RSA_BITS:
        return f"the RSA modulus has {n.bit_length()} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted"
    if n % 2 == 0:
        return "the RSA modulus is even"
    if not 3 <= e <= MAX_RSA_EXPONENT or e % 2 == 0:
        return "the RSA exponent is not an odd number from 3 to 2^32"
    if has_roca_fingerprint(n):
        return "the RSA modulus was made by a broken generator (ROCA, CVE-2017-15361)"
    return ""


def has_roca_fingerprint(n: int) -> bool:
    """
    True for a modulus of the generator of CVE-2017-15361: modulo each small prime it is a power of 65537.

    A sound modulus is so with a probability below 2^-27.

    Source: Nemec et al., "The Return of Coppersmith's Attack" (CCS 2017), section 2.
    """
    return all(n % p in residues for p, residues in _ROCA_RESIDUES.items())


def edwards_weakness(curve: str, encoded: bytes) -> str:
    """
    What is wrong with an encoded Ed25519 or Ed448 public key, or "".

    The primitive takes any bytes of the right length. With a point whose order divides the cofactor, anyone can make a valid signature.

    Source: RFC 8032 sections 5.1.3 and 5.2.3, RFC 8725 section 3.4.
    """
    p, a, d, small = _CURVES[curve]
    y = int.from_bytes(encoded, "little") & ((1 << p.bit_length()) - 1)  # the sign of x stands above
    x_squared = (1 - y * y) * pow(a - d * y * y, -1, p) % p  # d is no square, so the denominator is never 0
    if y >= p or pow(x_squared, (p - 1) // 2, p) > 1:
        return f"the public key is not a point of {curve}"
    return f"the public key is a point of small order on {curve}" if y in small else ""
