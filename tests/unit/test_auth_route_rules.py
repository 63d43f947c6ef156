"""What a route asks of a verified token: THREATS C8 to C11 and C16, and rules that only report."""

from typing import Any

import pytest

from lbjwt._fastverify import DenyReason
from lbjwt.auth._route_rules import RouteRules, route_rules
from lbjwt.auth.route_policy import RoutePolicy, RouteRule
from lbjwt.auth.rules import AllOf, AnyOf, ClaimTest, Not
from lbjwt.errors import ConfigurationError

ADMIN = ClaimTest(("roles",), "contains", "admin")
PAID = ClaimTest(("plan",), "one_of", ("pro", "team"))
GOOD: dict[str, Any] = {"aud": ["api", "web"], "scope": "read write", "roles": ["admin"], "plan": "pro"}


def decided(claims: dict[str, Any], issuer: int = 0, **policy: Any) -> tuple[str, str]:
    """The names of both reasons. At most one is not NONE."""
    policy["rules"] = tuple(
        rule if isinstance(rule, RouteRule) else RouteRule(rule) for rule in policy.get("rules", ())
    )
    reason, reported = RouteRules(RoutePolicy(name="r", **policy)).decide(claims, issuer)
    assert DenyReason.NONE in (reason, reported)
    return reason.name, reported.name


def reason(claims: dict[str, Any], issuer: int = 0, **policy: Any) -> str:
    """The reason to refuse."""
    return decided(claims, issuer, **policy)[0]


@pytest.mark.parametrize(
    ("policy", "claims", "expected"),
    [
        ({}, {}, "NONE"),
        # THREATS C8: an issuer the route does not name gains nothing by any other claim
        ({"issuers": frozenset({0, 2})}, GOOD, "NONE"),
        ({"issuers": frozenset({1})}, GOOD, "WRONG_ISSUER"),
        # THREATS C9: whole members of aud
        ({"audiences": ("web",)}, GOOD, "NONE"),
        ({"audiences": ("x", "web")}, GOOD, "NONE"),
        ({"audiences": ("we",)}, GOOD, "WRONG_AUDIENCE"),
        ({"audiences": ("api web",)}, GOOD, "WRONG_AUDIENCE"),
        ({"audiences": ("api",)}, {"aud": "api"}, "NONE"),
        ({"audiences": ("api",)}, {"aud": "api web"}, "WRONG_AUDIENCE"),
        ({"audiences": ("api",)}, {"aud": []}, "WRONG_AUDIENCE"),
        ({"audiences": ("api",)}, {}, "MISSING_CLAIM"),
        ({"audiences": ("api",)}, {"aud": None}, "INVALID_CLAIM"),
        ({"audiences": ("api",)}, {"aud": ["api", 1]}, "INVALID_CLAIM"),
        ({"audiences": ("api",)}, {"aud": {"api": 1}}, "INVALID_CLAIM"),
        # THREATS C11: scopes are words of a set
        ({"scopes_all": ("read", "write")}, GOOD, "NONE"),
        ({"scopes_all": ("read", "admin")}, GOOD, "INSUFFICIENT_SCOPE"),
        ({"scopes_all": ("read",)}, {"scope": "read:all"}, "INSUFFICIENT_SCOPE"),
        ({"scopes_all": ("admin",)}, {"scope": "nonadmin"}, "INSUFFICIENT_SCOPE"),
        ({"scopes_all": ("read",)}, {"scp": ["read"]}, "NONE"),
        ({"scopes_all": ("read",)}, {"scp": "read"}, "NONE"),
        ({"scopes_all": ("read",)}, {"scope": ["read"]}, "NONE"),
        ({"scopes_all": ("read",)}, {"scope": "x", "scp": ["read"]}, "INSUFFICIENT_SCOPE"),
        ({"scopes_all": ("read",)}, {}, "INSUFFICIENT_SCOPE"),
        ({"scopes_all": ("read",)}, {"scope": {"read": 1}}, "INVALID_CLAIM"),
        ({"scopes_all": ("read",)}, {"scp": ["read", 1]}, "INVALID_CLAIM"),
        ({"scopes_any": ("admin", "write")}, GOOD, "NONE"),
        ({"scopes_any": ("admin", "root")}, GOOD, "INSUFFICIENT_SCOPE"),
        ({"scopes_any": ("a",)}, {"scope": ""}, "INSUFFICIENT_SCOPE"),
        ({"scopes_any": ("a",)}, {"scope": 5}, "INVALID_CLAIM"),
        ({"scopes_all": ("read",), "scopes_any": ("admin", "write")}, GOOD, "NONE"),
        ({"scopes_all": ("read",), "scopes_any": ("admin",)}, GOOD, "INSUFFICIENT_SCOPE"),
        ({"scopes_all": ("admin",), "scopes_any": ("read",)}, GOOD, "INSUFFICIENT_SCOPE"),
        # claim rules: false and unknown alike
        ({"rules": (ADMIN, PAID)}, GOOD, "NONE"),
        ({"rules": (ADMIN,)}, GOOD | {"roles": ["user"]}, "CLAIM_REFUSED"),
        ({"rules": (ADMIN, PAID)}, GOOD | {"plan": "free"}, "CLAIM_REFUSED"),
        ({"rules": (ADMIN,)}, GOOD | {"roles": "admin"}, "CLAIM_REFUSED"),
        ({"rules": (ADMIN,)}, {}, "CLAIM_REFUSED"),
        ({"rules": (Not(ADMIN),)}, {}, "CLAIM_REFUSED"),
        ({"rules": (Not(ADMIN),)}, {"roles": "nobody"}, "CLAIM_REFUSED"),
        ({"rules": (Not(ADMIN),)}, {"roles": ["user"]}, "NONE"),
        # the first that is not met is the reason
        ({"issuers": frozenset({1}), "audiences": ("x",), "scopes_all": ("x",), "rules": (ADMIN,)}, {}, "WRONG_ISSUER"),
        ({"audiences": ("x",), "scopes_all": ("x",), "rules": (ADMIN,)}, {"aud": "y"}, "WRONG_AUDIENCE"),
        ({"scopes_all": ("x",), "rules": (ADMIN,)}, {"aud": "y"}, "INSUFFICIENT_SCOPE"),
    ],
)
def test_reasons_of_a_route(policy: dict[str, Any], claims: dict[str, Any], expected: str):
    """Issuer, audience, scopes and rules each refuse with a reason of their own, in this order."""
    assert decided(claims, **policy) == (expected, "NONE")


