"""How strong keys and secrets are taken to be."""

import base64
import random

import pytest

from lbjwt.checks.keys import ring_results, secret_fault
from lbjwt.checks.results import Result
from lbjwt.jose.keyring import KeyRing
from tests.unit.auth_tokens import jwk_of, private_key, rsa_key

CHANCE = random.Random(5)


def found(*keys: dict, **options) -> list[Result]:
    return list(ring_results("issuers.main", KeyRing.from_jwks({"keys": list(keys)}, **options)))


def test_each_key_has_a_finding():
    """Elliptic curves are good; RSA near its lower bound and a rare curve are notes; nothing of a key is told but its labels."""
    keys = [
        jwk_of(private_key("ES256"), kid="a"),
        jwk_of(rsa_key(), kid="b"),
        jwk_of(private_key("EdDSA"), kid="c"),
        jwk_of(private_key("ES256K"), kid="d"),
    ]
    findings = found(*keys)
    assert [finding.outcome for finding in findings] == ["ok", "note", "ok", "note"]
    assert findings[0].sentence == '"a" (EC P-256, 256 bits) for ES256'
    assert "2048 bits" in findings[1].sentence and "2030" in findings[1].sentence
    for finding, key in zip(findings, keys, strict=True):
        assert key.get("x", key.get("n")) not in finding.sentence


def test_a_key_without_an_id_among_others_is_a_warning():
    """Alone it serves every token; beside others hardly any."""
    nameless = jwk_of(private_key("ES256"))
    assert [finding.outcome for finding in found(nameless)] == ["ok"]
    beside = found(nameless, jwk_of(private_key("EdDSA"), kid="e"))
    assert [finding.outcome for finding in beside] == ["warning", "ok"]
    assert "kid" in beside[0].sentence


def test_what_was_left_out_is_told_with_its_reason():
    """A weak key, and one of another type than is configured."""
    weak = {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "w"}
    findings = found(jwk_of(private_key("ES256"), kid="a"), weak, jwk_of(rsa_key(), kid="b"), algorithms=["ES256"])
    assert [finding.outcome for finding in findings] == ["ok", "warning", "warning"]
    assert "key 1 was left out: an RSA modulus of 17 bits" in findings[1].sentence
    assert "can serve none of ES256" in findings[2].sentence


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
