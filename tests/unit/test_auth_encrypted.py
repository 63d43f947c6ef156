"""Encrypted tokens: what opens, what does not and why, and that decryption replaces no other check."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbjwt._fastverify import DenyReason
from lbjwt.auth.encrypted import Decryption
from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.trusted_issuer import TrustedIssuer
from lbjwt.auth.verifier import Verifier
from lbjwt.errors import ConfigurationError, KeyFormatError
from lbjwt.jose.decryption import DecryptionKey, import_decryption_keys
from lbjwt.jose.encryption import DIRECT, ENCRYPTIONS, KEY_ALGORITHMS
from lbjwt.jose.keyring import KeyRing
from tests.unit.auth_tokens import NOW, b64, claims, judged, jwk_of, rsa_key, token
from tests.unit.encrypted_tokens import (
    CURVES,
    changed,
    decryption_key,
    encrypt,
    header_of,
    kind_for,
    private_jwk,
    recipient,
    signed,
    verifier,
)

RSA = recipient("RSA")
SHARED = verifier(RSA)
GOOD = encrypt(signed(), RSA)


@pytest.mark.parametrize("algorithm", KEY_ALGORITHMS)
@pytest.mark.parametrize("encryption", ENCRYPTIONS)
def test_every_pair_of_algorithms_opens(algorithm: str, encryption: str):
    """RFC 7518 sections 4.1 and 5.1: a nested token passes, and its claims are those of the signed token."""
    key = recipient(kind_for(algorithm, encryption))
    verdict = verifier(key).verify(encrypt(signed(), key, algorithm, encryption), NOW)
    assert judged(verdict) == "NONE"
    assert verdict.claims == claims()


@pytest.mark.parametrize("curve", CURVES)
def test_every_curve_opens(curve: str):
    """RFC 7518 section 6.2.1.1 and RFC 8037 section 3.2."""
    key = recipient(curve)
    assert judged(verifier(key).verify(encrypt(signed(), key, "ECDH-ES+A256KW"), NOW)) == "NONE"
    assert judged(verifier(key).verify(encrypt(signed(), key, "ECDH-ES", apu="QWxpY2U", apv="Qm9i"), NOW)) == "NONE"


def test_a_known_token_is_not_decrypted_again(monkeypatch: pytest.MonkeyPatch):
    """The second look is one of the cache; its grant has the claims and the key of the signature."""
    one, calls, before = verifier(RSA), list[DecryptionKey](), DecryptionKey.decrypt

    def counted(key: DecryptionKey, *rest: Any) -> bytes | None:
        calls.append(key)
        return before(key, *rest)

    monkeypatch.setattr(DecryptionKey, "decrypt", counted)
    for _ in range(3):
        grant = one.verify(GOOD, NOW).grant
        assert grant is not None
        assert grant.token == GOOD
        assert (grant.key_id, grant.claims["sub"]) == ("s1", "user-1")
    assert len(calls) == 1
    assert one.gate.cache.hits == 2


def test_a_signed_token_passes_beside_it_unless_encryption_is_required():
    """`required` refuses tokens that are only signed."""
    assert judged(SHARED.verify(signed(), NOW)) == "NONE"
    strict = verifier(RSA, required=True)
    assert judged(strict.verify(signed(), NOW)) == "NOT_ENCRYPTED"
    assert judged(strict.verify(GOOD, NOW)) == "NONE"
    assert judged(strict.verify(signed(), NOW)) == "NOT_ENCRYPTED"  # the token inside is not known by itself


def test_encryption_replaces_no_check():
    """What is inside is judged like a token that came without encryption."""
    for inside, reason in (
        (token(claims(exp=int(NOW) - 100), algorithm="RS256", key=rsa_key(), kid="s1"), "EXPIRED"),
        (token(claims(aud="web"), algorithm="RS256", key=rsa_key(), kid="s1"), "WRONG_AUDIENCE"),
        (token(algorithm="RS256", key=rsa_key(1), kid="s1"), "BAD_SIGNATURE"),
        (token(algorithm="RS256", key=rsa_key(), kid="s2"), "UNKNOWN_KEY"),
        (b".".join(b64(part).encode() for part in (b'{"alg":"none"}', b'{"sub":"x"}', b"x")), "ALGORITHM_REFUSED"),
    ):
        assert judged(SHARED.verify(encrypt(inside, RSA), NOW)) == reason


@pytest.mark.parametrize(
    "inside", [b'{"sub":"alice"}', b"", b"a.b", b"a.b.c.d.e", GOOD, b"\xff.\xff.\xff", b"a.b.c\n", b"a..c"]
)
def test_only_a_signed_token_is_accepted_inside(inside: bytes):
    """Claims that nobody signed, and a token that is encrypted twice, are not accepted (THREATS A16)."""
    text = encrypt(inside or b" ", RSA)
    assert judged(SHARED.verify(text, NOW)) == "MALFORMED"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"alg": "RSA1_5"}, "ENCRYPTION_REFUSED"),
        ({"alg": "A256GCMKW"}, "ENCRYPTION_REFUSED"),
        ({"alg": "PBES2-HS512+A256KW", "p2s": "AAAAAAAAAAA", "p2c": 2**31}, "ENCRYPTION_REFUSED"),
        ({"alg": "none"}, "ENCRYPTION_REFUSED"),
        ({"alg": ["dir"]}, "ENCRYPTION_REFUSED"),
        ({"alg": None}, "ENCRYPTION_REFUSED"),
        ({"enc": "A128CBC"}, "ENCRYPTION_REFUSED"),
        ({"enc": None}, "ENCRYPTION_REFUSED"),
        ({"enc": {}}, "ENCRYPTION_REFUSED"),
        ({"zip": "DEF"}, "ENCRYPTION_REFUSED"),
        ({"zip": None}, "ENCRYPTION_REFUSED"),
        ({"cty": "text/plain"}, "ENCRYPTION_REFUSED"),
        ({"alg": "ECDH-ES"}, "ENCRYPTION_REFUSED"),
        ({"alg": "ECDH-ES+A128KW"}, "ENCRYPTION_REFUSED"),
        ({"alg": "ECDH-ES+A128KW", "epk": {"kty": "EC", "crv": "P-256", "x": 1}}, "ENCRYPTION_REFUSED"),
        ({"crit": ["exp"]}, "MALFORMED"),
        ({"b64": True}, "MALFORMED"),
        ({"kid": 7}, "MALFORMED"),
        ({"cty": 1}, "MALFORMED"),
        ({"kid": "other"}, "DECRYPTION_FAILED"),
        ({"typ": "other"}, "DECRYPTION_FAILED"),  # the header is authenticated
    ],
)
def test_the_header_is_judged_before_any_key_is_used(
    changes: dict[str, Any], reason: str, monkeypatch: pytest.MonkeyPatch
):
    """RFC 7516 section 5.2; what is not supported is refused by name, without cryptography (THREATS A17)."""
    if reason != "DECRYPTION_FAILED":
        monkeypatch.setattr(DecryptionKey, "decrypt", lambda *args: pytest.fail("a key was used"))
    text = changed(GOOD, 0, header={**header_of(GOOD), **changes})
    assert judged(SHARED.verify(text, NOW)) == reason


def test_a_cty_is_not_asked_for():
    """RFC 7519 section 5.2 requires it, and some issuers leave it out; any spelling of JWT will do."""
    for cty in (None, "jwt", "application/jwt"):
        assert judged(SHARED.verify(encrypt(signed(), RSA, cty=cty), NOW)) == "NONE"


@pytest.mark.parametrize("part", [1, 2, 3, 4])
@pytest.mark.parametrize("algorithm", KEY_ALGORITHMS)
def test_every_changed_bit_is_one_refusal(algorithm: str, part: int):
    """One reason, whatever was changed: encrypted key, initialization vector, content or tag (RFC 7516 section 11.5)."""
    for encryption in ("A128GCM", "A128CBC-HS256"):
        if part == 1 and algorithm in DIRECT:
            continue
        key = recipient(kind_for(algorithm, encryption))
        text = changed(encrypt(signed(), key, algorithm, encryption), part)
        assert judged(verifier(key).verify(text, NOW)) == "DECRYPTION_FAILED"


def test_failures_do_the_same_work(monkeypatch: pytest.MonkeyPatch):
    """A content key that cannot be recovered is replaced by a random one, and the content is decrypted with that: no oracle (THREATS A33)."""
    from lbjwt.jose import decryption

    seen: list[int] = []
    cipher = decryption._REGISTRY.get_enc("A256GCM")
    before = type(cipher).decrypt

    def watched(self: Any, ciphertext: bytes, tag: bytes, cek: bytes, iv: bytes, aad: bytes) -> bytes:
        seen.append(len(cek))
        return before(self, ciphertext, tag, cek, iv, aad)

    monkeypatch.setattr(type(cipher), "decrypt", watched)
    stranger = recipient("RSA", 1)
    for text in (changed(GOOD, 1), changed(GOOD, 3), changed(GOOD, 4), encrypt(signed(), stranger)):
        assert judged(SHARED.verify(text, NOW)) == "DECRYPTION_FAILED"
    assert seen == [32] * 4
    short = GOOD.split(b".")
    short[1] = b64(RSA.public_key.encrypt(b"short", _oaep())).encode()  # a content key of the wrong length
    assert judged(SHARED.verify(b".".join(short), NOW)) == "DECRYPTION_FAILED"
    assert seen == [32] * 5


def _oaep() -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP

    return OAEP(MGF1(hashes.SHA256()), hashes.SHA256(), None)


def test_a_point_that_is_not_on_the_curve_is_refused():
    """The invalid curve attack: the private key is never used with such a point (THREATS A32)."""
    key = recipient("P-256")
    text = encrypt(signed(), key, "ECDH-ES")
    header = header_of(text)
    for x, y in ((b64(bytes(32)), b64(b"\x01" * 32)), (header["epk"]["x"], header["epk"]["x"]), ("", ""), ("!", "!")):
        forged = changed(text, 0, header={**header, "epk": {"kty": "EC", "crv": "P-256", "x": x, "y": y}})
        assert judged(verifier(key).verify(forged, NOW)) == "DECRYPTION_FAILED"
    other = {**header, "epk": recipient("P-384").as_dict(private=False)}
    assert judged(verifier(key).verify(changed(text, 0, header=other), NOW)) == "DECRYPTION_FAILED"
    low = recipient("X25519")
    text = encrypt(signed(), low, "ECDH-ES")
    zero = {**header_of(text), "epk": {"kty": "OKP", "crv": "X25519", "x": b64(bytes(32))}}
    assert judged(verifier(low).verify(changed(text, 0, header=zero), NOW)) == "DECRYPTION_FAILED"


@pytest.mark.parametrize(
    "text", [b"....", b"a.b.c.d.e", GOOD + b".", GOOD[:-1] + b"=", GOOD.replace(b".", b"..", 1), GOOD + b"A"]
)
def test_other_forms_are_malformed(text: bytes):
    """Strict base64url, five parts, and the sizes that `enc` asks for, before any key is used."""
    assert judged(SHARED.verify(text, NOW)) in ("MALFORMED", "DECRYPTION_FAILED")
    assert SHARED.gate.faults == 0


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.text(max_size=20),
        st.sampled_from(["P-256", "EC", "OKP", "X25519"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "d", "é"]), inner, max_size=5),
    ),
    max_leaves=8,
)
MEMBERS = st.sampled_from(
    ["typ", "cty", "kid", "epk", "apu", "apv", "zip", "crit", "b64", "p2c", "iv", "tag", "jwk", "x5c"]
)
ALL_KINDS = verifier(RSA, *(recipient(kind) for kind in (*CURVES, "16", "32", "64")))


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(MEMBERS, JSON, max_size=4),
    st.one_of(st.sampled_from(KEY_ALGORITHMS), JSON),
    st.one_of(st.sampled_from([*ENCRYPTIONS]), JSON),
    st.lists(st.binary(max_size=70), min_size=4, max_size=4),
    st.booleans(),
)
def test_whatever_looks_encrypted_is_refused_without_a_fault(
    header: Any, algorithm: Any, encryption: Any, rest: list[bytes], sized: bool
):
    """Any header and any parts; also with parts of the right sizes, so that keys are used."""
    if sized and isinstance(encryption, str) and encryption in ENCRYPTIONS:
        sizes = ENCRYPTIONS[encryption]
        rest = [
            b"" if algorithm in ("dir", "ECDH-ES") else rest[0] or b"k",
            bytes(sizes.iv_size),
            rest[2] or b"c",
            bytes(sizes.tag_size),
        ]
    text = json.dumps({**header, "alg": algorithm, "enc": encryption}).encode()
    verdict = ALL_KINDS.verify(".".join(map(b64, (text, *rest))), NOW)
    assert judged(verdict) in ("MALFORMED", "ENCRYPTION_REFUSED", "DECRYPTION_FAILED")
    assert ALL_KINDS.gate.faults == 0


def test_padding_of_an_encrypted_token_is_another_spelling():
    """`allow_padding` is about signed tokens; a known JWE with `=` at its end is not that token."""
    one = verifier(RSA, policy={"allow_padding": True})
    assert judged(one.verify(GOOD, NOW)) == "NONE"
    for end in (b"=", b"=="):
        assert judged(one.verify(GOOD + end, NOW)) == "MALFORMED"


def test_a_key_without_an_id_and_one_with_another():
    """The key id of a token chooses among the keys; keys without an id are for every token."""
    named, nameless = recipient("RSA"), recipient("RSA", 1)
    text = encrypt(signed(), named, kid="e1")
    policy = IssuerPolicy(issuer=claims()["iss"], audiences=("api",))
    ring = KeyRing.from_jwks({"keys": [jwk_of(rsa_key(), kid="s1")]})

    def with_keys(*keys: DecryptionKey) -> Verifier:
        return Verifier(ring, policy, decryption=Decryption(keys))

    assert judged(with_keys(decryption_key(named, kid="e1"), decryption_key(nameless)).verify(text, NOW)) == "NONE"
    assert judged(with_keys(decryption_key(nameless), decryption_key(named)).verify(text, NOW)) == "NONE"
    assert judged(with_keys(decryption_key(named, kid="e2")).verify(text, NOW)) == "DECRYPTION_FAILED"


def test_one_token_tries_four_keys_at_most(monkeypatch: pytest.MonkeyPatch):
    """Garbage cannot ask for a private key operation with each key that there is (THREATS A34)."""
    tried: list[DecryptionKey] = []
    monkeypatch.setattr(DecryptionKey, "decrypt", lambda key, *rest: tried.append(key))
    keys = [recipient("P-256", which) for which in range(6)]
    assert judged(verifier(*keys).verify(encrypt(signed(), keys[0], "ECDH-ES"), NOW)) == "DECRYPTION_FAILED"
    assert len(tried) == len(set(tried)) == 4


def test_lists_of_algorithms_restrict_the_keys():
    """`algorithms` and `encryptions` accept no more than they say."""
    assert judged(verifier(RSA, algorithms=("RSA-OAEP",)).verify(GOOD, NOW)) == "DECRYPTION_FAILED"
    assert judged(verifier(RSA, encryptions=("A128GCM",)).verify(GOOD, NOW)) == "DECRYPTION_FAILED"
    for options in ({"algorithms": ("RSA1_5",)}, {"algorithms": ()}, {"encryptions": ("A128CBC",)}):
        with pytest.raises(ConfigurationError):
            verifier(RSA, **options)


def test_the_issuer_of_the_token_must_have_the_key():
    """Two issuers: a token of one that was encrypted to the key of the other is refused, and nobody's key opens for both."""
    first, second = recipient("RSA"), recipient("P-256")
    ring = KeyRing.from_jwks({"keys": [jwk_of(rsa_key(), kid="s1")]})
    both = Verifier.for_issuers(
        [
            TrustedIssuer(
                policy=IssuerPolicy(issuer=name, audiences=("api",)), decryption=Decryption((decryption_key(key),))
            )
            for name, key in (("https://a", first), ("https://b", second))
        ]
    )
    both.publish(ring, 0)
    both.publish(ring, 1)
    of_a = token(claims(iss="https://a"), algorithm="RS256", key=rsa_key(), kid="s1")
    assert judged(both.verify(encrypt(of_a, first), NOW)) == "NONE"
    assert judged(both.verify(encrypt(of_a, second, "ECDH-ES"), NOW)) == "DECRYPTION_FAILED"
    assert judged(both.verify(encrypt(token(claims(iss="https://c"), algorithm="RS256"), first), NOW)) == "WRONG_ISSUER"


