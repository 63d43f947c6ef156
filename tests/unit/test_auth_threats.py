"""THREATS table A: every known way a JWT verifier goes wrong, each with its number."""

import base64
import json
import os
import socket
import tracemalloc
from typing import Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws as joserfc_jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from lbjwt._fastverify import DenyReason
from lbjwt.auth.verifier import Verifier
from lbjwt.errors import ConfigurationError, KeyFormatError
from lbjwt.jose.imports import import_jwk
from lbjwt.jose.keys import secret_key
from tests.unit.auth_tokens import (
    ALGORITHMS,
    CURVES,
    ISSUER,
    NOW,
    SECRET,
    b64,
    certificate,
    claims,
    judged,
    jwk_of,
    private_key,
    public_pem,
    reason,
    rsa_key,
    sign,
    token,
    unb64,
    verifier,
)

ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    "ES256K": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
}


def forged(header: dict[str, Any], signature: bytes = b"", payload: dict[str, Any] | None = None) -> bytes:
    """A token with a signature of the test's choice."""
    parts = [b64(json.dumps(part).encode()) for part in (header, claims() if payload is None else payload)]
    return ".".join([*parts, b64(signature)]).encode()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_all_algorithms_round_trip(algorithm: str):
    """A good token of each algorithm passes, with its claims, key id and algorithm in the verdict."""
    verdict = verifier(algorithm).verify(token(algorithm=algorithm), NOW)
    assert judged(verdict) == "NONE"
    assert verdict.claims == claims()
    assert verdict.grant is not None
    assert verdict.grant.algorithm == algorithm
    assert verdict.grant.issuer == ISSUER


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name[:2] not in ("Ed", "ML")] + ["EdDSA"])
def test_tokens_of_pyjwt_are_accepted(algorithm: str):
    """What PyJWT signs, we accept."""
    text = pyjwt.encode(claims(), private_key(algorithm), algorithm, headers={"kid": "k1"})
    assert reason(text, algorithm) == "NONE"


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name[:2] != "ML"])
def test_tokens_of_joserfc_are_accepted(algorithm: str):
    """What joserfc signs, we accept."""
    key = private_key(algorithm)
    kind: Any = {"H": OctKey, "R": RSAKey, "P": RSAKey, "S": ECKey, "d": OKPKey}[
        algorithm[1] if algorithm[0] == "E" else algorithm[0]
    ]
    text = joserfc_jws.serialize_compact(
        {"alg": algorithm, "kid": "k1"}, json.dumps(claims()), kind.import_key(key), algorithms=[algorithm]
    )
    assert reason(text, algorithm) == "NONE"


@pytest.mark.parametrize(
    "name", ["none", "None", "nOnE", "NONE", "", None, 1, ["HS256"], "hs256", "HS256 ", "RS256", "ES256K", "HS1"]
)
def test_a1_alg_none_and_strangers_are_refused(name: Any):
    """No spelling of none, no missing, odd or unlisted algorithm passes, with a signature or without."""
    header = {} if name is None else {"alg": name}
    for kid in ({}, {"kid": "k1"}):
        assert reason(forged(header | kid)) == "MALFORMED", "an empty signature is no compact JWS"
        signed = forged(header | kid, b"x").rpartition(b".")[0]
        for signature in (b"x" * 32, sign("HS256", signed)):
            assert reason(signed + b"." + b64(signature).encode()) == "ALGORITHM_REFUSED"
    with pytest.raises(ConfigurationError):
        verifier("RS256", algorithms=["RS256", "none"])


def public_texts() -> list[bytes]:
    """Every text of a public key an attacker can get hold of."""
    public = rsa_key().public_key()
    return [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.PKCS1),
        public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        json.dumps(jwk_of(rsa_key())).encode(),
        json.dumps({"keys": [jwk_of(rsa_key())]}).encode(),
    ]


