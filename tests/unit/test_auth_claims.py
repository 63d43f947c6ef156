"""Claim rules: THREATS C1 to C9 and C11."""

from typing import Any

import pytest

from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.verifier import Verifier
from lbjwt.errors import ConfigurationError
from tests.unit.auth_tokens import ISSUER, NOW, claims, reason, token

T = int(NOW)


def test_c1_exp_is_required_unless_switched_off():
    """A token without exp is refused, null included, and accepted for ever when the policy says so."""
    text = token(claims(exp=None))
    assert reason(text) == "MISSING_CLAIM"
    assert reason(text, require_expiration=False) == "NONE"
    assert reason(text, require_expiration=False, now=4e9) == "NONE"
    assert (
        reason(token(b'{"iss":"https://issuer.example","aud":"api","exp":null}'), require_expiration=False)
        == "INVALID_CLAIM"
    )


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("null", "INVALID_CLAIM"),
        ("true", "INVALID_CLAIM"),
        ("false", "INVALID_CLAIM"),
        ('"1800000600"', "INVALID_CLAIM"),
        ('""', "INVALID_CLAIM"),
        ("[1800000600]", "INVALID_CLAIM"),
        ("{}", "INVALID_CLAIM"),
        ("-1", "INVALID_CLAIM"),
        ("-0.5", "INVALID_CLAIM"),
        ("9007199254740994", "INVALID_CLAIM"),
        ("1e300", "INVALID_CLAIM"),
        ("123456789012345678901234567890", "INVALID_CLAIM"),
        ("NaN", "MALFORMED"),
        ("Infinity", "MALFORMED"),
        ("1e999", "MALFORMED"),
    ],
)
def test_c2_times_are_finite_numbers_from_0_to_2_53(claim: str, value: str, expected: str):
    """Nothing is converted, nothing wraps, nothing compares false by being NaN."""
    rest = "" if claim == "exp" else ',"exp":1800000600'
    text = token(f'{{"iss":"{ISSUER}","aud":"api"{rest},"{claim}":{value}}}'.encode())
    assert reason(text) == expected


def test_c2_the_ends_of_the_range_are_times():
    """0, 2^53 and fractions are numbers like others."""
    assert reason(token(claims(exp=2**53))) == "NONE"
    assert reason(token(claims(exp=0))) == "EXPIRED"
    assert reason(token(claims(nbf=0, iat=0))) == "NONE"
    assert reason(token(claims(exp=NOW + 0.5)), clock_skew=0) == "NONE"
    assert reason(token(claims(exp=NOW + 0.5)), clock_skew=0, now=NOW + 0.5) == "EXPIRED"


@pytest.mark.parametrize("skew", [0, 60, 300])
@pytest.mark.parametrize("offset", [-1, -0.001, 0, 0.001, 1])
def test_c3_boundaries_are_exact(skew: int, offset: float):
    """Valid iff nbf <= now + skew, iat <= now + skew and now < exp + skew."""
    times: dict[str, Any] = {"exp": None, "nbf": None, "iat": None}
    assert reason(token(claims(**times | {"exp": T})), now=T + skew + offset, clock_skew=skew) == (
        "NONE" if offset < 0 else "EXPIRED"
    )
    options: dict[str, Any] = {"clock_skew": skew, "require_expiration": False, "now": T - skew + offset}
    assert reason(token(claims(**times | {"nbf": T})), **options) == ("NONE" if offset >= 0 else "NOT_YET_VALID")
    assert reason(token(claims(**times | {"iat": T})), **options) == ("NONE" if offset >= 0 else "ISSUED_IN_FUTURE")


def test_c3_a_time_that_is_no_number_refuses():
    """A broken clock lets nobody in, cached or not."""
    assert reason(token(), now=float("nan")) == "EXPIRED"
    one = Verifier.from_secret(bytes(range(64)), algorithms=["HS256"], issuer=ISSUER, audiences=["api"])
    text = token()
    assert one.verify(text, NOW)
    assert not one.verify(text, float("nan"))