def test_without_keys_an_encrypted_token_is_malformed():
    """As before: an issuer without `jwe` takes signed tokens only."""
    ring = KeyRing.from_jwks({"keys": [jwk_of(rsa_key(), kid="s1")]})
    plain = Verifier(ring, IssuerPolicy(issuer=claims()["iss"], audiences=("api",)))
    assert judged(plain.verify(GOOD, NOW)) == "MALFORMED"


def test_a_reload_that_takes_the_key_away_ends_its_tokens():
    """Other keys are other rules: what they opened is verified anew."""
    policy = IssuerPolicy(issuer=claims()["iss"], audiences=("api",))
    key = decryption_key(RSA)
    one = Verifier.for_issuers([TrustedIssuer(policy=policy, decryption=Decryption((key,)))])
    one.publish(KeyRing.from_jwks({"keys": [jwk_of(rsa_key(), kid="s1")]}))
    assert judged(one.verify(GOOD, NOW)) == "NONE"
    one.reload([TrustedIssuer(policy=policy, decryption=Decryption((decryption_key(RSA),)))])
    assert judged(one.verify(GOOD, NOW)) == "NONE"
    assert one.gate.cache.hits == 1  # the same key, read anew
    one.reload([TrustedIssuer(policy=policy, decryption=Decryption((decryption_key(recipient("RSA", 1)),)))])
    assert judged(one.verify(GOOD, NOW)) == "DECRYPTION_FAILED"
    one.reload([TrustedIssuer(policy=policy)])
    assert judged(one.verify(GOOD, NOW)) == "MALFORMED"


