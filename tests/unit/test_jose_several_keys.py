"""Key sets as real issuers publish them: one id on several keys, no ids at all, certificates as names, null, padding. THREATS B11."""

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from lbjwt._fastverify import DenyReason, Gate, SignatureCheck, Verification
from lbjwt._grants import GrantCache
from lbjwt.auth._claims import PolicyRules
from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.trusted_issuer import TrustedIssuer
from lbjwt.auth.verifier import Verifier
from lbjwt.errors import KeyFormatError
from lbjwt.jose.certificates import thumbprints_of
from lbjwt.jose.keyring import MAX_TRIED, KeyRing
from tests.unit.auth_tokens import ISSUER, NOW, certificate, claims, judged, jwk_of, private_key, rsa_key, sign, token

POLICY = IssuerPolicy(issuer=ISSUER, audiences=("api",))
FORGER = 99  # an RSA key that no issuer here has


def ring(*members: Any, **options: Any) -> KeyRing:
    return KeyRing.from_jwks({"keys": list(members)}, **options)


def rsa(which: int, **members: Any) -> dict[str, Any]:
    return jwk_of(rsa_key(which), **members)


def judge(keys: KeyRing, text: bytes) -> str:
    return judged(Verifier(keys, POLICY).verify(text, NOW))


def signed(which: int = 0, algorithm: str = "RS256", kid: str | None = None, **header: Any) -> bytes:
    """A token by an RSA key, with these members in its header."""
    members = {"alg": algorithm, **({} if kid is None else {"kid": kid}), **header}
    return token(claims(sub=f"by {which}"), algorithm=algorithm, header=members, key=rsa_key(which))


# --- one id on several keys -------------------------------------------------------------------------------------------


def test_the_same_jwk_twice_is_one_key() -> None:
    """With an id and without (RFC 7517 section 4.5); nothing is tried twice and nothing is said about it."""
    for member in (rsa(0, kid="k1"), rsa(0), rsa(0, kid="k1", alg="RS256", use="sig")):
        keys = ring(member, dict(member), {**member, "use": None})
        assert (len(keys), keys.warnings) == (1, ())
        assert isinstance(keys.find(member.get("kid"), "RS256"), SignatureCheck)


def test_one_rsa_key_under_one_id_for_several_algorithms() -> None:
    """Each JWK serves its own algorithm: the right one is found by it, without trying, and another one is refused."""
    keys = ring(*(rsa(0, kid="k1", alg=algorithm) for algorithm in ("RS256", "RS384", "RS512")))
    assert (len(keys), keys.warnings) == (3, ())
    for algorithm in ("RS256", "RS384", "RS512"):
        assert isinstance(keys.find("k1", algorithm), SignatureCheck)
        assert judge(keys, signed(algorithm=algorithm, kid="k1")) == "NONE"
        assert judge(keys, signed(FORGER, algorithm, kid="k1")) == "BAD_SIGNATURE"
    assert judge(keys, signed(algorithm="PS256", kid="k1")) == "ALGORITHM_REFUSED"


def test_one_id_for_keys_of_several_types_and_uses() -> None:
    """Told apart by kty, crv and use: RSA, EC and Ed25519 keys under one id, beside a key for encryption."""
    keys = ring(
        rsa(1, kid="k1", use="enc"), rsa(0, kid="k1", use="sig"), *(jwk_of(private_key(name), kid="k1") for name in ("ES256", "ES384", "EdDSA"))
    )  # fmt: skip
    assert len(keys) == 4
    assert judge(keys, signed(0, kid="k1")) == "NONE"
    assert judge(keys, signed(1, kid="k1")) == "BAD_SIGNATURE"
    for algorithm in ("ES256", "ES384", "EdDSA"):
        assert isinstance(keys.find("k1", algorithm), SignatureCheck)
        assert judge(keys, token(algorithm=algorithm, kid="k1")) == "NONE"


