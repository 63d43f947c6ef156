"""The rules on a header, one by one."""

import itertools
from typing import Any

import pytest

from lbjwt._fastverify import DenyReason, SignatureCheck
from lbjwt.auth.header import HeaderRules
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
    return HeaderRules(RING, IssuerPolicy(issuer="i", audiences=None, **policy))


def told(verdict: object) -> object:
    """The reason, or the key that was found and its algorithm."""
    return (verdict.key, verdict.algorithm) if isinstance(verdict, SignatureCheck) else verdict


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_a_trace_has_every_rule_up_to_the_one_that_refuses(policy: dict[str, Any]):
    """For every combination of members; and what is allowed ends with its key."""
    judged = rules(**policy)
    reasons = set()
    for values in itertools.product(*MEMBERS.values()):
        header = {name: value for name, value in zip(MEMBERS, values, strict=True) if value is not ...}
        trace: list[tuple[str, int, Any]] = []
        verdict = judged(header, trace)
        assert told(verdict) == told(judged(header))
        *before, (step, reason, found) = trace
        assert {one for _, one, _ in before} <= {DenyReason.NONE}
        if isinstance(verdict, SignatureCheck):
            assert (len(trace), step, reason, found) == (8, "header.key", DenyReason.NONE, verdict)
        else:
            assert reason == verdict, header
            reasons.add(verdict)
    assert reasons == {
        *(DenyReason.MALFORMED, DenyReason.WRONG_TYPE, DenyReason.ALGORITHM_REFUSED, DenyReason.UNKNOWN_KEY),
    }