def test_a2_public_key_text_as_hmac_secret():
    """An HS token keyed with the public key's text fails against the ring of that key, and such a secret cannot be configured."""
    one = Verifier.from_jwks({"keys": [jwk_of(rsa_key(), kid="k1")]}, issuer=ISSUER, audiences=["api"])
    for text in public_texts():
        for secret in (text, text + b"\n", text.strip(), b"\n" + text):
            assert judged(one.verify(token(key=secret), NOW)) == "ALGORITHM_REFUSED"
        for secret in (text, text + b"\n", *([b" \n" + text] if text[0] != 0x30 else [])):
            with pytest.raises(KeyFormatError):
                Verifier.from_secret(secret, algorithms=["HS256"], issuer=ISSUER, audiences=["api"])


def test_a2_a_public_key_in_base64_is_no_secret():
    """One line of PEM without its armour, in either alphabet, with or without padding and line breaks; what only looks like it passes."""
    for text in (*public_texts(), certificate().public_bytes(Encoding.DER)):
        standard, url = base64.b64encode(text), base64.urlsafe_b64encode(text)
        for secret in (standard, url, standard.rstrip(b"="), url.rstrip(b"="), base64.encodebytes(text), url + b"\r\n"):
            with pytest.raises(KeyFormatError, match="cannot be used as a secret"):
                secret_key(secret, allowed=["HS256"])
            with pytest.raises(KeyFormatError):
                import_jwk({"kty": "oct", "k": b64(secret)}, allowed=["HS256"], symmetric=True)
    for size in (32, 48, 64, 294, 1000):
        for noise in (os.urandom(size), b"\x30\x82\x01\x22" + os.urandom(size)):
            for secret in (noise, base64.b64encode(noise), base64.urlsafe_b64encode(noise).rstrip(b"=")):
                assert secret_key(secret, allowed=["HS256"]).kty == "oct"


def test_a3_a_key_without_alg_takes_algorithms_of_its_type_only():
    """An RSA JWK without alg checks no HS token, an empty secret included, and no EC token."""
    one = Verifier.from_jwks({"keys": [jwk_of(rsa_key(), kid="k1")]}, issuer=ISSUER, audiences=["api"])
    for text in (token(key=b""), token(key=b"\x00" * 32), token(algorithm="ES256"), token(algorithm="EdDSA")):
        assert judged(one.verify(text, NOW)) == "ALGORITHM_REFUSED"
    assert judged(one.verify(token(algorithm="PS512"), NOW)) == "NONE"
    pinned = Verifier.from_jwks(
        {"keys": [jwk_of(rsa_key(), kid="k1")]}, issuer=ISSUER, audiences=["api"], algorithms=["RS256"]
    )
    assert judged(pinned.verify(token(algorithm="PS512"), NOW)) == "ALGORITHM_REFUSED"


def test_a4_header_key_and_allow_list_must_name_one_algorithm():
    """A JWK of RS512 serves RS512 only, whatever header and signature say."""
    jwk = jwk_of(rsa_key(), kid="k1", alg="RS512")
    one = Verifier.from_jwks({"keys": [jwk]}, issuer=ISSUER, audiences=["api"], algorithms=["RS256", "RS512"])
    signed = token(algorithm="RS256").rpartition(b".")[0]
    assert judged(one.verify(signed + b"." + b64(sign("RS512", signed)).encode(), NOW)) == "ALGORITHM_REFUSED"
    assert judged(one.verify(token(algorithm="RS256"), NOW)) == "ALGORITHM_REFUSED"
    assert judged(one.verify(token(algorithm="RS512"), NOW)) == "NONE"
    with pytest.raises(KeyFormatError):
        Verifier.from_jwks({"keys": [jwk]}, issuer=ISSUER, audiences=["api"], algorithms=["RS256"])