def test_b11_several_keys_of_one_type_and_algorithm_under_one_id_are_tried() -> None:
    """Tokens of each pass, those of anybody else do not, whatever order they come in; the set says that it is odd."""
    one = Verifier(ring(rsa(0, kid="k1"), rsa(1, kid="k1"), rsa(2, kid="k2")), POLICY)
    assert one.keys is not None and [
        note for note in one.keys.warnings if "2 keys for RS256 have the key id 'k1'" in note
    ]
    for which, expected in (
        (0, "NONE"),
        (1, "NONE"),
        (FORGER, "BAD_SIGNATURE"),
        (1, "NONE"),
        (2, "BAD_SIGNATURE"),
        (0, "NONE"),
    ):
        text = signed(which, kid="k1", n=which)
        assert judged(one.verify(text, NOW)) == judged(one.verify(text, NOW)) == expected


def test_b18_a_token_is_bound_to_the_key_that_verified_it() -> None:
    """Of two keys under one id the withdrawn one takes its tokens along, and no others; a header that was seen before chooses no key."""
    one = Verifier(ring(rsa(0, kid="k1"), rsa(1, kid="k1")), POLICY)
    texts = [signed(which, kid="k1") for which in (0, 1)]
    assert texts[0].split(b".")[0] == texts[1].split(b".")[0], "one header, two keys"
    grants = [one.verify(text, NOW).grant for text in texts]
    assert all(grants) and grants[0].key is not grants[1].key  # type: ignore[union-attr]
    one.publish(ring(rsa(1, kid="k1")))
    assert [judged(one.verify(text, NOW)) for text in texts] == ["BAD_SIGNATURE", "NONE"]
    assert one.verify(texts[1], NOW).grant is grants[1]


def test_c20_a_revoked_key_id_ends_the_tokens_of_every_key_under_it() -> None:
    """Also those that name no key, and those of the same key given once more without its id."""
    revoked: set[str] = set()
    issuer = TrustedIssuer(policy=POLICY)
    one = Verifier.for_issuers([issuer], revoked=lambda index, kid, claims, now: kid in revoked)
    one.publish(ring(rsa(1), rsa(0), rsa(0, kid="k1"), rsa(1, kid="k1"), rsa(2)))
    texts = [*(signed(which, kid=kid) for which in (0, 1) for kid in ("k1", None, "")), signed(2)]
    assert [judged(one.verify(text, NOW)) for text in texts] == ["NONE"] * 7
    revoked.add("k1")
    one.renew()
    assert [judged(one.verify(text, NOW)) for text in texts] == ["REVOKED"] * 6 + ["NONE"]


def test_c20_a_made_up_key_id_does_not_slip_past_a_revoked_one() -> None:
    """A key listed with an id and without goes by its id, whatever a token calls it; another key without an id is still tried."""
    one = Verifier.for_issuers([TrustedIssuer(policy=POLICY)], revoked=lambda index, kid, claims, now: kid == "k1")
    one.publish(ring(rsa(0), rsa(0, kid="k1"), rsa(1)))
    assert judged(one.verify(signed(1, kid="made up"), NOW)) == "NONE"
    assert [judged(one.verify(signed(kid=kid), NOW)) for kid in ("k1", None)] == ["REVOKED"] * 2
    assert judged(one.verify(signed(kid="made up"), NOW)) == "BAD_SIGNATURE"
    assert ring(rsa(0), rsa(0, kid="k1")).find("made up", "RS256") == DenyReason.UNKNOWN_KEY


# --- no ids -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kid", [{}, {"kid": ""}, {"kid": None}])
def test_keys_without_ids_are_tried_for_a_token_that_names_none(kid: dict[str, Any]) -> None:
    """No id, an empty one and null are one thing (RFC 7515 appendix D); keys of another algorithm are not even candidates."""
    keys = ring(rsa(0), jwk_of(private_key("ES256")), rsa(1), rsa(2, alg="RS512"), rsa(3, kid="named"))
    assert [judge(keys, signed(which, **kid)) for which in (0, 1, 2, 3, FORGER)] == [
        *("NONE", "NONE", "BAD_SIGNATURE", "NONE", "BAD_SIGNATURE"),
    ]
    found = keys.find(None, "RS256")
    assert isinstance(found, tuple) and [check.key_id for check in found] == ["", "", "named"]
    assert judge(keys, signed(algorithm="PS384", **kid)) == "NONE"
    assert judge(ring(rsa(0, alg="RS256")), signed(algorithm="PS384", **kid)) == "ALGORITHM_REFUSED"


