"""What was given in place of keys is named, with the key of the configuration where it belongs; nothing of it is shown."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc.jwk import ECKey

from lbjwt.errors import KeyFormatError
from lbjwt.jose.keyring import KeyRing

KEY = ECKey.generate_key("P-256")
PUBLIC = KEY.as_dict(private=False)
PRIVATE = {name: str(value) for name, value in KEY.as_dict(private=True).items()}
ED25519 = Ed25519PrivateKey.generate()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (KEY.as_pem(private=False), "it is a public key or certificate in PEM; give it under pem_file"),
        (
            KEY.as_pem(private=True),
            "it is a private key in PEM; give the public key or certificate under pem_file",
        ),
        (json.dumps(PUBLIC), "it is one key (JWK); put it in the list of a set"),
        (json.dumps(PRIVATE), "it is one private or secret key (JWK); give a set of public keys instead"),
        ('{"kty": "oct", "k": "c2VjcmV0"}', "it is one private or secret key (JWK)"),
        (
            '{"issuer": "https://a", "jwks_uri": "https://a/jwks"}',
            "it is a discovery document; use discovery instead of a key file",
        ),
        ("  <!DOCTYPE html>", "it is a web page"),
        ("eyJhbGciOiJub25lIn0.e30.", "it is a token"),
        ("", "not a JWK Set: it is empty"),
        (" \n", "not a JWK Set: it is empty"),
        ('{"keys": [], "keys": []}', "an object in it has the same member name twice"),
        ('{"keys": [{"kty": "EC", "kid": "a", "kid": "b"}]}', "an object in it has the same member name twice"),
        ('{"keys": [{"kty": "EC", "kid": "a", "kid"}]}', "it must be a JSON object with a list of keys"),
        ("{}", "it must be a JSON object with a list of keys"),
        ("keys", "it must be a JSON object with a list of keys"),
    ],
)
def test_what_is_no_jwks_is_named(text: str | bytes, part: str) -> None:
    """A JWKS file that holds a PEM, one JWK, a private one, a discovery document or a page."""
    given = text.decode() if isinstance(text, bytes) else text
    with pytest.raises(KeyFormatError) as caught:
        KeyRing.from_jwks(given)
    assert part in str(caught.value)
    secrets = [
        PRIVATE["d"],
        PRIVATE["x"],
        "c2VjcmV0",
        given.splitlines()[1] if given.startswith("---") else PRIVATE["y"],
    ]
    assert not any(secret in str(caught.value) for secret in secrets)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (json.dumps({"keys": [PUBLIC]}).encode(), "it is a JWK or a JWK Set; give a set under jwks_file"),
        (json.dumps(PRIVATE).encode(), "it is a JWK or a JWK Set"),
        (ED25519.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), "it is DER"),
        (ED25519.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH), "it is an SSH key"),
        (ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "private key"),
        (b"nothing", "PEM block"),
    ],
    ids=range(6),
)
def test_what_is_no_pem_is_named(text: bytes, part: str) -> None:
    """A PEM file that holds a JWK Set, DER, an SSH key or a private key."""
    with pytest.raises(KeyFormatError) as caught:
        KeyRing.from_pem(text)
    assert part in str(caught.value) and PRIVATE["d"] not in str(caught.value)


def test_a_private_key_in_a_set_is_told() -> None:
    """It works as a public one, and is a warning of everybody who looks: the file is read by more than its issuer."""
    ring = KeyRing.from_jwks({"keys": [PRIVATE]})
    (note,) = ring.warnings
    assert "lbjwt ignored private members; remove them" in note and PRIVATE["d"] not in note
