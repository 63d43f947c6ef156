"""The published examples of JWE: RFC 7516 appendix A, RFC 7518 appendix C and RFC 7520 sections 5 and 6."""

import json
from typing import Any

import pytest
from joserfc.jwe import JWERegistry

from lbjwt._fastverify import DenyReason
from lbjwt.auth.encrypted import Decryption, EncryptedTokens, check_header
from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.verifier import Verifier
from lbjwt.jose.decryption import EncryptedContent, import_decryption_keys
from lbjwt.jose.keyring import KeyRing
from tests.unit.auth_tokens import b64, unb64
from tests.unit.encrypted_tokens import header_of
from tests.unit.test_jose_vectors import BEFORE_EXPIRY, vector

SUPPORTED = [("rfc7516", "A.1"), ("rfc7516", "A.3"), *(("rfc7520", f"5.{number}") for number in (2, 4, 5, 6, 8))]
REFUSED = [("rfc7516", "A.2"), *(("rfc7520", f"5.{number}") for number in (1, 3, 7, 9))]


def key_of(jwk: dict[str, Any]) -> Any:
    (key,) = import_decryption_keys(json.dumps(jwk).encode())
    return key


@pytest.mark.parametrize(("rfc", "section"), SUPPORTED)
def test_what_is_supported_opens(rfc: str, section: str):
    """The content is text, no token, so it is asked of the key itself; as a token it is refused after it was decrypted."""
    example = vector(rfc, section)
    token = example["token"].encode()
    key, header = key_of(example["jwk"]), header_of(token)
    parts = token.split(b".")
    content = EncryptedContent(parts[0], *map(unb64, parts[1:]))
    plaintext = example.get("plaintext") or vector("rfc7520", "5.0")["plaintext"]
    assert key.fits(header)
    assert key.decrypt(header, content) == plaintext.encode()
    steps: list[tuple[str, int, Any]] = []
    assert EncryptedTokens({0: Decryption((key,))}, 8192)(token, steps) is DenyReason.MALFORMED
    assert steps[-1] == ("encryption.content", DenyReason.MALFORMED, None)


@pytest.mark.parametrize(("rfc", "section"), REFUSED)
def test_what_is_not_supported_is_refused_by_its_header(rfc: str, section: str):
    """RSA1_5, PBES2, A256GCMKW and zip: no key is used."""
    token = vector(rfc, section)["token"].encode()
    assert check_header(header_of(token)) is DenyReason.ENCRYPTION_REFUSED
    samwise = key_of(vector("rfc7520", "5.2")["jwk"])
    assert EncryptedTokens({0: Decryption((samwise,))}, 8192)(token) is DenyReason.ENCRYPTION_REFUSED


def test_rfc7520_section_6_is_a_token():
    """A signed token (PS256) inside an encrypted one (RSA-OAEP, A128GCM): accepted until it expires."""
    example = vector("rfc7520", "6")
    ring = KeyRing.from_jwks({"keys": [example["signing_jwk"]]})
    policy = IssuerPolicy(issuer="hobbiton.example", audiences=None)
    verifier = Verifier(ring, policy, decryption=Decryption((key_of(vector("rfc7520", "5.2")["jwk"]),)))
    verdict = verifier.verify(example["token"], BEFORE_EXPIRY)
    assert verdict.allowed
    assert dict(verdict.claims or {}) == example["claims"]
    assert verifier.verify(example["token"], 1_300_819_440.0).reason.name == "EXPIRED"


def test_rfc7518_appendix_c_agrees_on_the_key():
    """Bob derives the key of ECDH-ES for A128GCM from Alice's ephemeral key."""
    bob = {
        "kty": "EC",
        "crv": "P-256",
        "x": "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
        "y": "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck",
        "d": "VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw",
    }
    header = {
        "alg": "ECDH-ES",
        "enc": "A128GCM",
        "apu": "QWxpY2U",
        "apv": "Qm9i",
        "epk": {
            "kty": "EC",
            "crv": "P-256",
            "x": "gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0",
            "y": "SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps",
        },
    }
    protected = b64(json.dumps(header).encode()).encode()
    cipher = JWERegistry(algorithms=["A128GCM"]).get_enc("A128GCM")
    iv = bytes(12)
    ciphertext, tag = cipher.encrypt(b"hello", unb64("VqqN6vgjbSBcIijNcacQGg"), iv, protected)
    assert key_of(bob).decrypt(header, EncryptedContent(protected, b"", iv, ciphertext, tag)) == b"hello"