def test_a_token_that_names_a_key_goes_to_that_key_alone() -> None:
    """Where a key has the token's id no key without id is tried; where none has it, those without id are all it can mean."""
    keys = ring(rsa(0), rsa(1), rsa(2, kid="k2"))
    assert [judge(keys, signed(which, kid="k2")) for which in (0, 1, 2)] == ["BAD_SIGNATURE", "BAD_SIGNATURE", "NONE"]
    assert [judge(keys, signed(which, kid="k9")) for which in (0, 1, 2)] == ["NONE", "NONE", "BAD_SIGNATURE"]
    assert judge(ring(rsa(2, kid="k2")), signed(2, kid="k9")) == "UNKNOWN_KEY"


def test_s10_at_most_eight_keys_are_tried_for_one_token() -> None:
    """However many fit; and the set says that the others are not."""
    keys = ring(*(rsa(which) for which in range(MAX_TRIED + 1)))
    assert MAX_TRIED == 8 and [note for note in keys.warnings if "tries only the first 8" in note]
    found = keys.find(None, "RS256")
    assert isinstance(found, tuple) and len(found) == MAX_TRIED
    assert judge(keys, signed(MAX_TRIED - 1)) == "NONE"
    assert judge(keys, signed(MAX_TRIED)) == "BAD_SIGNATURE"
    named = ring(*(rsa(which, kid="k1") for which in range(MAX_TRIED + 1)))
    assert judge(named, signed(MAX_TRIED, kid="k1")) == "BAD_SIGNATURE"


def test_s9_cheap_checks_come_before_dear_ones_for_several_keys() -> None:
    """A signature that is as long as that of none of them costs no cryptography; one that is, is checked by those it may be of."""
    asked: list[str] = []

    def check(name: str, size: int) -> SignatureCheck:
        def verify(signature: bytes, text: bytes) -> None:
            asked.append(name)

        return SignatureCheck(None, key_id=name, algorithm="RS256", signature_size=size, verify=verify)

    several = (check("small", 256), check("large", 384))
    verification = Verification(resolve=lambda _: several, rules=PolicyRules(IssuerPolicy(issuer=None, audiences=None)))
    gate = Gate(cache=GrantCache(), verifications=[verification])
    text = signed()
    for extra in (b"AAAA", b"A", b"AA"):
        assert gate.verify(text + extra, NOW) == (None, DenyReason.BAD_SIGNATURE) and asked == []
    grant, _ = gate.verify(text, NOW)
    assert grant is not None and grant.key_id == "small" and asked == ["small"]


# --- certificates as names ------------------------------------------------------------------------------------------------


def named_by_certificate(which: int, *members: str) -> dict[str, Any]:
    """A JWK with its certificate, or the thumbprints of it."""
    der = certificate(rsa_key(which)).public_bytes(Encoding.DER)
    sha256, sha1 = thumbprints_of(der)
    all_of_it = {"x5t": sha1, "x5t#S256": sha256, "x5c": [base64.b64encode(der).decode()], "kid": sha1}
    return rsa(which, **{name: all_of_it[name] for name in members})


@pytest.mark.parametrize("members", [("x5t", "x5t#S256"), ("x5c",), ("kid", "x5t", "x5c"), ("kid", "x5c")])
@pytest.mark.parametrize("name", ["x5t", "x5t#S256"])
def test_a_token_that_names_its_certificate_and_no_key_finds_the_key(name: str, members: tuple[str, ...]) -> None:
    """RFC 7515 section 4.1.7, as ADFS writes it: one key is meant, and no other is tried."""
    keys = ring(*(named_by_certificate(which, *members) for which in range(3)))
    for which in range(3):
        header = {
            name: named_by_certificate(which, name)[name]
            if name == "x5t#S256"
            else named_by_certificate(which, "x5t")["x5t"]
        }
        for spelled in (header, {name: header[name] + "="}, {**header, "kid": ""}):
            assert judge(keys, signed(which, **spelled)) == "NONE"
        found = keys.find(None, "RS256", [header[name]])
        assert isinstance(found, SignatureCheck)
        assert judge(keys, signed((which + 1) % 3, **header)) == "BAD_SIGNATURE"
        assert judge(keys, signed(which, algorithm="ES256" if which > 2 else "PS512", **header)) == "NONE"


