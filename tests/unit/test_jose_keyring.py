"""Key sets: what is left out, what is found, what survives a change of keys. THREATS B10 to B18."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt._fastverify import DenyReason, SignatureCheck
from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.verifier import Verifier
from lbjwt.errors import KeyFormatError
from lbjwt.jose.keyring import KeyRing
from lbjwt.jose.keys import secret_key
from tests.unit.auth_tokens import ISSUER, NOW, SECRET, claims, judged, jwk_of, private_key, public_pem, rsa_key, token

GOOD = jwk_of(rsa_key(), kid="good")
OTHER = jwk_of(rsa_key(1), kid="other")


def ring(*members: Any, **options: Any) -> KeyRing:
    return KeyRing.from_jwks({"keys": list(members)}, **options)


def kids(keys: KeyRing) -> list[str]:
    return [key.kid for key in keys]


def test_b10_bad_members_are_skipped_one_by_one():
    """Strange, broken and weak members leave a warning each, and the good key works."""
    bad: list[Any] = [
        {"kty": "AKP", "alg": "ML-DSA-65", "pub": "AAAA"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"},
        {"kty": "EC", "crv": "secp256k1", "x": "AAAA", "y": "AAAA"},
        {name: value for name, value in jwk_of(private_key("ES256K")).items() if name != "alg"},
        {"kty": "OKP", "crv": "X25519", "x": "AAAA"},
        {},
        None,
        5,
        "key",
        [],
        {"kty": {}},
    ]
    keys = ring(*bad, GOOD)
    assert kids(keys) == ["good"]
    assert len(keys.warnings) == len(bad)
    assert all(f"key {index} " in warning for index, warning in enumerate(keys.warnings))


def test_b12_symmetric_keys_of_a_set_are_ignored():
    """An oct member checks nothing, alone or among others."""
    oct_key = {"kty": "oct", "k": "A" * 86, "kid": "k1", "alg": "HS256"}
    keys = ring(oct_key, GOOD)
    assert kids(keys) == ["good"]
    assert keys.find("k1", "HS256") is DenyReason.UNKNOWN_KEY
    with pytest.raises(KeyFormatError):
        ring(oct_key)
    with pytest.raises(KeyFormatError, match="an issuer cannot have both"):
        KeyRing([*keys, secret_key(SECRET, allowed=["HS256"])])


def test_b13_a_private_set_is_used_as_public_with_a_warning_without_its_members():
    """The warning names the key by its place only."""
    keys = ring({**GOOD, "d": "c2VjcmV0LWV4cG9uZW50", "kid": "good"})
    assert len(keys) == 1
    assert len(keys.warnings) == 1
    assert "c2VjcmV0" not in keys.warnings[0] + repr(keys) + repr(keys.keys)


def test_b17_keys_of_another_issuer_do_not_matter():
    """Two verifiers, one key id: each accepts its own key's tokens only."""
    policy = IssuerPolicy(issuer=ISSUER, audiences=("api",))
    one, two = Verifier(ring({**GOOD, "kid": "k1"}), policy), Verifier(ring({**OTHER, "kid": "k1"}), policy)
    text = token(algorithm="RS256", key=rsa_key())
    assert judged(one.verify(text, NOW)) == "NONE"
    assert judged(two.verify(text, NOW)) == "BAD_SIGNATURE"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":null}',
        b'{"keys":[]}',
        b"<html>",
        b"\xff",
        '{"keys":[]}'.encode("utf-16"),
        "{",
        b'{"keys":[],"keys":[]}',
        "\ud800",
    ],
)
def test_documents_that_are_no_key_set(document: bytes | str):
    """HTML, other JSON, other encodings and empty sets."""
    with pytest.raises(KeyFormatError):
        KeyRing.from_jwks(document)


def test_a_set_is_limited_in_bytes_and_keys():
    """Limits are exact, and checked before anything is imported."""
    text = json.dumps({"keys": [GOOD]})
    assert len(KeyRing.from_jwks(text, max_bytes=len(text))) == 1
    with pytest.raises(KeyFormatError, match="bytes"):
        KeyRing.from_jwks(text, max_bytes=len(text) - 1)
    assert len(ring(GOOD, {}, max_keys=2)) == 1
    with pytest.raises(KeyFormatError, match="3 keys"):
        ring(GOOD, {}, {}, max_keys=2)
    with pytest.raises(KeyFormatError):
        KeyRing.from_jwks({"keys": [object()]})


@given(st.binary(max_size=60))
def test_no_document_raises_anything_else(document: bytes):
    """Random bytes are a KeyFormatError."""
    with pytest.raises(KeyFormatError):
        KeyRing.from_jwks(document)