def test_c8_a_token_of_no_known_issuer_is_no_token_of_the_route():
    """Where the route names issuers, an unknown one is refused, and not taken for an absent one."""
    assert reason(GOOD, -1, issuers=frozenset({0})) == "WRONG_ISSUER"
    assert reason(GOOD, 7, issuers=frozenset({0, 1})) == "WRONG_ISSUER"
    assert reason(GOOD, -1) == "NONE"


def test_c10_one_token_on_two_routes():
    """What one route accepts is nothing to another: each asks for its own audience, scope, issuer and claims."""
    orders = RouteRules(
        RoutePolicy(name="orders", audiences=("orders",), scopes_all=("orders.read",), issuers=frozenset({0}))
    )
    bills = RouteRules(
        RoutePolicy(name="bills", audiences=("bills",), scopes_all=("bills.read",), issuers=frozenset({1}))
    )
    token = {"aud": "orders", "scope": "orders.read"}
    for _ in range(3):
        assert orders.decide(token, 0)[0] is DenyReason.NONE
        assert bills.decide(token, 0)[0] is DenyReason.WRONG_ISSUER
        assert bills.decide(token, 1)[0] is DenyReason.WRONG_AUDIENCE
        assert bills.decide({"aud": "bills", "scope": "orders.read"}, 1)[0] is DenyReason.INSUFFICIENT_SCOPE


def test_a_rule_that_only_reports_lets_through():
    """It is told once, the first one that would have refused, and the rules that do refuse still do."""
    shadow = RouteRule(ADMIN, report_only=True)
    user = GOOD | {"roles": ["user"]}
    assert decided(GOOD, rules=(shadow,)) == ("NONE", "NONE")
    assert decided(user, rules=(shadow,)) == ("NONE", "CLAIM_REFUSED")
    assert decided(user, rules=(shadow, PAID)) == ("NONE", "CLAIM_REFUSED")
    assert decided(user | {"plan": "free"}, rules=(shadow, PAID)) == ("CLAIM_REFUSED", "NONE"), (
        "who is refused is not reported too"
    )
    assert decided(user, rules=(shadow,), audiences=("x",)) == ("WRONG_AUDIENCE", "NONE")
    assert decided({}, rules=(shadow,)) == ("NONE", "CLAIM_REFUSED"), "what cannot be judged would have been refused"


def test_a_route_that_asks_nothing_says_so():
    """Its tokens need not be read again; any single wish is something."""
    assert RouteRules(RoutePolicy(name="r")).asks_nothing
    for policy in (
        {"issuers": frozenset({0})},
        {"audiences": ("x",)},
        {"scopes_all": ("x",)},
        {"scopes_any": ("x",)},
        {"rules": (RouteRule(ADMIN, report_only=True),)},
    ):
        assert not RouteRules(RoutePolicy(name="r", **policy)).asks_nothing


@pytest.mark.parametrize(
    "options",
    [
        {"name": ""},
        {"issuers": frozenset()},
        {"issuers": frozenset({-1})},
        {"audiences": ()},
        {"audiences": ("",)},
        {"scopes_all": ("a b",)},
        {"scopes_any": ("",)},
        {"rules": (RouteRule(ADMIN),) * 65},
    ],
)
def test_impossible_routes_cannot_be_made(options: dict[str, Any]):
    """A policy that exists is one that some token can meet."""
    with pytest.raises(ConfigurationError):
        RoutePolicy(**({"name": "r"} | options))


def test_equal_rules_are_one_and_different_ones_never() -> None:
    """As long as somebody has them. What Python calls equal and a rule does not is two: a number and a boolean, all and any."""

    def made(operand: object, group: type[AllOf] | type[AnyOf] = AllOf, **policy: Any) -> RouteRules:
        rule = group((ClaimTest(("x",), "equals", operand), ADMIN))
        return route_rules(RoutePolicy(name="r", rules=(RouteRule(rule),), **policy))

    one = made(1)
    assert made(1) is one
    others = [made(True), made("1"), made(1, AnyOf), made(1, audiences=("api",)), made(1, issuers=frozenset({0}))]
    assert len({rules.number for rules in [one, *others]}) == 6 and 0 not in {rules.number for rules in others}
    number = one.number
    del one
    assert made(1).number > number, "numbers do not come back"
    assert route_rules(RoutePolicy(name="r")).number == 0


def test_seventy_thousand_rules_have_seventy_thousand_numbers() -> None:
    """More than 16 bits have."""
    policy = RoutePolicy(name="r", audiences=("api",))
    assert len({RouteRules(policy).number for _ in range(70_000)}) == 70_000