def test_revocation_and_time_hold_for_a_known_token():
    """The claims of a cached encrypted token are asked again, as those of a signed one."""
    revoked: set[str] = set()
    one = Verifier.for_issuers(
        [
            TrustedIssuer(
                policy=IssuerPolicy(issuer=claims()["iss"], audiences=("api",)),
                decryption=Decryption((decryption_key(RSA),)),
            )
        ],
        revoked=lambda index, kid, found, now: found["sub"] in revoked,
    )
    one.publish(KeyRing.from_jwks({"keys": [jwk_of(rsa_key(), kid="s1")]}))
    assert judged(one.verify(GOOD, NOW)) == "NONE"
    revoked.add("user-1")
    one.renew()
    assert judged(one.verify(GOOD, NOW)) == "REVOKED"
    revoked.clear()
    assert judged(one.verify(GOOD, NOW + 10_000)) == "EXPIRED"


def test_huge_rounds_cost_nothing():
    """A token that asks for two thousand million rounds of PBKDF2 is refused at once (THREATS A17)."""
    header = {**header_of(GOOD), "alg": "PBES2-HS256+A128KW", "p2s": "AAAAAAAAAAA", "p2c": 2**31 - 1}
    started = time.process_time()
    for _ in range(100):
        assert judged(SHARED.verify(changed(GOOD, 0, header=header), NOW)) == "ENCRYPTION_REFUSED"
    assert time.process_time() - started < 5.0  # one such token would take minutes


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "neither"),
        (b"{}", "key type"),
        (b'{"keys": []}', "list of keys"),
        (b'{"kty": "oct", "k": "AAAA"}', "3 bytes"),
        (b'{"kty": "EC", "crv": "P-256", "x": "a", "y": "b", "d": "c"}', "not valid"),
        (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n-----END ENCRYPTED PRIVATE KEY-----", "password"),
        (b"x" * 70_000, "larger"),
    ],
)
def test_what_is_no_key_is_refused(text: bytes, sentence: str):
    """With a sentence that quotes nothing."""
    with pytest.raises(KeyFormatError, match=sentence):
        import_decryption_keys(text)