@pytest.mark.parametrize("value", ["AAAA", "", "x" * 5000, "é", 5, None, ["x"], {}])
@pytest.mark.parametrize("name", ["x5t", "x5t#S256"])
def test_b4_a_certificate_that_no_key_has_is_no_unknown_key_id(name: str, value: Any) -> None:
    """Whatever it is, the keys that fit are tried, as for a token that names nothing; so made-up ones make no fetch."""
    keys = ring(named_by_certificate(0, "x5t", "kid"), named_by_certificate(1, "x5t", "kid"))
    assert judge(keys, signed(1, **{name: value})) == "NONE"
    assert judge(keys, signed(FORGER, **{name: value})) == "BAD_SIGNATURE"


def test_a_key_id_counts_more_than_a_certificate() -> None:
    """A token with both means the key with its id, and an id that nobody has is unknown whatever the certificate."""
    keys = ring(named_by_certificate(0, "x5t", "kid"), named_by_certificate(1, "x5t", "kid"))
    first, second = (named_by_certificate(which, "x5t")["x5t"] for which in (0, 1))
    assert judge(keys, signed(0, kid=first, x5t=second)) == "NONE"
    assert judge(keys, signed(1, kid=first, x5t=second)) == "BAD_SIGNATURE"
    assert judge(keys, signed(0, kid="other", x5t=first)) == "UNKNOWN_KEY"


@pytest.mark.parametrize("chain", [["!"], ["AAAA"], [5], [], "AAAA", {}, [None], ["é"]])
def test_a_broken_chain_in_a_key_names_nothing_and_spoils_nothing(chain: Any) -> None:
    """The numbers of the JWK are the key; what is beside them is a label."""
    assert judge(ring(rsa(0, x5c=chain), rsa(1, x5c=chain)), signed(1)) == "NONE"


def test_a_certificate_of_a_pem_file_can_be_named_too() -> None:
    """Several certificates in one file, and a token that says by which of them it was signed."""
    texts = [certificate(rsa_key(which)).public_bytes(Encoding.PEM) for which in range(2)]
    keys = KeyRing.from_pem(b"".join(texts))
    for which in range(2):
        header = {"x5t": named_by_certificate(which, "x5t")["x5t"]}
        assert isinstance(keys.find(None, "RS256", [header["x5t"]]), SignatureCheck)
        assert judge(keys, signed(which, **header)) == "NONE"


# --- null and padding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("member", ["kid", "alg", "use", "key_ops", "x5t", "x5t#S256", "x5c", "x5u", "ext", "d", "oct"])
def test_null_for_an_optional_member_of_a_key_is_its_absence(member: str) -> None:
    """The same key as without it, and no word about it."""
    plain, nulled = ring(rsa(0)), ring(rsa(0, **{member: None}))
    assert nulled.warnings == () and nulled.keys[0].same_as(plain.keys[0])


@pytest.mark.parametrize("member", ["kid", "typ", "cty", "x5t", "x5t#S256", "x5c", "x5u", "jku", "jwk"])
def test_null_for_an_optional_member_of_a_token_header_is_its_absence(member: str) -> None:
    """Another thing are `crit` and its like, whose mere presence refuses a token (THREATS A13)."""
    header: dict[str, Any] = {member: None}
    assert judge(ring(rsa(0)), signed(**header)) == "NONE"


def padded(text: str) -> str:
    return text + "=" * (-len(text) % 4)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA", "ML-DSA-44"])
