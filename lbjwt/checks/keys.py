"""
How strong keys are and how hard secrets are to guess. Of a secret nothing but its length and kind is told.

Source: RFC 7518 sections 3.2 and 3.3, RFC 8725 sections 3.2 and 3.5, NIST SP 800-57 part 1 revision 5 tables 2 and 4.
"""

import math
import zlib
from collections.abc import Iterator
from typing import Final

from lbjwt.auth.header import key_shown
from lbjwt.checks.results import Outcome, Result
from lbjwt.jose.keyring import MAX_TRIED, KeyRing

GOOD_RSA_BITS: Final = 3072
"""128 bits of security; 2048, the least that is accepted, have 112, which NIST lets end with the year 2030."""
GOOD_SECRET_BITS: Final = 112.0
"""Whoever holds one token can try secrets without asking anybody (RFC 8725 section 3.5). NIST accepts no less."""

_FEW: Final = 10  # different bytes, of which each tells less than its kind
_FRAME: Final = 8  # bytes that zlib adds to what cannot be compressed
_WORDS: Final = frozenset(b" _.,-'!?") | frozenset(range(ord("a"), ord("z") + 1))
_PRINTABLE: Final = frozenset(range(0x20, 0x7F)) | frozenset(b"\r\n")


def ring_results(subject: str, ring: KeyRing) -> Iterator[Result]:
    """One result for each usable key, then one for each that was left out or is odd."""
    for key in ring:
        what = f"{key_shown(key)} for {', '.join(sorted(key.algorithms))}"
        outcome: Outcome = "ok"
        hint = ""
        if key.kty == "RSA" and key.bits < GOOD_RSA_BITS:
            outcome = "note"
            hint = f": near the lower bound, good until about 2030; give the next one {GOOD_RSA_BITS} bits, or make it EC or Ed25519"
        elif key.crv == "secp256k1":
            outcome, hint = "note", ": few libraries know this curve; P-256 is the usual one"
        elif not key.kid and len(ring) > 1:
            outcome = "warning"
            hint = f": beside others it is one of up to {MAX_TRIED} that are tried in turn, which costs time; give it a kid"
        yield Result(subject, "key", outcome, what + hint)
    for left_out in ring.warnings:
        yield Result(subject, "key", "warning", f"{left_out}; ask the issuer to correct or remove it")


def secret_fault(secret: bytes) -> str:
    """Return why a secret can be guessed; "" when it looks random."""
    bits = _entropy(secret)
    if bits >= GOOD_SECRET_BITS:
        return ""
    return (
        f"has {len(secret)} bytes, but looks like text worth some {bits:.0f} bits: anybody with one token can find it by trying. "
        "Make a random one: lbjwt keys generate --algorithm HS256"
    )


def _entropy(secret: bytes) -> float:
    """A generous guess in bits, by the kind of characters and without repetition. Random secrets pass; words, runs and short codes do not."""
    text = secret.strip(b"\r\n")
    kinds = frozenset(text)
    if kinds <= frozenset(b"0123456789"):
        each = 3.3
    elif kinds <= frozenset(b"0123456789abcdefABCDEF"):
        each = 4.0
    elif frozenset(text.lower()) <= _WORDS:
        each = 1.5  # of running text; a passphrase of random words has about 2 bits a letter
    elif kinds <= _PRINTABLE:
        each = 5.0
    else:
        each = 8.0
    if len(kinds) < _FEW:
        each = min(each, math.log2(max(1, len(kinds))))
    return each * min(len(text), len(zlib.compress(text, 9)) - _FRAME)