def test_keys_for_another_use_are_refused():
    """`use`, `key_ops` and `alg` of a JWK hold; a public key decrypts nothing."""
    key = recipient("RSA")
    for members in ({"use": "sig"}, {"key_ops": ["sign"]}, {"alg": "RS256"}, {"alg": "RSA1_5"}, {"kid": "\n"}):
        with pytest.raises(KeyFormatError):
            decryption_key(key, **members)
    with pytest.raises(KeyFormatError, match="public"):
        import_decryption_keys(json.dumps(key.as_dict(private=False)).encode())
    assert decryption_key(key, alg="RSA-OAEP").algorithms == {"RSA-OAEP"}
    assert decryption_key(recipient("32"), alg="A256GCM").encryption == "A256GCM"
    assert decryption_key(recipient("32")).algorithms == {"A256KW", "dir"}


def test_a_decryption_is_made_of_texts():
    """The way of programs: PEM and JWK, each key once, and the lists checked."""
    key = recipient("P-256")
    jwk, pem = json.dumps(private_jwk(key)).encode(), key.as_pem(private=True)
    made = Decryption.from_keys(jwk, pem, algorithms=["ECDH-ES"], encryptions=["A128GCM"], required=True)
    assert made == Decryption((decryption_key(key),), ("ECDH-ES",), ("A128GCM",), required=True)
    one = Verifier.from_jwks(
        {"keys": [jwk_of(rsa_key(), kid="s1")]},
        issuer=claims()["iss"],
        audiences=["api"],
        decryption=Decryption.from_keys(pem),
    )
    assert judged(one.verify(encrypt(signed(), key, "ECDH-ES"), NOW)) == "NONE"
    for texts in ((), (b"{}",)):
        with pytest.raises((ConfigurationError, KeyFormatError)):
            Decryption.from_keys(*texts)


def test_pem_files_hold_one_private_key():
    """PKCS#8 and traditional PEM; the key has no id."""
    for kind in ("RSA", "P-256", "X25519"):
        (found,) = import_decryption_keys(recipient(kind).as_pem(private=True))
        assert found.kid == ""
        assert found == decryption_key(recipient(kind))
    pem = recipient("RSA").as_pem(private=True)
    with pytest.raises(KeyFormatError, match="more than one"):
        import_decryption_keys(pem + pem)
    assert "PRIVATE" not in repr(decryption_key(recipient("RSA")))


def test_the_steps_of_a_trace():
    """What `explain` tells: each step with its reason, and the token inside."""
    steps = SHARED.gate.trace(GOOD, NOW)
    names = [name for name, _, _ in steps]
    assert names[:7] == [
        *(
            "token.alphabet",
            "encryption.parts",
            "encryption.header",
            "encryption.key",
            "encryption.tag",
            "encryption.content",
            "issuer.name",
        ),
    ]
    assert all(reason == DenyReason.NONE for _, reason, _ in steps)
    steps = SHARED.gate.trace(changed(GOOD, 4), NOW)
    assert steps[-1][:2] == ("encryption.tag", DenyReason.DECRYPTION_FAILED)
