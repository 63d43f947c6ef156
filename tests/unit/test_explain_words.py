"""The steps of an explanation in words: what was asked, what was found, and what came of it; also after the first that refuses."""

import json
from pathlib import Path
from typing import Any

from lbjwt.config.load import load_text
from lbjwt.explain.scene import Asked
from tests.unit.auth_tokens import ISSUER, NOW, claims, jwk_of, private_key, token
from tests.unit.explain_cases import BASE, CONFIGURATIONS, answer, configuration, jwks

T = int(NOW)


def steps(story: dict[str, Any], *stages: str) -> list[tuple[str, str, str, str | None]]:
    """Rule, outcome, detail and reason of the steps of these stages."""
    return [
        (step["rule"], step["outcome"], step["detail"], step["reason"])
        for step in story["steps"]
        if step["stage"] in stages
    ]


def test_c16_every_claim_that_a_policy_asks_for():
    """All of them in order, with the values compared."""
    policy = """
    issuers:
      main:
        issuer: "ISSUER"
        audiences: [api, web]
        jwks: JWKS
        clock_skew: 5s
        required_claims: [tenant]
        max_lifetime: 10m
        max_age: 60s
        subjects: [user-2]
        clients: [app]
        refuse_sender_constrained: true
        required_scopes: [write, read]
    """.replace("ISSUER", ISSUER).replace("JWKS", json.dumps(jwks()))
    made = load_text(BASE + "\n".join(line[4:] for line in policy.splitlines()), Path("/"))
    said = claims(nbf=T + 5, azp="app", cnf={}, scope="read")
    story = answer(made, Asked(token(said, algorithm="ES256", kid="k1").decode()))
    assert steps(story, "claims") == [
        (
            "registered claims have the right types",
            "met",
            f'exp is {T + 600}, nbf is {T + 5}, iat is {T - 10}, iss is "{ISSUER}", sub is "user-1", azp is "app"',
            None,
        ),
        (f"issuer: {ISSUER}", "met", f'iss is "{ISSUER}"', None),
        ("audience: one of api, web", "met", 'aud is "api"', None),
        ("before exp, 5 s of clock skew", "met", f"exp is {T + 600}, 600 s ahead", None),
        ("not before nbf, 5 s of clock skew", "met", f"nbf is {T + 5}, 5 s ahead", None),
        ("not issued in the future, 5 s of clock skew", "met", f"iat is {T - 10}, 10 s ago", None),
        ("valid for at most 600 s", "refused", "exp - iat is 610 s", "lifetime_too_long"),
        ("younger than 60 s, 5 s of clock skew", "met", f"iat is {T - 10}, 10 s ago", None),
        ("required: tenant", "refused", "without tenant", "missing_claim"),
        ("one of the configured subjects", "refused", 'sub is "user-1"', "subject_refused"),
        ("client: one of app", "met", 'azp is "app", client_id is missing', None),
        ("not bound to a key", "refused", "the token has cnf", "wrong_type"),
        ("scopes: all of read write", "refused", 'scope is "read"', "insufficient_scope"),
    ]
    assert (story["reason"], story["verdict"]) == ("lifetime_too_long", "refused")


def test_claims_of_a_wrong_type_are_compared_with_nothing():
    """The step that names them is the last about claims."""
    text = token(claims(exp="soon"), algorithm="ES256", kid="k1").decode()
    (step,) = steps(answer(configuration("one"), Asked(text)), "claims", "revocation", "identity")
    assert step[1:2] == ("refused",) and step[2].startswith('exp is "soon", iat is')


def test_c16_what_anybody_asks_for():
    """Without issuer and audience only the times are left."""
    text = token(claims(), algorithm="ES256", kid="k1").decode()
    assert [step[0] for step in steps(answer(configuration("anybody"), Asked(text)), "claims")] == [
        "registered claims have the right types",
        "audience: any",
        "before exp, if the token has it, 60 s of clock skew",
        "not before nbf, 60 s of clock skew",
        "not issued in the future, 60 s of clock skew",
    ]


