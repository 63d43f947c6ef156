"""
Are these keys strong enough, and can each be used? Pure: keys and secrets in, findings out; of a secret nothing but its length and kind is told.

Source: RFC 7518 sections 3.2 and 3.3, RFC 8725 sections 3.2 and 3.5, NIST SP 800-57 part 1 revision 5 tables 2 and 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from lbjwt.auth.header import key_shown
from lbjwt.doctor.model import Finding
from lbjwt.jose.keyring import MAX_TRIED

if TYPE_CHECKING:
    from lbjwt.jose.keyring import KeyRing
    from lbjwt.jose.keys import VerificationKey

__all__ = ["ring_findings", "secret_bits", "secret_finding"]

GOOD_RSA_BITS: Final = 3072
"""128 bits of security; 2048, the least that is accepted, have 112, which NIST lets end with the year 2030."""

GOOD_SECRET_BITS: Final = 112.0
"""Whoever holds one token can try secrets without asking anybody (RFC 8725 section 3.5). NIST accepts no less."""

_LOOKED_AT: Final = 256  # bytes of a secret: more than enough to be sure of
_REPEATED: Final = 4  # bytes that come again are repetition, fewer are chance

_HEXADECIMAL: Final = frozenset(b"0123456789abcdefABCDEF")
_WORDS: Final = frozenset(b" _.,-'!?") | frozenset(range(ord("a"), ord("z") + 1))
_PRINTABLE: Final = frozenset(range(0x20, 0x7F)) | frozenset(b"\r\n")


def ring_findings(subject: str, ring: KeyRing) -> Iterator[Finding]:
    """One for each usable key, then one for each that was left out or is odd."""
    for key in ring:
        yield _key_finding(subject, key, alone=len(ring) == 1)
    for warning in ring.warnings:
        yield Finding(subject, "key", "warning", f"{warning}; have the issuer mend or remove it")


def secret_finding(subject: str, secret: bytes) -> Finding:
    """How hard a secret is to guess."""
    bits = secret_bits(secret)
    size = f"{len(secret)} bytes"
    if bits < GOOD_SECRET_BITS:
        sentence = (
            f"the secret has {size}, but looks like text worth some {bits:.0f} bits: it can be found by trying, with any one token at hand. "
            "Make one by chance: lbjwt keys generate --algorithm HS256"
        )
        return Finding(subject, "secret", "warning", sentence)
    return Finding(subject, "secret", "ok", f"{size} that look made by chance")


def secret_bits(secret: bytes) -> float:
    """
    A generous guess at the entropy of a secret, in bits.

    By the kind of characters it is made of, repetition taken out. Chance passes; words, runs and short codes do not.
    """
    text = secret.strip(b"\r\n")
    kinds = frozenset(text)
    if kinds <= frozenset(b"0123456789"):
        each = 3.3
    elif kinds <= _HEXADECIMAL:
        each = 4.0
    elif frozenset(text.lower()) <= _WORDS:
        each = 1.5  # of running text; a passphrase of words drawn by chance has about 2 bits a letter
    elif kinds <= _PRINTABLE:
        each = 5.0
    else:
        each = 8.0
    return each * _novel(text[:_LOOKED_AT])


def _novel(text: bytes) -> int:
    """How many bytes are left when each piece that was there before counts as one."""
    at = count = 0
    while at < len(text):
        size = 1
        while at + size < len(text) and text.find(text[at : at + size + 1], 0, at + size) >= 0:
            size += 1
        at += size if size >= _REPEATED else 1
        count += 1
    return count


def _key_finding(subject: str, key: VerificationKey, *, alone: bool) -> Finding:
    what = f"{key_shown(key)} for {', '.join(sorted(key.algorithms))}"
    if key.kty == "RSA" and key.bits < GOOD_RSA_BITS:
        sentence = f"{what}: near the lower bound, good until about 2030; the next one had better have {GOOD_RSA_BITS} bits, or be EC or Ed25519"
        return Finding(subject, "key", "note", sentence)
    if key.crv == "secp256k1":
        return Finding(subject, "key", "note", f"{what}: few libraries know this curve; P-256 is the usual one")
    if not key.kid and not alone:
        return Finding(
            subject,
            "key",
            "warning",
            f"{what}: beside others it is one of up to {MAX_TRIED} that are tried in turn, which costs time; give it a kid",
        )
    return Finding(subject, "key", "ok", what)