def test_allow_padding_covers_keys(algorithm: str) -> None:
    """Correct padding where the issuer opted in, and the key is the same one; without the opt-in, or with other padding, it is left out."""
    jwk = jwk_of(private_key(algorithm), kid="k1")
    names = [name for name in ("n", "e", "x", "y", "pub") if name in jwk]
    other = jwk | {name: padded(jwk[name]) for name in names}
    spoilt = jwk | {names[0]: padded(jwk[names[0]]) + "="}
    assert any(other[name] != jwk[name] for name in names)
    with pytest.raises(KeyFormatError, match="not base64url"):
        ring(other)
    with pytest.raises(KeyFormatError, match="not base64url"):
        ring(spoilt, allow_padding=True)
    (key,) = ring(other, allow_padding=True)
    assert key.same_as(ring(jwk).keys[0])
    text = token(algorithm=algorithm, kid="k1")
    options: dict[str, Any] = {"issuer": ISSUER, "audiences": ["api"]}
    assert judged(Verifier.from_jwks({"keys": [other]}, allow_padding=True, **options).verify(text, NOW)) == "NONE"


# --- secrets ------------------------------------------------------------------------------------------------------------------


def secret(number: int) -> bytes:
    return bytes((number + at) % 256 for at in range(48))


def oct_key(number: int, **members: Any) -> dict[str, Any]:
    return {"kty": "oct", "k": base64.urlsafe_b64encode(secret(number)).decode(), **members}


def test_several_secrets_of_one_issuer_are_a_rotation() -> None:
    """Tokens by each pass, also with a key id; the withdrawn one takes its tokens along; a secret given twice is one."""
    one = Verifier(KeyRing.from_secret(secret(1), secret(2), secret(1), algorithms=["HS256"]), POLICY)
    assert one.keys is not None and len(one.keys) == 2
    texts = [token(key=secret(number), kid=kid) for number in (1, 2, 3) for kid in (None, "k")]
    assert [judged(one.verify(text, NOW)) for text in texts] == ["NONE"] * 4 + ["BAD_SIGNATURE"] * 2
    one.publish(KeyRing.from_secret(secret(2), algorithms=["HS256"]))
    assert [judged(one.verify(text, NOW)) for text in texts] == ["BAD_SIGNATURE"] * 2 + ["NONE"] * 2 + [
        "BAD_SIGNATURE"
    ] * 2


def test_oct_keys_are_read_where_they_may_be() -> None:
    """By id, several under one id, padded; a public key beside them is left out, and no set has both (RFC 8725 section 3.1)."""
    members = [oct_key(1, kid="a"), oct_key(2, kid="b", alg="HS384"), oct_key(3, kid="b"), rsa(0, kid="r")]
    keys = ring(*members, symmetric=True, algorithms=["HS256", "HS384"], allow_padding=True)
    assert [key.kid for key in keys] == ["a", "b", "b"] and [
        note for note in keys.warnings if "key 3 was left out" in note
    ]
    for number, kid, algorithm, expected in (
        (1, "a", "HS256", "NONE"), (1, "b", "HS256", "BAD_SIGNATURE"), (2, "b", "HS256", "BAD_SIGNATURE"),
        (3, "b", "HS256", "NONE"), (2, "b", "HS384", "NONE"), (3, "b", "HS384", "NONE"), (1, "a", "HS512", "ALGORITHM_REFUSED"),
    ):  # fmt: skip
        assert judge(keys, token(algorithm=algorithm, key=secret(number), kid=kid)) == expected
    for bad in ({"k": "AAAA"}, {"k": None}, {"k": 5}, {"alg": "RS256"}, {"use": "enc"}, {"key_ops": ["sign"]}):
        with pytest.raises(KeyFormatError):
            ring(oct_key(1, **bad), symmetric=True, algorithms=["HS256"])
    with pytest.raises(KeyFormatError):
        ring(oct_key(1), symmetric=True)
    with pytest.raises(KeyFormatError, match="only from a jwks_file"):
        ring(*members[:3], algorithms=["HS256", "HS384"])


def test_a2_the_text_of_a_public_key_is_no_oct_key() -> None:
    """What everybody has must not become the secret that nobody has."""
    text = base64.urlsafe_b64encode(certificate().public_bytes(Encoding.PEM)).decode().rstrip("=")
    with pytest.raises(KeyFormatError, match="cannot be used as a secret"):
        ring({"kty": "oct", "k": text}, symmetric=True, algorithms=["HS256"])
    assert sign("HS256", b"x", secret(1))
