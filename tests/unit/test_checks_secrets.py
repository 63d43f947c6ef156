"""How strong secrets are taken to be."""

import base64
import random

import pytest

from lbjwt.checks.key_files import secret_fault

CHANCE = random.Random(5)


@pytest.mark.parametrize(
    "secret",
    [
        CHANCE.randbytes(32),
        CHANCE.randbytes(64),
        base64.b64encode(CHANCE.randbytes(32)),
        base64.urlsafe_b64encode(CHANCE.randbytes(48)) + b"\n",
        CHANCE.randbytes(32).hex().encode(),
        CHANCE.randbytes(16).hex().encode(),
    ],
    ids=len,
)
def test_secrets_made_by_chance_pass(secret: bytes):
    """Bytes, base64 and hexadecimal digits of enough of them."""
    assert secret_fault(secret) == ""


@pytest.mark.parametrize(
    "secret",
    [
        b"correct horse battery staple and some more words of mine",
        b"passwordpasswordpasswordpassword",
        b"a" * 64,
        b"your-256-bit-secret",
        b"your-256-bit-secretyour-256-bit-secret\n",
        b"your-512-bit-secret-your-512-bit-secret-your-512-bit-secret",
        b"a-string-secret-at-least-256-bits-long",
        b"a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
        b"0123456789abcdef" * 4,
        b"change-me-change-me-change-me-change-me",
        b"12345678901234567890123456789012",
        bytes(64),
        bytes(range(8)) * 8,
        bytes(CHANCE.choices(b"\x00\xff", k=64)),
        CHANCE.randbytes(12).hex().encode() + b"0" * 8,
    ],
)
def test_secrets_made_by_people_do_not(secret: bytes):
    """Words, runs, repetition and short codes are warned of, by length and kind alone."""
    fault = secret_fault(secret)
    assert secret.decode("latin-1") not in fault
    assert "lbjwt keys generate" in fault
