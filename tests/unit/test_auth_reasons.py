"""Tables of verdicts: every reason a policy can give, and the edges of every time to the second."""

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt._fastverify import DenyReason
from lbjwt.auth.refusals import compile_refusals
from tests.unit.auth_tokens import NOW, claims, judged, reason, token, verifier

T = int(NOW)
FAR = 10**6  # seconds; out of the way of every edge


class Edge(NamedTuple):
    """A token whose verdict changes from one second to the next: `before` up to `at`, `after` from `at` on."""

    times: dict[str, int]
    policy: dict[str, Any]
    at: int
    before: str
    after: str


def edges() -> list[Edge]:
    """Every time of a token with every clock skew, alone and where two of them meet. The arithmetic is spelled out."""
    found = []
    for skew in (0, 1, 30, 60, 300):
        policy = {"clock_skew": skew, "require_expiration": False}
        found += [
            Edge({"exp": T}, policy, T + skew, "NONE", "EXPIRED"),
            Edge({"nbf": T}, policy, T - skew, "NOT_YET_VALID", "NONE"),
            Edge({"iat": T}, policy, T - skew, "ISSUED_IN_FUTURE", "NONE"),
            Edge({"nbf": T, "iat": T}, policy, T - skew, "NOT_YET_VALID", "NONE"),
            Edge({"nbf": T - 5, "iat": T}, policy, T - skew, "ISSUED_IN_FUTURE", "NONE"),
            Edge({"nbf": T, "iat": T - 5}, policy, T - skew, "NOT_YET_VALID", "NONE"),
            Edge({"nbf": T - FAR, "iat": T - FAR, "exp": T}, policy, T + skew, "NONE", "EXPIRED"),
            Edge({"nbf": T, "exp": T + FAR}, policy, T - skew, "NOT_YET_VALID", "NONE"),
        ]
        for age in (2, 60, 3600):
            young = policy | {"max_age": age}
            found += [
                Edge({"iat": T}, young, T + age + skew, "NONE", "TOO_OLD"),
                Edge({"auth_time": T}, young, T + age + skew, "NONE", "TOO_OLD"),
                Edge({"auth_time": T, "iat": T + age - 1}, young, T + age + skew, "NONE", "TOO_OLD"),
                Edge({"iat": T, "exp": T + FAR}, young, T + age + skew, "NONE", "TOO_OLD"),
                Edge({"iat": T, "exp": T + age - 1}, young, T + age - 1 + skew, "NONE", "EXPIRED"),
                Edge({"iat": T - 10, "auth_time": T}, young, T - skew, "ISSUED_IN_FUTURE", "NONE"),
            ]
    return found


EDGES = edges()
CASES = [(edge, offset, edge.before if offset < 0 else edge.after) for edge in EDGES for offset in (-1, 0, 1)]


def test_t6_has_its_200_cases():
    """And every case has a token, a policy and a second of its own."""
    assert len(CASES) >= 200
    assert len({str((edge.times, edge.policy, edge.at + offset)) for edge, offset, _ in CASES}) == len(CASES)


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: f"{'-'.join(edge.times)}-{edge.policy['clock_skew']}")
def test_t6_time_edges_are_exact(edge: Edge):
    """One second before, on, and one second after each edge, for a new token and for one that is remembered from the good side."""
    text = token(claims(**({"iat": None, "exp": None} | edge.times)))
    good = edge.at - 1 if edge.before == "NONE" else edge.at
    for offset in (-1, 0, 1):
        expected = edge.before if offset < 0 else edge.after
        assert reason(text, now=edge.at + offset, **edge.policy) == expected
        one = verifier(**edge.policy)
        assert judged(one.verify(text, good)) == "NONE"
        assert judged(one.verify(text, edge.at + offset)) == expected


