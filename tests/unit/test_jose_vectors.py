"""The published examples of RFC 7515, RFC 7519, RFC 8037 and RFC 9964."""

import json
from pathlib import Path
from typing import Any

import pytest

from lbjwt.auth.verifier import Verifier
from lbjwt.jose.imports import import_jwk
from lbjwt.jose.keys import secret_key
from tests.unit.auth_tokens import MLDSA, jwk_of, unb64

VECTORS = Path(__file__).parent.parent / "vectors"
BEFORE_EXPIRY = 1_300_819_000.0


def vector(name: str, section: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())[section]


def jws_verifier(example: Any) -> Verifier:
    jwk = example["jwk"]
    options: dict[str, Any] = {"issuer": "joe", "any_audience": True}
    if jwk["kty"] == "oct":
        return Verifier.from_secret(unb64(jwk["k"]), algorithms=["HS256"], **options)
    return Verifier.from_jwks({"keys": [jwk]}, **options)


@pytest.mark.parametrize("section", ["A.1", "A.2", "A.3"])
def test_rfc7515_appendix_a_tokens_are_accepted_in_their_time(section: str):
    """The JWTs of RFC 7515 A.1 to A.3 pass until they expire, and give the claims of RFC 7519 section 3.1."""
    example = vector("rfc7515", section)
    verifier = jws_verifier(example)
    verdict = verifier.verify(example["token"], BEFORE_EXPIRY)
    assert verdict.allowed
    assert dict(verdict.claims or {}) == vector("rfc7519", "3.1")["claims"]
    assert verifier.verify(example["token"], 1_300_819_440.0).reason.name == "EXPIRED"


def test_rfc7519_section_3_1_is_the_token_of_rfc7515_a_1():
    """RFC 7519 section 3.1 repeats RFC 7515 A.1 byte by byte."""
    assert vector("rfc7519", "3.1")["token"] == vector("rfc7515", "A.1")["token"]


def test_rfc7519_section_6_1_unsecured_token_is_refused():
    """The unsecured JWT of RFC 7519 section 6.1 (RFC 7515 A.5) is no token for us."""
    verifier = jws_verifier(vector("rfc7515", "A.1"))
    for text in (vector("rfc7519", "6.1")["token"], vector("rfc7515", "A.5")["token"]):
        assert verifier.verify(text, BEFORE_EXPIRY).reason.name == "MALFORMED"
        assert verifier.verify(text + "AA", BEFORE_EXPIRY).reason.name == "ALGORITHM_REFUSED"


@pytest.mark.parametrize(("rfc", "section", "algorithm"), [("rfc7515", "A.4", "ES512"), ("rfc8037", "A.4", "EdDSA")])
def test_signatures_over_plain_text_verify(rfc: str, section: str, algorithm: str):
    """RFC 7515 A.4 (ES512) and RFC 8037 A.4 (Ed25519) sign text that is no JSON: the signature is good, the token is not."""
    example = vector(rfc, section)
    key, _ = import_jwk(example["jwk"])
    check = key.check_for(algorithm)
    assert check is not None
    signed, _, signature = example["token"].rpartition(".")
    assert check.verify(unb64(signature), signed.encode())
    assert not check.verify(unb64(signature), signed.encode() + b"x")
    assert jws_verifier(example).verify(example["token"], BEFORE_EXPIRY).reason.name == "MALFORMED"


def test_rfc7515_a_1_fails_with_another_secret():
    """One bit of the secret decides."""
    secret = bytearray(unb64(vector("rfc7515", "A.1")["jwk"]["k"]))
    signed, _, signature = vector("rfc7515", "A.1")["token"].rpartition(".")
    good = secret_key(bytes(secret), allowed=["HS256"]).check_for("HS256")
    secret[0] ^= 1
    bad = secret_key(bytes(secret), allowed=["HS256"]).check_for("HS256")
    assert good is not None
    assert bad is not None
    assert good.verify(unb64(signature), signed.encode())
    assert not bad.verify(unb64(signature), signed.encode())


def test_rfc9964_ml_dsa_44_signature_verifies():
    """The compact JWS of the RFC: its signature is good, its payload is no JSON."""
    text = vector("rfc9964", "ML-DSA-44")["token"]
    jwk = jwk_of(MLDSA["ML-DSA-44"].from_seed_bytes(bytes(32)), kid="T4xl70S7MT6Zeq6r9V9fPJGVn76wfnXJ21-gyo0Gu6o")
    check = import_jwk(jwk)[0].check_for("ML-DSA-44")
    assert check is not None
    signed, _, signature = text.rpartition(".")
    assert check.verify(unb64(signature), signed.encode())
    assert not check.verify(unb64(signature), signed.encode() + b"x")
    assert jws_verifier({"jwk": jwk}).verify(text, BEFORE_EXPIRY).reason.name == "MALFORMED"