@given(
    st.dictionaries(
        st.sampled_from(["kty", "n", "e", "crv", "x", "y", "kid", "alg", "use", "key_ops"]),
        st.sampled_from(["RSA", "EC", "OKP", "AQAB", "Ed25519", "P-256", GOOD["n"], 5, None, [], {}, "RS256", "sig"]),
        max_size=8,
    )
)
def test_no_member_stops_the_others(member: dict[str, Any]):
    """Any odd member beside a good one leaves the good one."""
    assert "good" in kids(ring(member, GOOD))


def test_a_named_key_decides_alone():
    """The key with the token's id is used or refused; no other is tried."""
    keys = ring(GOOD, jwk_of(private_key("ES256"), kid="ec"))
    found = keys.find("good", "RS256")
    assert isinstance(found, SignatureCheck)
    assert found.key_id == "good"
    assert keys.find("ec", "RS256") is DenyReason.ALGORITHM_REFUSED
    assert keys.find("nobody", "RS256") is DenyReason.UNKNOWN_KEY


def test_a_key_without_id_serves_tokens_with_any_id():
    """A PEM key has no id, and its issuer's tokens usually name one; a named key never serves another's tokens."""
    keys = KeyRing.from_pem(public_pem("RS256"))
    for kid in (None, "k1", "k2"):
        assert isinstance(keys.find(kid, "RS256"), SignatureCheck)
    named = KeyRing.from_pem(public_pem("RS256"), kid="k1")
    assert named.find("k2", "RS256") is DenyReason.UNKNOWN_KEY
    mixed = ring(GOOD, {name: value for name, value in OTHER.items() if name != "kid"})
    found = mixed.find("unknown", "RS256")
    assert isinstance(found, SignatureCheck)
    assert found.key_id == ""


def test_b18_d4_a_removed_key_takes_its_grants_along_and_only_its():
    """publish: grants of a key that stays survive, those of one that goes die at once, in cache and as hints."""
    policy = IssuerPolicy(issuer=ISSUER, audiences=("api",))
    one = Verifier(ring(GOOD, OTHER), policy)
    stays, goes = (
        token(algorithm="RS256", key=rsa_key(), kid="good"),
        token(algorithm="RS256", key=rsa_key(1), kid="other"),
    )
    held = {text: one.gate.verify(text, NOW)[0] for text in (stays, goes)}
    assert all(held.values())
    for number in (2, 3):
        one.publish(ring(jwk_of(private_key("ES256"), kid=f"new{number}"), dict(GOOD)))
        assert one.keys is not None and kids(one.keys) == [f"new{number}", "good"]
        assert one.gate.verify(stays, NOW, held[stays])[0] is held[stays]
        assert one.gate.verify(stays, NOW)[0] is held[stays]
        assert one.gate.verify(goes, NOW, held[goes]) == (None, DenyReason.UNKNOWN_KEY)
    assert len(one.gate.cache) == 1


@pytest.mark.parametrize("change", [{"alg": "RS256"}, {"kid": "renamed"}, {"n": OTHER["n"]}])
def test_d4_a_changed_key_is_another_key(change: dict[str, Any]):
    """Other algorithms, another id or other material under the old id: the old grants die."""
    one = Verifier(ring(GOOD), IssuerPolicy(issuer=ISSUER, audiences=("api",)))
    text = token(algorithm="RS512", key=rsa_key(), kid="good")
    grant, _ = one.gate.verify(text, NOW)
    assert grant is not None
    one.publish(ring({**GOOD, **change}))
    refused, _ = one.gate.verify(text, NOW, grant)
    assert refused is None
    assert len(one.gate.cache) == 0
    assert one.gate.verify(text, NOW, grant)[0] is None


def test_publish_none_withdraws_everything():
    """Keys that have become too old are no keys; keys that come later work again."""
    one = Verifier(None, IssuerPolicy(issuer=ISSUER, audiences=("api",)))
    text = token(algorithm="RS256", key=rsa_key(), kid="good")
    assert judged(one.verify(text, NOW)) == "KEYS_UNAVAILABLE"
    one.publish(ring(GOOD))
    assert judged(one.verify(text, NOW)) == "NONE"
    one.publish(None)
    assert one.keys is None
    assert judged(one.verify(text, NOW)) == "KEYS_UNAVAILABLE"
    one.publish(ring(GOOD))
    assert judged(one.verify(text, NOW)) == "NONE"


def test_a_new_key_is_known_at_once():
    """A token refused for an unknown key passes after its key is published: no refusal is remembered."""
    one = Verifier(ring(GOOD), IssuerPolicy(issuer=ISSUER, audiences=("api",)))
    text = token(claims(), algorithm="RS256", key=rsa_key(1), kid="other")
    assert judged(one.verify(text, NOW)) == "UNKNOWN_KEY"
    one.publish(ring(GOOD, OTHER))
    assert judged(one.verify(text, NOW)) == "NONE"
