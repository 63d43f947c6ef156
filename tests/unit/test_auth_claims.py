"""An issuer's rules on claims: THREATS C1 to C9, C11, C16 to C18."""

from typing import Any

import pytest

from lbjwt._fastverify import DenyReason, Gate, Verification
from lbjwt._grants import GrantCache
from lbjwt.auth._claims import PolicyRules
from lbjwt.auth.header import HeaderRules
from lbjwt.auth.policy import PROFILE_CLAIMS, IssuerPolicy
from lbjwt.auth.verifier import Verifier
from lbjwt.errors import ConfigurationError
from tests.unit.auth_tokens import ISSUER, NOW, claims, judged, reason, token, verifier

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


def test_c5_age_is_bounded_when_asked():
    """A token is young for max_age seconds after the login, or after its issue when it tells of no login, whatever its exp."""
    hour = 3600
    text = token(claims(iat=T - hour + 1))
    assert reason(text, max_age=hour, clock_skew=0) == "NONE"
    assert reason(text, max_age=hour, clock_skew=0, now=NOW + 1) == "TOO_OLD"
    assert reason(text, max_age=hour, clock_skew=60, now=NOW + 60.5) == "NONE"
    assert reason(text, max_age=hour, clock_skew=60, now=NOW + 61) == "TOO_OLD"
    assert reason(token(claims(iat=T, auth_time=T - hour)), max_age=hour, clock_skew=0) == "TOO_OLD", "the login counts"
    assert reason(token(claims(iat=T - 2 * hour, auth_time=T)), max_age=hour) == "NONE"
    assert reason(token(claims(iat=None)), max_age=hour) == "MISSING_CLAIM"
    assert reason(token(claims(iat=None, auth_time=T)), max_age=hour) == "NONE"
    assert reason(token(claims(auth_time=T + 61)), max_age=hour) == "ISSUED_IN_FUTURE", "or it would be young for long"
    for wrong in ("5", True, -1, [T], 2**53 + 2):
        assert reason(token(claims(auth_time=wrong)), max_age=hour) == "INVALID_CLAIM"
        assert reason(token(claims(auth_time=wrong))) == "NONE", "nobody asked"


def test_c6_a_remembered_token_grows_old_in_time():
    """A cached token is TOO_OLD at the same second as a new one, and a clock that jumps back finds the grant's beginning."""
    one = verifier(max_age=100, clock_skew=10)
    text = token(claims(iat=T, exp=T + 5000))
    for now, expected in (
        (T, "NONE"),
        (T + 109.9, "NONE"),
        (T + 110, "TOO_OLD"),
        (T + 50, "NONE"),
        (T - 10, "NONE"),
        (T - 10.5, "ISSUED_IN_FUTURE"),
        (T + 3600, "TOO_OLD"),
    ):
        assert judged(one.verify(text, now)) == expected
    grant = one.verify(text, NOW).grant
    assert grant is not None
    assert (grant.valid_from, grant.valid_until) == (T - 10, T + 110)
    short = verifier(max_age=100, clock_skew=0).verify(token(claims(iat=T, exp=T + 50)), NOW).grant
    assert short is not None
    assert short.valid_until == T + 50, "whichever ends first"


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


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("a", "NONE"),
        ("b", "NONE"),
        ("", "SUBJECT_REFUSED"),
        ("A", "SUBJECT_REFUSED"),
        ("a ", "SUBJECT_REFUSED"),
        ("ab", "SUBJECT_REFUSED"),
        (None, "MISSING_CLAIM"),
        (["a"], "INVALID_CLAIM"),
    ],
)
def test_subjects_can_be_named(subject: Any, expected: str):
    """One of the list, whole, or refused."""
    assert reason(token(claims(sub=subject)), subjects=("a", "b")) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"azp": "app"}, "NONE"),
        ({"client_id": "app"}, "NONE"),
        ({"azp": "app", "client_id": "app"}, "NONE"),
        ({"azp": "app", "client_id": "cli"}, "NONE"),
        ({"azp": "evil"}, "CLIENT_REFUSED"),
        ({"client_id": "evil"}, "CLIENT_REFUSED"),
        ({"azp": "app", "client_id": "evil"}, "CLIENT_REFUSED"),
        ({"azp": "evil", "client_id": "app"}, "CLIENT_REFUSED"),
        ({"azp": ""}, "CLIENT_REFUSED"),
        ({"azp": "APP"}, "CLIENT_REFUSED"),
        ({"sub": "app"}, "MISSING_CLAIM"),
        ({"azp": ["app"]}, "INVALID_CLAIM"),
        ({"azp": "app", "client_id": 5}, "INVALID_CLAIM"),
    ],
)
def test_clients_can_be_named(given: dict[str, Any], expected: str):
    """azp and client_id, each that is there: no token is let in by the one that its other name would keep out."""
    assert reason(token(claims(**given)), clients=("app", "cli")) == expected


def test_a25_the_access_token_profile_asks_for_all_its_claims():
    """RFC 9068 section 2.2: each is required, exp too where it is switched off, and client_id is text."""
    header = {"alg": "HS256", "typ": "at+jwt"}
    whole = claims(client_id="app", jti="1")
    options: dict[str, Any] = {"access_token_profile": True, "require_expiration": False}
    assert reason(token(whole, header=header), **options) == "NONE"
    for name in PROFILE_CLAIMS:
        assert reason(token(whole | {name: "x"} if name == "client_id" else whole, header=header), **options) == "NONE"
        rest = {claim: value for claim, value in whole.items() if claim != name}
        assert reason(token(rest, header=header), **options) == "MISSING_CLAIM"
        assert reason(token(rest, header=header), any_issuer=True, any_audience=True, **options) == "MISSING_CLAIM"
    assert reason(token(whole | {"client_id": 5}, header=header), **options) == "INVALID_CLAIM"


@pytest.mark.parametrize("cnf", [{"jkt": "x"}, {"x5t#S256": "x"}, {"jwk": {}}, {}, "x", None])
def test_c18_a_token_bound_to_a_key_can_be_refused(cnf: Any):
    """Whoever shows it shows no proof here; what cnf holds does not matter, and without the switch it passes as before."""
    text = token(claims() | {"cnf": cnf})
    assert reason(text, refuse_sender_constrained=True) == "WRONG_TYPE"
    assert reason(text) == "NONE"
    assert reason(token(), refuse_sender_constrained=True) == "NONE"


def test_c17_claims_are_read_only_when_the_token_is_good():
    """What makes header lines of claims sees none of a forged token, an expired one, or one of another audience."""
    seen = []
    one = verifier()
    assert one.keys is not None
    gate = Gate(
        GrantCache(),
        verifications=[
            Verification(
                HeaderRules(one.keys, one.policy),
                rules=PolicyRules(one.policy),
                identity=lambda claims: seen.append(claims) or b"",
            )
        ],
    )
    for text in (token(key=b"x" * 32), token(claims(exp=5)), token(claims(aud="web")), b"e30.e30.AAAA"):
        grant, why = gate.verify(text, NOW)
        assert grant is None
        assert why is not DenyReason.NONE
    assert seen == []
    assert gate.verify(token(), NOW)[1] is DenyReason.NONE
    assert len(seen) == 1


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
        {"max_age": 0},
        {"max_age": -1},
        {"max_age": float("nan")},
        {"max_age": float("inf")},
        {"typ": ""},
        {"typ": "JWT", "access_token_profile": True},
        {"subjects": ()},
        {"subjects": ("",)},
        {"clients": ()},
        {"clients": ("app", "")},
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