@pytest.mark.parametrize("skew", [-1, 300.001, 301, float("inf"), float("nan")])
def test_c4_leeway_is_at_most_300_seconds(skew: float):
    """More cannot be configured."""
    with pytest.raises(ConfigurationError):
        IssuerPolicy(issuer=None, audiences=None, clock_skew=skew)


def test_c5_lifetime_is_bounded_when_asked():
    """exp - iat over the limit is refused, both claims are needed, and iat in the future is refused anyway."""
    day = 86_400
    assert reason(token(claims(iat=T, exp=T + day)), max_lifetime=day) == "NONE"
    assert reason(token(claims(iat=T, exp=T + day + 1)), max_lifetime=day) == "LIFETIME_TOO_LONG"
    assert reason(token(claims(iat=T, exp=T + 3650 * day)), max_lifetime=day) == "LIFETIME_TOO_LONG"
    assert reason(token(claims(iat=None)), max_lifetime=day) == "MISSING_CLAIM"
    assert reason(token(claims(exp=None)), max_lifetime=day, require_expiration=False) == "MISSING_CLAIM"
    assert reason(token(claims(iat=T + 61))) == "ISSUED_IN_FUTURE"


@pytest.mark.parametrize(
    "issuer",
    [
        ISSUER[:-1],
        ISSUER + "/",
        ISSUER.upper(),
        ISSUER + " ",
        "",
        "https://issuer.example.evil",
        ISSUER.replace("i", "\u0456", 1),
    ],
)
def test_c7_issuer_is_compared_whole(issuer: str):
    """No prefix, no case folding, no slash to spare."""
    assert reason(token(claims(iss=issuer))) == "WRONG_ISSUER"


def test_c7_issuer_types():
    """Missing is missing, another type is invalid, any_issuer takes any text and none, but no other type."""
    assert reason(token(claims(iss=None))) == "MISSING_CLAIM"
    for wrong in (5, [ISSUER], {"a": 1}, True):
        assert reason(token(claims(iss=wrong))) == "INVALID_CLAIM"
        assert reason(token(claims(iss=wrong)), any_issuer=True) == "INVALID_CLAIM"
    assert reason(token(claims(iss=None)), any_issuer=True) == "NONE"
    assert reason(token(claims(iss="x")), any_issuer=True) == "NONE"


def test_c8_a_bad_token_is_never_taken_for_none():
    """Unknown issuer, bad signature and garbage are refused as themselves, not as a missing token."""
    for text, expected in (
        (token(claims(iss="x")), "WRONG_ISSUER"),
        (token(key=b"x" * 32), "BAD_SIGNATURE"),
        (b"garbage", "MALFORMED"),
    ):
        assert reason(text) == expected


@pytest.mark.parametrize(
    ("audience", "expected"),
    [
        ("api", "NONE"),
        (["api"], "NONE"),
        (["x", "api"], "NONE"),
        ("web", "NONE"),
        ([], "WRONG_AUDIENCE"),
        ("", "WRONG_AUDIENCE"),
        ("ap", "WRONG_AUDIENCE"),
        ("apix", "WRONG_AUDIENCE"),
        ("API", "WRONG_AUDIENCE"),
        ("api web", "WRONG_AUDIENCE"),
        (["x"], "WRONG_AUDIENCE"),
        ([["api"]], "INVALID_CLAIM"),
        ([1], "INVALID_CLAIM"),
        (["api", 1], "INVALID_CLAIM"),
        (1, "INVALID_CLAIM"),
        (True, "INVALID_CLAIM"),
        ({"api": 1}, "INVALID_CLAIM"),
        (None, "MISSING_CLAIM"),
    ],
)
def test_c9_audience_is_membership(audience: Any, expected: str):
    """A string or a list of strings, whole members compared; types count even when any audience will do."""
    assert reason(token(claims(aud=audience)), audiences=["api", "web"]) == expected
    assert reason(token(claims(aud=audience)), any_audience=True) == (
        "INVALID_CLAIM" if expected == "INVALID_CLAIM" else "NONE"
    )
    assert reason(token(b'{"iss":"https://issuer.example","exp":1800000600,"aud":null}')) == "INVALID_CLAIM"