@pytest.mark.parametrize("skew", [0, 60, 300])
@pytest.mark.parametrize("lifetime", [2, 600, 86_400])
def test_t6_the_lifetime_is_exact(skew: int, lifetime: int):
    """exp - iat may be the limit and not a second more; the clock skew has no part in it."""
    for extra, expected in ((-1, "NONE"), (0, "NONE"), (1, "LIFETIME_TOO_LONG")):
        text = token(claims(iat=T - lifetime // 2, exp=T - lifetime // 2 + lifetime + extra))
        assert reason(text, now=T - lifetime // 2, max_lifetime=lifetime, clock_skew=skew) == expected


TIME = st.one_of(st.none(), st.integers(T - 700, T + 700))


@given(
    times=st.fixed_dictionaries({"exp": TIME, "nbf": TIME, "iat": TIME, "auth_time": TIME}),
    skew=st.integers(0, 300),
    age=st.one_of(st.none(), st.integers(1, 900)),
    first=st.integers(T - 1500, T + 1500),
    then=st.integers(T - 1500, T + 1500),
)
def test_t6_a_remembered_token_says_what_a_new_one_says(
    times: dict[str, int | None], skew: int, age: int | None, first: int, then: int
):
    """At any second, whatever second it was first seen at: the bounds of a grant are all the policy says about time."""
    options: dict[str, Any] = {"clock_skew": skew, "max_age": age, "require_expiration": False}
    text = token(claims(**times))
    one = verifier(**options)
    assert judged(one.verify(text, first)) == reason(text, now=first, **options)
    assert judged(one.verify(text, then)) == reason(text, now=then, **options)


AT = {"alg": "HS256", "typ": "at+jwt"}
TABLE: list[tuple[str, int, dict[str, Any], dict[str, Any], dict[str, Any] | None]] = [
    # reason, status, policy, changes of good claims, header
    ("NONE", 0, {}, {}, None),
    ("WRONG_TYPE", 401, {"typ": "at+jwt"}, {}, None),
    ("WRONG_TYPE", 401, {"access_token_profile": True}, {}, None),
    ("WRONG_TYPE", 401, {}, {}, {"alg": "HS256", "typ": "logout+jwt"}),
    ("WRONG_TYPE", 401, {"refuse_sender_constrained": True}, {"cnf": {"jkt": "x"}}, None),
    ("INVALID_CLAIM", 401, {}, {"exp": "1"}, None),
    ("INVALID_CLAIM", 401, {}, {"nbf": True}, None),
    ("INVALID_CLAIM", 401, {}, {"iss": 5}, None),
    ("INVALID_CLAIM", 401, {}, {"sub": ["x"]}, None),
    ("INVALID_CLAIM", 401, {}, {"aud": 5}, None),
    ("INVALID_CLAIM", 401, {"clients": ("x",)}, {"azp": 5}, None),
    ("INVALID_CLAIM", 401, {"max_age": 5}, {"auth_time": "x"}, None),
    ("INVALID_CLAIM", 401, {"required_scopes": ("x",)}, {"scope": 5}, None),
    ("WRONG_ISSUER", 401, {}, {"iss": "x"}, None),
    ("WRONG_AUDIENCE", 401, {}, {"aud": "x"}, None),
    ("EXPIRED", 401, {}, {"exp": T - 60}, None),
    ("NOT_YET_VALID", 401, {}, {"nbf": T + 61}, None),
    ("ISSUED_IN_FUTURE", 401, {}, {"iat": T + 61}, None),
    ("ISSUED_IN_FUTURE", 401, {"max_age": 5}, {"auth_time": T + 61}, None),
    ("LIFETIME_TOO_LONG", 401, {"max_lifetime": 5}, {}, None),
    ("TOO_OLD", 401, {"max_age": 5}, {"iat": T - 65}, None),
    ("TOO_OLD", 401, {"max_age": 5}, {"auth_time": T - 65}, None),
    ("MISSING_CLAIM", 401, {}, {"exp": None}, None),
    ("MISSING_CLAIM", 401, {}, {"iss": None}, None),
    ("MISSING_CLAIM", 401, {}, {"aud": None}, None),
    ("MISSING_CLAIM", 401, {"required_claims": ("x",)}, {}, None),
    ("MISSING_CLAIM", 401, {"max_lifetime": 5}, {"iat": None}, None),
    ("MISSING_CLAIM", 401, {"max_age": 5}, {"iat": None}, None),
    ("MISSING_CLAIM", 401, {"subjects": ("x",)}, {"sub": None}, None),
    ("MISSING_CLAIM", 401, {"clients": ("x",)}, {}, None),
    ("MISSING_CLAIM", 401, {"access_token_profile": True}, {"client_id": "x"}, AT),
    ("SUBJECT_REFUSED", 403, {"subjects": ("x",)}, {}, None),
    ("CLIENT_REFUSED", 403, {"clients": ("x",)}, {"azp": "y"}, None),
    ("CLIENT_REFUSED", 403, {"clients": ("x",)}, {"client_id": "y"}, None),
    ("INSUFFICIENT_SCOPE", 403, {"required_scopes": ("x",)}, {}, None),
    ("INSUFFICIENT_SCOPE", 403, {"required_scopes": ("x",)}, {"scope": "xy"}, None),
]


@pytest.mark.parametrize(("expected", "status", "policy", "changes", "header"), TABLE)
def test_t5_every_reason_of_a_policy(
    expected: str, status: int, policy: dict[str, Any], changes: dict[str, Any], header: dict[str, Any] | None
):
    """Each thing that is not as asked has its reason, and its reason the status that tells the client what to do about it."""
    said = token(claims(**changes), header=header)
    assert reason(said, **policy) == expected
    if status:
        assert compile_refusals()[DenyReason[expected]].status == status
