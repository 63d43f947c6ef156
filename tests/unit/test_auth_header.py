"""The rules on a header as they are told, held against what they decide."""

import itertools
from typing import Any

import pytest

from lbjwt._fastverify import DenyReason, SignatureCheck
from lbjwt.auth.header import HeaderRules, compile_header_rules, key_shown
from lbjwt.auth.outcome import Outcome
from lbjwt.auth.policy import IssuerPolicy
from lbjwt.jose.keyring import KeyRing
from tests.unit.auth_tokens import jwk_of, private_key, rsa_key

RING = KeyRing.from_jwks(
    {"keys": [jwk_of(private_key("ES256"), kid="k1"), jwk_of(rsa_key(), kid="r1"), jwk_of(private_key("EdDSA"))]}
)
POLICIES: list[dict[str, Any]] = [
    {},
    {"algorithms": ("ES256", "EdDSA")},
    {"typ": "at+jwt"},
    {"access_token_profile": True},
]
MEMBERS: dict[str, list[Any]] = {
    "alg": ["ES256", "RS256", "EdDSA", "HS256", None, 5],
    "kid": ["k1", "r1", "none", "", "x" * 257, 7, ...],
    "typ": ["JWT", "application/at+JWT", "dpop+jwt", 5, ...],
    "cty": ["JWT", "json", [], ...],
    "crit": [[], ...],
}


def rules(**policy: Any) -> HeaderRules:
    return compile_header_rules(RING, IssuerPolicy(issuer="i", audiences=None, **policy))


def reason_of(outcomes: list[Outcome]) -> DenyReason:
    """Of the first that refuses."""
    for outcome in outcomes:
        if outcome.outcome == "refused":
            return DenyReason[outcome.detail.partition(":")[0].upper().replace(" ", "_")]
    return DenyReason.NONE


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_the_first_rule_that_is_told_to_refuse_is_the_reason(policy: dict[str, Any]):
    """For every combination of members; and what is allowed ends with its key."""
    judged = rules(**policy)
    reasons = set()
    for values in itertools.product(*MEMBERS.values()):
        header = {name: value for name, value in zip(MEMBERS, values, strict=True) if value is not ...}
        verdict = judged(header)
        outcomes = judged.explain(header)
        assert len(outcomes) == 7
        if isinstance(verdict, SignatureCheck):
            assert {outcome.outcome for outcome in outcomes} == {"met"}
            assert outcomes[-1].detail == f"{key_shown(verdict.key)} with {header['alg']}"
        else:
            assert reason_of(outcomes) == verdict, header
            reasons.add(verdict)
    assert reasons == {
        *(DenyReason.MALFORMED, DenyReason.WRONG_TYPE, DenyReason.ALGORITHM_REFUSED, DenyReason.UNKNOWN_KEY),
    }


def test_the_rules_in_words():
    """What is asked is the configuration, what was found is the header."""
    said = rules(algorithms=("RS256", "ES256"), typ="at+jwt").explain(
        {"alg": "RS256", "kid": "k1", "typ": "JWT", "zip": "DEF"}
    )
    assert said == [
        Outcome("without b64, crit, enc, zip", "refused", "malformed: zip is there"),
        Outcome("typ, cty, kid are text", "met", 'typ is "JWT", kid is "k1"'),
        Outcome("no token inside the token", "met", "cty is missing"),
        Outcome("type: at+jwt", "refused", 'wrong type: typ is "JWT"'),
        Outcome("algorithm: one of ES256, RS256", "met", 'alg is "RS256"'),
        Outcome("a key id of 1 to 256 printable characters, or none", "met", 'kid is "k1"'),
        Outcome(
            "a key of the issuer for it",
            "refused",
            'algorithm refused: "k1" (EC P-256, 256 bits) is for ES256, not for "RS256"',
        ),
    ]


def test_what_cannot_be_read_is_not_judged():
    """Rules on text have nothing to say of what is none."""
    said = rules().explain({"alg": "ES256", "kid": 5})
    assert [outcome.outcome for outcome in said] == ["met", "refused", *["unknown"] * 5]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"alg": "ES512"}, 'the token names no key, and no key is for "ES512"; there are "k1" (EC P-256, 256 bits), "r1" (RSA, 2048 bits), one'),
        ({"alg": "ES256", "kid": "x"}, 'algorithm refused: no key has the id "x"; there are "k1"'),
    ],
)  # fmt: skip
def test_why_no_single_key_is_meant(header: dict[str, Any], words: str):
    """The keys there are, by their labels."""
    assert words in rules().explain(header)[-1].detail


def test_several_keys_and_many_keys():
    """All that are tried for a token that names none; and no list without end."""
    policy = IssuerPolicy(issuer="i", audiences=None)
    twice = KeyRing.from_jwks({"keys": [jwk_of(rsa_key(number)) for number in range(2)]})
    assert HeaderRules(twice, policy).explain({"alg": "RS256", "kid": ""})[-1].detail == (
        "2 keys, tried in turn with RS256: one without id (RSA, 2048 bits), one without id (RSA, 2048 bits)"
    )
    many = KeyRing.from_jwks({"keys": [jwk_of(private_key("ES256"), kid=f"k{number}") for number in range(12)]})
    detail = HeaderRules(many, policy).explain({"alg": "ES256", "kid": "x"})[-1].detail
    assert detail.endswith('"k9" (EC P-256, 256 bits), …')