def test_the_tenants_of_an_issuer_are_told():
    """Those that are listed by their number, a class by its limits."""
    said = claims(iss="https://hex.example/af")
    story = answer(configuration("tenants"), Asked(token(said, algorithm="ES256", kid="k1").decode()))
    rules = [step[0] for step in steps(story, "issuer", "claims")]
    assert "issuer: https://hex.example/{tenant}, tenant_class hex, max_tenants 1" in rules
    assert "one of the issuers: main, hex, plain" in rules
    said = claims(iss="https://login.example/a/v2")
    story = answer(configuration("tenants"), Asked(token(said, algorithm="ES256", kid="k1").decode()))
    assert "issuer: one of 2 tenants" in [step[0] for step in steps(story, "claims")]


def test_the_rules_on_a_header():
    """Up to the one that refuses; a claim further on is told all the same."""
    header = {"alg": "ES256", "kid": "k1", "typ": "JWT"}
    made = configuration("strict").model_copy(update={"revocation": None})
    story = answer(made, Asked(token(algorithm="ES256", header=header).decode()))
    assert steps(story, "header")[1:] == [
        ("the header has no b64, crit, enc, zip", "met", "", None),
        ("typ, cty, kid are text", "met", 'typ is "JWT", kid is "k1"', None),
        ("the token contains no other token", "met", "cty is missing", None),
        ("type: at+jwt", "refused", 'typ is "JWT"', "wrong_type"),
    ]
    assert steps(story, "claims")
    said = token(algorithm="ES256", header={"alg": "ES256", "kid": 5}).decode()
    assert steps(answer(configuration("one"), Asked(said)), "header")[-1][1:] == ("refused", "kid is 5", "malformed")


def test_a_list_of_keys_has_an_end():
    """Ten are named."""
    keys = json.dumps({"keys": [jwk_of(private_key("ES256"), kid=f"k{number}") for number in range(12)]})
    made = load_text(CONFIGURATIONS["one"].replace("JWKS", keys), Path("/"))
    story = answer(made, Asked(token(algorithm="ES256", kid="x").decode()))
    assert steps(story, "header")[-1][2].endswith('"k9" (EC P-256, 256 bits), …')


def test_c16_what_a_route_asks_beyond_its_issuer():
    """Audience, scopes, and each rule with its comparisons: which one failed, and which could not be made."""
    text = """
routes:
  - name: orders
    audiences: [api, web]
    scopes: {all: [read, write], any: [orders, admin]}
    rules:
      - {name: free-admins, all: [{claim: roles, contains: admin}, {not: {claim: plan, one_of: [pro, team]}}]}
      - {claim: plan, one_of: [pro, team]}
      - {claim: level, at_least: 3, report_only: true}
      - {claim: sub, exists: true}
      - {claim: [sub, deep], exists: true}
"""
    made = load_text(CONFIGURATIONS["one"].replace("JWKS", json.dumps(jwks())) + text, Path("/"))
    said = claims(scope="read", roles=["admin"], plan=5, level=2, sub="u\x1b[31m")
    assert steps(answer(made, Asked(token(said, algorithm="ES256", kid="k1").decode())), "rules") == [
        ("audience: one of api, web", "met", 'aud is "api"', None),
        ("scopes: all of read write", "refused", 'scope is "read"', "insufficient_scope"),
        ("scopes: one of orders admin", "refused", 'scope is "read"', "insufficient_scope"),
        (
            "free-admins",
            "unknown",
            'roles contains "admin": met, roles is ["admin"]; plan one of "pro", "team": unknown, plan is 5',
            "claim_refused",
        ),
        ('plan one of "pro", "team"', "unknown", "plan is 5", "claim_refused"),
        ("level at least 3", "reported", "level is 2", "claim_refused"),
        ("sub exists", "met", 'sub is "u\\u001b[31m"', None),
        ("sub.deep exists", "unknown", "sub.deep is not inside an object", "claim_refused"),
    ]
    for more, found in (
        ({"scp": ["x"]}, 'scp is ["x"]'),
        ({"scope": 5, "scp": "read"}, "scope is 5"),
        ({}, "scope is missing"),
    ):
        said = claims(**more)
        story = answer(made, Asked(token(said, algorithm="ES256", kid="k1").decode()))
        assert steps(story, "rules")[1][2] == found
