"""The public Verifier: its doors, its verdicts, its clock."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt._fastverify import DenyReason
from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.verifier import Verifier
from lbjwt.errors import ConfigurationError, TokenRefused
from tests.unit.auth_tokens import ISSUER, NOW, SECRET, claims, judged, jwk_of, public_pem, rsa_key, token, verifier

SHARED = verifier()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"issuer": ISSUER},
        {"audiences": ["api"]},
        {"any_issuer": True},
        {"any_audience": True},
        {"issuer": ISSUER, "any_issuer": True, "any_audience": True},
        {"issuer": ISSUER, "audiences": ["api"], "any_audience": True},
        {"issuer": ISSUER, "audiences": "api"},
        {"issuer": ISSUER, "audiences": []},
    ],
)
def test_leaving_out_a_check_must_be_said(options: dict[str, Any]):
    """Issuer and audience are named or waived, never forgotten and never both."""
    for make in (
        lambda: Verifier.from_secret(SECRET, algorithms=["HS256"], **options),
        lambda: Verifier.from_jwks({"keys": [jwk_of(rsa_key())]}, **options),
        lambda: Verifier.from_pem(public_pem("RS256"), **options),
    ):
        with pytest.raises(ValueError, match=r"issuer|audience"):
            make()


def test_three_doors_one_verdict():
    """JWKS (as bytes, text or object), PEM and secret verify alike."""
    import json

    document = {"keys": [jwk_of(rsa_key())]}
    options: dict[str, Any] = {"issuer": ISSUER, "audiences": ["api"]}
    text = token(algorithm="RS256")
    for one in (
        Verifier.from_jwks(document, **options),
        Verifier.from_jwks(json.dumps(document), **options),
        Verifier.from_jwks(json.dumps(document).encode(), **options),
        Verifier.from_pem(public_pem("RS256"), **options),
    ):
        assert judged(one.verify(text, NOW)) == "NONE"
        assert judged(one.verify(text.decode(), NOW)) == "NONE"
        assert judged(one.verify(token(key=SECRET), NOW)) == "ALGORITHM_REFUSED"


def test_the_verdict_says_it_in_three_ways():
    """As a condition, as a reason, and as an exception on request."""
    good, bad = SHARED.verify(token(), NOW), SHARED.verify("x", NOW)
    assert good
    assert good.allowed
    assert good.claims == claims()
    assert good.raise_if_refused() is good
    assert not bad
    assert bad.claims is None
    with pytest.raises(TokenRefused) as caught:
        bad.raise_if_refused()
    assert caught.value.reason is DenyReason.MALFORMED
    assert "MALFORMED" in str(caught.value)


@given(st.one_of(st.text(max_size=40), st.binary(max_size=40)))
def test_verify_never_raises(text: str | bytes):
    """Any text and any bytes are judged."""
    assert judged(SHARED.verify(text, NOW)) in ("MALFORMED", "MISSING")


@given(st.lists(st.text(alphabet="eyJhbGciOiJIUzI1NiJ9_-=", max_size=30), min_size=3, max_size=3))
def test_things_like_tokens_are_refused_without_a_fault(parts: list[str]):
    """Three parts of the right alphabet are still not a token."""
    assert not SHARED.verify(".".join(parts), NOW).allowed
    assert SHARED.gate.faults == 0


def test_the_clock_is_read_when_no_time_is_given():
    """A token of now passes now."""
    now = int(time.time())
    text = token(claims(exp=now + 30, iat=now))
    assert SHARED.verify(text).allowed
    assert SHARED.authorize(b"Bearer " + text).allowed
    assert judged(SHARED.verify(token(claims(exp=now - 61, iat=None)))) == "EXPIRED"


def test_the_cache_can_be_switched_off():
    """Without a cache every token is verified, and nothing else changes."""
    policy = IssuerPolicy(issuer=ISSUER, audiences=("api",))
    for limits in ({"cache_bytes": 0}, {"cache_entries": 0}):
        one = Verifier(SHARED.keys, policy, **limits)
        assert one.verify(token(), NOW)
        assert one.verify(token(), NOW)
        assert one.gate.cache.hits == 0
        assert len(one.gate.cache) == 0
    with pytest.raises(ConfigurationError):
        Verifier(SHARED.keys, policy, cache_bytes=-1)


def test_d2_two_policies_share_no_verdict():
    """One token, two verifiers with other audiences: each verdict stays with its policy, cached or not."""
    api, web = verifier(), verifier(audiences=["web"])
    text = token()
    for _ in range(50):
        assert judged(api.verify(text, NOW)) == "NONE"
        assert judged(web.verify(text, NOW)) == "WRONG_AUDIENCE"


def test_eddsa_names_are_two_names():
    """RFC 9864: Ed25519 and EdDSA sign alike, and each is accepted only where it is listed."""
    for listed, other in (("EdDSA", "Ed25519"), ("Ed25519", "EdDSA")):
        one = verifier("EdDSA", algorithms=[listed])
        assert judged(one.verify(token(algorithm=listed), NOW)) == "NONE"
        assert judged(one.verify(token(algorithm=other), NOW)) == "ALGORITHM_REFUSED"
    both = verifier("EdDSA")
    assert both.verify(token(algorithm="EdDSA"), NOW)
    assert both.verify(token(algorithm="Ed25519"), NOW)