@pytest.mark.parametrize(("algorithm", "size"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a5_short_secrets_cannot_be_configured(algorithm: str, size: int):
    """A secret shorter than the hash, the empty one above all, stops the start."""
    for length in (0, 1, size - 1):
        with pytest.raises(KeyFormatError):
            Verifier.from_secret(b"k" * length, algorithms=[algorithm], issuer=ISSUER, audiences=["api"])
    one = Verifier.from_secret(b"k" * size, algorithms=[algorithm], issuer=ISSUER, audiences=["api"])
    assert judged(one.verify(token(algorithm=algorithm, key=b"k" * size), NOW)) == "NONE"
    assert judged(one.verify(token(algorithm=algorithm, key=b""), NOW)) == "BAD_SIGNATURE"


@pytest.mark.parametrize("member", ["jwk", "x5c", "x5t", "x5t#S256"])
def test_a6_embedded_keys_are_ignored(member: str):
    """A token that brings its own key is judged by ours; a good token with the member still passes."""
    value: Any = jwk_of(rsa_key(1)) if member == "jwk" else ["AAAA"] if member == "x5c" else "AAAA"
    header = {"alg": "RS256", "kid": "k1", member: value}
    assert reason(token(header=header, algorithm="RS256", key=rsa_key(1)), "RS256") == "BAD_SIGNATURE"
    assert reason(token(header=header, algorithm="RS256"), "RS256") == "NONE"


@pytest.mark.parametrize("member", ["jku", "x5u"])
def test_a7_urls_in_tokens_are_never_fetched(member: str):
    """A listener named in the token sees no connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/keys"
        header = {"alg": "RS256", "kid": "k9", member: url}
        assert reason(token(header=header, algorithm="RS256", key=rsa_key(1)), "RS256") == "UNKNOWN_KEY"
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize("kid", ["../../dev/null", "'; --", "a\x00b", "k1\n", "K1", "k1 ", "k" * 257, "é\u2028", "k2"])
def test_a8_key_ids_are_compared_and_nothing_else(kid: str):
    """A key id is looked up whole; one that is no usable text finds nothing."""
    assert reason(token(kid=kid, algorithm="EdDSA"), "EdDSA") == "UNKNOWN_KEY"
    assert reason(token(kid=kid, algorithm="HS256")) == (
        "NONE" if kid in ("../../dev/null", "'; --", "K1", "k1 ", "k2") else "UNKNOWN_KEY"
    )


@pytest.mark.parametrize("kid", [5, ["k1"], {"a": 1}, True])
def test_a8_a_key_id_that_is_no_text_is_malformed(kid: Any):
    """RFC 7515 section 4.1.4: a string."""
    assert reason(token(header={"alg": "HS256", "kid": kid})) == "MALFORMED"


@pytest.mark.parametrize("algorithm", sorted(CURVES))
def test_a9_psychic_signatures(algorithm: str):
    """r and s of 0, of the order, and above it sign nothing."""
    size = (CURVES[algorithm].key_size + 7) // 8
    order = ORDERS.get(algorithm, 2**521 - 1)
    signed = token(algorithm=algorithm).rpartition(b".")[0]
    for r, s in ((0, 0), (0, 1), (1, 0), (order, order), (order, 1), (1, order), (2 ** (8 * size) - 1,) * 2):
        signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
        assert reason(signed + b"." + b64(signature).encode(), algorithm) == "BAD_SIGNATURE"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a10_signature_length_is_exact(algorithm: str):
    """Any other length than the algorithm's is refused, DER among them, before the primitive is asked."""
    text = token(algorithm=algorithm)
    signed, _, encoded = text.rpartition(b".")
    good = unb64(encoded)
    one = verifier(algorithm, max_token=65536)
    for signature in (good[:-1], good + b"\x00", b"\x00" + good, good[: len(good) // 2], good * 2, b"x", b"x" * 5000):
        assert judged(one.verify(signed + b"." + b64(signature).encode(), NOW)) == "BAD_SIGNATURE"
    if algorithm in CURVES:
        der = private_key(algorithm).sign(signed, ec.ECDSA(hashes.SHA256()))
        assert judged(one.verify(signed + b"." + b64(der).encode(), NOW)) == "BAD_SIGNATURE"


def test_a10_giant_signatures_leave_memory_flat():
    """64 KiB signatures are refused for their length without being decoded."""
    one = verifier("ES256", max_token=65536)
    signed = token(algorithm="ES256").rpartition(b".")[0]
    text = signed + b"." + b"A" * 65_000
    one.verify(text, NOW)
    tracemalloc.start()
    for _ in range(20):
        assert judged(one.verify(text, NOW)) == "BAD_SIGNATURE"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * len(text)


def test_a12_pss_salt_and_padding_are_pinned():
    """PS256 takes a salt of 32 bytes only, and neither padding passes for the other."""
    signed = token(algorithm="PS256").rpartition(b".")[0]
    sha = hashes.SHA256()
    for salt in (0, 20, 31, 33, padding.PSS.MAX_LENGTH):
        signature = rsa_key().sign(signed, padding.PSS(padding.MGF1(sha), salt), sha)
        assert reason(signed + b"." + b64(signature).encode(), "PS256") == "BAD_SIGNATURE"
    for mgf in (hashes.SHA224(), hashes.SHA512()):
        signature = rsa_key().sign(signed, padding.PSS(padding.MGF1(mgf), 32), sha)
        assert reason(signed + b"." + b64(signature).encode(), "PS256") == "BAD_SIGNATURE"
    assert reason(signed + b"." + b64(sign("RS256", signed)).encode(), "PS256") == "BAD_SIGNATURE"
    signed = token(algorithm="RS256").rpartition(b".")[0]
    assert reason(signed + b"." + b64(sign("PS256", signed)).encode(), "RS256") == "BAD_SIGNATURE"


@pytest.mark.parametrize("crit", [[], ["x"], ["alg"], 5, "alg", ["exp", "exp"], [{}], None, {}])
def test_a13_crit_is_always_refused(crit: Any):
    """We understand no extension, so a token that insists on one is refused."""
    assert reason(token(header={"alg": "HS256", "crit": crit, "exp": 1})) == "MALFORMED"


@pytest.mark.parametrize("b64_value", [False, True, None])
def test_a14_unencoded_payloads_are_refused(b64_value: Any):
    """b64 has no place in a JWT (RFC 7797 section 7), with crit or without."""
    assert reason(token(header={"alg": "HS256", "b64": b64_value})) == "MALFORMED"
    assert reason(token(header={"alg": "HS256", "b64": b64_value, "crit": ["b64"]})) == "MALFORMED"


def test_a15_json_serialisations_are_refused():
    """Only the compact form is a token."""
    protected, payload, signature = token().decode().split(".")
    for document in (
        {"payload": payload, "protected": protected, "signature": signature},
        {"payload": payload, "signatures": [{"protected": protected, "signature": signature}]},
        {"payload": payload, "signatures": []},
    ):
        assert reason(json.dumps(document)) == "MALFORMED"


def test_a16_only_three_parts():
    """Fewer or more dots, empty parts and five-part JWE are refused."""
    good = token().decode()
    one, two, three = good.split(".")
    for text in (
        "",
        ".",
        "..",
        "...",
        one,
        f"{one}.{two}",
        f"{good}.",
        f".{good}",
        f"{good}.{three}",
        f"{good}.{one}.{two}",
        f"{one}..{three}",
    ):
        assert reason(text) in ("MALFORMED", "MISSING")
    polyglot = '{"a":".' + one + "." + two + "." + three + '."}'
    assert reason(polyglot) == "MALFORMED"
    assert reason(token(header={"alg": "HS256", "enc": "A128GCM"})) == "MALFORMED"


def test_a17_jwe_bombs_are_refused_by_form():
    """zip and p2c are never looked at."""
    header = b64(json.dumps({"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "zip": "DEF", "p2c": 2**31}).encode())
    assert reason(f"{header}.AA.AA.AA.AA") == "MALFORMED"
    assert reason(token(header={"alg": "HS256", "zip": "DEF"})) == "MALFORMED"


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_a18_a_token_has_one_spelling(segment: int):
    """Padding, white space, other alphabets and left-over bits are refused in each segment."""
    parts = token(claims(pad="xy")).decode().split(".")
    changes = ["=", "==", "\n", " ", "+", "/", "\x00", "é", "%3D"]
    for change in changes:
        for text in (
            parts[segment] + change,
            change + parts[segment],
            parts[segment][:5] + change + parts[segment][5:],
        ):
            spelled = ".".join([*parts[:segment], text, *parts[segment + 1 :]])
            assert reason(spelled) in ("MALFORMED", "BAD_SIGNATURE")
            assert not verifier().authorize(b"Bearer " + spelled.encode(), NOW).allowed or spelled.startswith(" ")


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256", "ES512", "EdDSA"])
def test_a18_left_over_bits_are_zero(algorithm: str):
    """The unused bits of the last signature character make no second spelling."""
    text = token(algorithm=algorithm)
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    one = verifier(algorithm)
    accepted = [last for last in alphabet if one.verify(text[:-1] + bytes((last,)), NOW).allowed]
    assert accepted == [text[-1]]


def test_a18_padding_can_be_allowed_and_is_one_cache_entry():
    """With allow_padding a padded token verifies over its own text, and the padding of the signature makes no second entry."""
    one = verifier(allow_padding=True)

    def padded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode()

    header = padded(b'{"alg":"HS256","kid":"k1"}')
    payload = padded(json.dumps(claims()).encode())
    while not payload.endswith("="):
        payload = padded(json.dumps(claims(pad="x" * len(payload))).encode())
    signed = f"{header}.{payload}".encode()
    text = signed + b"." + padded(sign("HS256", signed)).encode()
    assert text.endswith(b"=")
    assert b"=." in text
    assert judged(one.authorize(b"Bearer " + text, NOW)) == "NONE"
    assert judged(one.authorize(b"Bearer " + text.rstrip(b"="), NOW)) == "NONE"
    verdict = one.verify(text, NOW)
    assert judged(verdict) == "NONE"
    assert verdict.claims is not None
    assert verdict.claims["sub"] == "user-1"
    assert (len(one.gate.cache), one.gate.cache.hits) == (1, 2)
    bare = text.replace(b"=", b"")
    assert judged(one.authorize(b"Bearer " + bare, NOW)) == "BAD_SIGNATURE", "the signature covers the inner padding"
    assert judged(one.authorize(b"Bearer " + text.replace(b".", b"=.", 1), NOW)) == "MALFORMED", "padding is exact"
    assert judged(one.authorize(b"Bearer =" + text, NOW)) == "MALFORMED_CREDENTIALS"
    assert judged(verifier().authorize(b"Bearer " + text, NOW)) == "MALFORMED_CREDENTIALS"
    assert reason(text) == "MALFORMED"


def test_a19_duplicate_names_are_refused_even_when_signed():
    """Two readers of one token must not see two subjects, or two algorithms."""
    rest = b'"iss":"https://issuer.example","aud":"api","exp":1800000600'
    assert reason(token(b'{"sub":"a",%b}' % rest)) == "NONE"
    assert reason(token(b'{"sub":"a","sub":"admin",%b}' % rest)) == "MALFORMED"
    assert reason(token(b'{"sub":"a","\\u0073ub":"admin",%b}' % rest)) == "MALFORMED"
    assert reason(token(b'{"act":{"a":1,"a":1},%b}' % rest)) == "MALFORMED"
    assert reason(token(header=b'{"alg":"none","alg":"HS256"}')) == "MALFORMED"
    assert reason(token(header=b'{"alg":"HS256","kid":"x","kid":"k1"}')) == "MALFORMED"


@pytest.mark.parametrize("levels", [10, 31, 40, 1000, 5000])
def test_a20_deep_json_is_refused_in_header_and_payload(levels: int):
    """A token nests 32 levels at most; deeper is MALFORMED, never a fault."""
    deep = b"[" * levels + b"]" * levels
    expected = "NONE" if levels < 32 else "MALFORMED"
    assert (
        reason(token(b'{"iss":"https://issuer.example","aud":"api","exp":1800000600,"x":%b}' % deep), max_token=65536)
        == expected
    )
    assert reason(token(header=b'{"alg":"HS256","x":%b}' % deep), max_token=65536) == expected


@pytest.mark.parametrize("number", [b"1e1000000000", b"1" * 5000, b"-1e-99999", b"0." + b"0" * 5000 + b"1", b"1e400"])
def test_a21_bomb_numbers_are_refused(number: bytes):
    """Nothing is computed that has more digits than a use."""
    rest = b'"iss":"https://issuer.example","aud":"api"'
    assert reason(token(b'{%b,"exp":%b}' % (rest, number)), max_token=65536) == "MALFORMED"
    assert reason(token(b'{%b,"exp":1800000600,"x":%b}' % (rest, number)), max_token=65536) == "MALFORMED"


def test_a23_dots_are_counted_with_a_bound():
    """A token of a million dots is refused for its length, and one of eight thousand at the third dot."""
    assert reason("." * 1_000_000) == "MALFORMED"
    assert reason("." * 8000) == "MALFORMED"
    assert reason(token().decode() + "." * 1000) == "MALFORMED"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_a24_other_encodings_are_refused_even_when_signed(encoding: str):
    """A header or payload that is not plain UTF-8 is none."""
    assert reason(token(json.dumps(claims()).encode(encoding))) == "MALFORMED"
    assert reason(token(header=json.dumps({"alg": "HS256"}).encode(encoding))) == "MALFORMED"


@pytest.mark.parametrize(
    ("typ", "expected"),
    [
        ("at+jwt", "NONE"),
        ("AT+JWT", "NONE"),
        ("application/at+jwt", "NONE"),
        ("JWT", "WRONG_TYPE"),
        ("logout+jwt", "WRONG_TYPE"),
        ("at+jwt ", "WRONG_TYPE"),
        ("application/application/at+jwt", "WRONG_TYPE"),
        (None, "WRONG_TYPE"),
        (5, "MALFORMED"),
    ],
)
def test_a25_explicit_typing(typ: Any, expected: str):
    """With typ configured, or the profile of RFC 9068, an ID token is no access token (RFC 9068 section 4)."""
    header = {"alg": "HS256"} | ({} if typ is None else {"typ": typ})
    assert reason(token(header=header), typ="at+jwt") == expected
    access = token(claims(client_id="app", jti="1"), header=header)
    assert reason(access, access_token_profile=True) == expected
    assert reason(access, access_token_profile=True, typ="application/at+jwt") == expected
    assert reason(access, typ="jwt") == {"JWT": "NONE", 5: "MALFORMED"}.get(typ, "WRONG_TYPE")


@pytest.mark.parametrize(
    "typ",
    ["logout+jwt", "secevent+jwt", "dpop+jwt", "oauth-authz-req+jwt", "token-introspection+jwt", "kb+jwt"],
)
def test_a25_what_says_it_is_for_something_else_is_no_access_token(typ: str):
    """A logout token of the same issuer for the same audience opens nothing, though no type is configured; one may ask for it by name."""
    for spelling in (typ, typ.upper(), f"application/{typ}"):
        assert reason(token(header={"alg": "HS256", "typ": spelling})) == "WRONG_TYPE"
        assert reason(token(header={"alg": "HS256", "typ": spelling}), typ=typ) == "NONE"
    for other in ("JWT", "at+jwt", "application/at+jwt", "x", f"{typ}2", f"x/{typ}"):
        assert reason(token(header={"alg": "HS256", "typ": other})) == "NONE"


@pytest.mark.parametrize("cty", ["JWT", "jwt", "application/jwt"])
def test_a26_nested_tokens_are_refused(cty: str):
    """A payload that is said to be a token is not claims."""
    assert reason(token(header={"alg": "HS256", "cty": cty})) == "MALFORMED"
    assert reason(token(token())) == "MALFORMED"


def test_a29_no_state_leaks_from_a_refused_token():
    """After none tokens, forgeries and good ones in turn, forgeries still fail."""
    one = verifier()
    none = forged({"alg": "none", "kid": "k1"}, b"x")
    for number in range(300):
        assert not one.verify(none, NOW).allowed
        assert judged(one.verify(token(), NOW)) == "NONE"
        assert judged(one.verify(token(claims(sub=str(number)), key=b"attacker" * 8), NOW)) == "BAD_SIGNATURE"


def test_a31_bad_signatures_leave_no_error_behind():
    """A flood of bad signatures does not disturb the good one after it, of any algorithm."""
    verifiers = {name: verifier(name) for name in ALGORITHMS}
    texts = {name: token(algorithm=name) for name in ALGORITHMS}
    for name in ALGORITHMS:
        signed, _, signature = texts[name].rpartition(b".")
        broken = bytearray(unb64(signature))
        broken[10] ^= 1
        for _ in range(20):
            assert judged(verifiers[name].verify(signed + b"." + b64(bytes(broken)).encode(), NOW)) == "BAD_SIGNATURE"
        assert judged(verifiers[name].verify(texts[name], NOW)) == "NONE"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_single_edits_of_a_token_are_never_accepted(algorithm: str):
    """T2: of hundreds of one-character changes, cuts, repeats and swaps, none is accepted, and only known reasons come."""
    text = token(algorithm=algorithm)
    one = verifier(algorithm)
    assert one.verify(text, NOW).allowed
    step = max(1, len(text) // 70)
    for at in range(0, len(text), step):
        for edited in (
            text[:at] + bytes((text[at] ^ 1,)) + text[at + 1 :],
            text[:at] + (b"A" if text[at : at + 1] != b"A" else b"B") + text[at + 1 :],
            text[:at] + text[at + 1 :],
            text[:at] + text[at : at + 1] + text[at:],
            text[:at],
        ):
            if edited != text:
                verdict = one.verify(edited, NOW)
                assert not verdict.allowed
                assert verdict.reason not in (DenyReason.NONE, DenyReason.INTERNAL)
    assert one.gate.faults == 0
    assert judged(one.verify(text, NOW)) == "NONE"


def test_es256_twin_signatures_are_two_tokens():
    """D12: n - s verifies as well; it is another token with the same jti, so token bytes are no replay identity."""
    text = token(claims(jti="j1"), algorithm="ES256")
    signed, _, encoded = text.rpartition(b".")
    signature = unb64(encoded)
    s = ORDERS["ES256"] - int.from_bytes(signature[32:], "big")
    twin = signed + b"." + b64(signature[:32] + s.to_bytes(32, "big")).encode()
    one = verifier("ES256")
    first, second = one.verify(text, NOW).claims, one.verify(twin, NOW).claims
    assert first == second
    assert first is not None
    assert first["jti"] == "j1"
    assert len(one.gate.cache) == 2


def test_b1_no_keys_is_503_and_nothing_passes():
    """Without keys every token waits, those signed with published sample keys too; without a token it is still 401."""
    one = Verifier(None, verifier().policy)
    for text in (token(), token(key=SECRET), token(key=b"your-256-bit-secret" * 2), token(algorithm="RS256")):
        assert judged(one.verify(text, NOW)) == "KEYS_UNAVAILABLE"
    assert judged(one.authorize(None, NOW)) == "MISSING"
    assert public_pem("RS256")