@pytest.mark.parametrize(
    ("granted", "expected"),
    [
        ({"scope": "read write"}, "NONE"),
        ({"scope": "write x read"}, "NONE"),
        ({"scp": ["read", "write"]}, "NONE"),
        ({"scp": "read write"}, "NONE"),
        ({"scope": ["write", "read"]}, "NONE"),
        ({}, "INSUFFICIENT_SCOPE"),
        ({"scope": ""}, "INSUFFICIENT_SCOPE"),
        ({"scope": "read"}, "INSUFFICIENT_SCOPE"),
        ({"scope": "read:all write:all"}, "INSUFFICIENT_SCOPE"),
        ({"scope": "nonread rewrite"}, "INSUFFICIENT_SCOPE"),
        ({"scope": "read,write"}, "INSUFFICIENT_SCOPE"),
        ({"scope": "read\twrite"}, "INSUFFICIENT_SCOPE"),
        ({"scope": "READ WRITE"}, "INSUFFICIENT_SCOPE"),
        ({"scope": "read", "scp": ["write"]}, "INSUFFICIENT_SCOPE"),
        ({"scp": ["read write"]}, "INSUFFICIENT_SCOPE"),
        ({"scope": 5}, "INVALID_CLAIM"),
        ({"scope": {"read": 1, "write": 1}}, "INVALID_CLAIM"),
        ({"scp": ["read", "write", 1]}, "INVALID_CLAIM"),
    ],
)
def test_c11_scopes_are_a_set(granted: dict[str, Any], expected: str):
    """Split on single spaces, compared whole, all of the required ones."""
    assert reason(token(claims(**granted)), required_scopes=("read", "write")) == expected


def test_required_claims_are_there_and_not_null():
    """An empty or false value is a value."""
    for value in ("", 0, False, [], {}):
        assert reason(token(claims(tenant=value)), required_claims=("tenant",)) == "NONE"
    assert reason(token(), required_claims=("tenant",)) == "MISSING_CLAIM"
    assert (
        reason(
            token(b'{"iss":"https://issuer.example","aud":"api","exp":1800000600,"tenant":null}'),
            required_claims=("tenant",),
        )
        == "MISSING_CLAIM"
    )
    assert reason(token(claims(sub=None)), required_claims=("sub",)) == "MISSING_CLAIM"


@pytest.mark.parametrize("claim", ["sub", "jti"])
def test_registered_text_claims_are_text(claim: str):
    """RFC 7519 sections 4.1.2 and 4.1.7."""
    for value in (5, ["a"], {"a": 1}, False):
        assert reason(token(claims(**{claim: value}))) == "INVALID_CLAIM"


@pytest.mark.parametrize("payload", [b"[]", b'"x"', b"5", b"null", b"", b"{", b"x"])
def test_a_payload_that_is_no_object_is_malformed(payload: bytes):
    """Claims are one JSON object (RFC 7519 section 7.2)."""
    assert reason(token(payload)) == "MALFORMED"


@pytest.mark.parametrize(
    "options",
    [
        {"issuer": ""},
        {"audiences": ()},
        {"audiences": ("",)},
        {"algorithms": ()},
        {"algorithms": ("none",)},
        {"max_lifetime": 0},
        {"max_lifetime": -5},
        {"max_lifetime": float("nan")},
        {"typ": ""},
        {"required_scopes": ("a b",)},
        {"required_scopes": ('a"',)},
        {"required_scopes": ("a\n",)},
        {"max_token": 0},
        {"max_token": 1 << 20},
    ],
)
def test_impossible_policies_cannot_be_made(options: dict[str, Any]):
    """A policy that exists is one that can be enforced."""
    with pytest.raises(ConfigurationError):
        IssuerPolicy(**({"issuer": "x", "audiences": ("y",)} | options))
