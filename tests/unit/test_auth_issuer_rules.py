"""Rules of an issuer beyond the registered claims: members of the JOSE header, patterns of subjects, and the time that a token has left."""

from typing import Any

import pytest

from lbjwt.auth.policy import IssuerPolicy
from lbjwt.errors import ConfigurationError
from tests.unit.auth_tokens import ISSUER, NOW, claims, judged, token, verifier

SIGNER = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/main/50dc6c495c0c9188"


@pytest.mark.parametrize(
    ("required", "header", "reason"),
    [
        ({"signer": (SIGNER,)}, {"signer": SIGNER}, "NONE"),
        ({"signer": (SIGNER,)}, {}, "HEADER_REFUSED"),
        ({"signer": (SIGNER,)}, {"signer": SIGNER + "x"}, "HEADER_REFUSED"),
        ({"signer": (SIGNER,)}, {"signer": SIGNER.upper()}, "HEADER_REFUSED"),
        ({"signer": (SIGNER,)}, {"signer": [SIGNER]}, "HEADER_REFUSED"),
        ({"signer": (SIGNER,)}, {"signer": None}, "HEADER_REFUSED"),
        ({"signer": ("other", SIGNER)}, {"signer": SIGNER}, "NONE"),
        ({"signer": (SIGNER,), "client": ("web",)}, {"signer": SIGNER}, "HEADER_REFUSED"),
        ({"signer": (SIGNER,), "client": ("web",)}, {"signer": SIGNER, "client": "web"}, "NONE"),
        ({"v": (1,)}, {"v": 1}, "NONE"),
        ({"v": (1,)}, {"v": True}, "HEADER_REFUSED"),
        ({"v": (1,)}, {"v": 1.0}, "HEADER_REFUSED"),
        ({"v": (1,)}, {"v": "1"}, "HEADER_REFUSED"),
        ({"v": (True,)}, {"v": True}, "NONE"),
        ({"v": (True,)}, {"v": 1}, "HEADER_REFUSED"),
    ],
)
def test_members_of_the_header_must_be_as_required(required: dict[str, Any], header: dict[str, Any], reason: str):
    """Any member, equal in type and as a whole; a known header is not judged anew, and is still right."""
    one = verifier(required_headers=required)
    text = token(header={"alg": "HS256", "kid": "k1", **header})
    assert judged(one.verify(text, NOW)) == reason
    assert judged(one.verify(text, NOW)) == reason


def test_a_header_that_is_refused_is_refused_before_its_key_is_looked_for():
    """So a token of another signer with a made-up key id starts no fetch of keys."""
    one, header = verifier("ES256", required_headers={"signer": (SIGNER,)}), {"alg": "ES256", "kid": "unknown"}
    assert judged(one.verify(token(algorithm="ES256", header=header), NOW)) == "HEADER_REFUSED"
    assert judged(one.verify(token(algorithm="ES256", header={**header, "signer": SIGNER}), NOW)) == "UNKNOWN_KEY"


@pytest.mark.parametrize(
    "required",
    [{"crit": ("x",)}, {"zip": ("DEF",)}, {"": ("x",)}, {"a": ()}, {"a": ("",)}, {f"m{n}": (1,) for n in range(17)}],
)
def test_a_member_that_could_never_be_there_is_a_mistake(required: dict[str, Any]):
    """It would refuse every token."""
    with pytest.raises(ConfigurationError):
        IssuerPolicy(issuer=ISSUER, audiences=("api",), required_headers=required)


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        ("alice", "NONE"),
        ("alicex", "SUBJECT_REFUSED"),
        ("spiffe://prod.example/ns/shop", "NONE"),
        ("spiffe://prod.example.evil/ns", "SUBJECT_REFUSED"),
        ("SPIFFE://prod.example/ns", "SUBJECT_REFUSED"),
        ("x-spiffe://prod.example/", "SUBJECT_REFUSED"),
        ("abc@clients", "NONE"),
        ("abc@clients2", "SUBJECT_REFUSED"),
        ("", "SUBJECT_REFUSED"),
        (None, "MISSING_CLAIM"),
    ],
)
def test_subjects_match_whole_or_by_prefix_or_suffix(subject: str | None, reason: str):
    """Envoy's `subjects`: exact, prefix and suffix. One that matches is enough, and case matters."""
    one = verifier(
        subjects=("alice",), subject_prefixes=("spiffe://prod.example/", "x:"), subject_suffixes=("@clients",)
    )
    assert judged(one.verify(token(claims(sub=subject)), NOW)) == reason


def test_prefixes_alone_name_subjects_too():
    """Without `subjects`, a subject that has no prefix is refused, not accepted."""
    for rules in ({"subject_prefixes": ("a",)}, {"subject_suffixes": ("a",)}):
        one = verifier(**rules)
        assert judged(one.verify(token(claims(sub="a")), NOW)) == "NONE"
        assert judged(one.verify(token(claims(sub="b")), NOW)) == "SUBJECT_REFUSED"
    for rules in ({"subject_prefixes": ("",)}, {"subject_suffixes": ("",)}, {"subject_prefixes": ("a",) * 101}):
        with pytest.raises(ConfigurationError):
            verifier(**rules)


def test_max_remaining_is_the_time_that_is_left():
    """Envoy's `max_lifetime`: `exp - now`. The clock skew is added, and a token that was refused passes when less is left."""
    one = verifier(max_remaining=600.0)
    text = token(claims(exp=int(NOW) + 1000, iat=int(NOW) - 86_000))
    assert judged(one.verify(text, NOW)) == "LIFETIME_TOO_LONG"
    assert judged(one.verify(text, NOW + 339)) == "LIFETIME_TOO_LONG"
    assert judged(one.verify(text, NOW + 340)) == "NONE"
    assert judged(one.verify(text, NOW + 339)) == "LIFETIME_TOO_LONG"  # known, and the clock was set back
    assert judged(one.verify(text, NOW + 1060)) == "EXPIRED"
    assert (
        judged(verifier(max_remaining=600.0, require_expiration=False).verify(token(claims(exp=None)), NOW))
        == "MISSING_CLAIM"
    )
    with pytest.raises(ConfigurationError):
        verifier(max_remaining=0.0)


def test_max_lifetime_and_max_remaining_are_two_limits():
    """The whole life of a token, and what is left of it."""
    both = verifier(max_remaining=600.0, max_lifetime=3600.0)
    assert judged(both.verify(token(claims(exp=int(NOW) + 500, iat=int(NOW) - 3000)), NOW)) == "NONE"
    assert judged(both.verify(token(claims(exp=int(NOW) + 500, iat=int(NOW) - 3200)), NOW)) == "LIFETIME_TOO_LONG"
    assert judged(both.verify(token(claims(exp=int(NOW) + 700, iat=int(NOW) - 10)), NOW)) == "LIFETIME_TOO_LONG"
