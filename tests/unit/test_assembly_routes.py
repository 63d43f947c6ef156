"""From routes, rules and refusals to an admission: every key arrives where it takes effect."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from lbjwt._fastverify import DenyReason
from lbjwt.assembly.cluster import new_policy
from lbjwt.assembly.issuers import issuer_instances, new_verifier
from lbjwt.assembly.routes import new_admission
from lbjwt.auth._route_rules import RouteRules
from lbjwt.auth.route_policy import RoutePolicy
from lbjwt.auth.rules import OPERATORS, AllOf, AnyOf, ClaimTest, Not
from lbjwt.config.load import load_text
from lbjwt.config.model import FailLimit
from lbjwt.config.places import FromCookie, FromHeader, FromParam
from lbjwt.config.route import Refusals, Require, Resource, Retry, Route, Scopes
from lbjwt.config.rule import RouteRule
from lbjwt.errors import ConfigurationError
from lbjwt.http1._request import RequestHead
from lbjwt.upstream._retry import RetryCause
from tests.playbooks.policies import BASE, Policies, bearer, field_of, status_of, token
from tests.playbooks.stage import Stage, request


def decided(policies: Policies, data: bytes, peer: bytes = b"192.0.2.1") -> tuple[str, str, str, bytes]:
    """Route, reason, what is reported and identity lines of one request."""
    head = RequestHead()
    assert head.parse_bytes(data, new_policy(policies.configuration, https=False))
    route, reason, reported, _, identity = policies.admission.decide(head, time.time(), peer)
    return route.name if route is not None else "", reason.name, reported.name, identity


def answer(policies: Policies, data: bytes) -> bytes:
    """What a client gets."""
    client = Stage(None, **policies.options()).client()
    client.sends(data)
    return client.take()


def route_of(members: str) -> Route:
    """One configured route."""
    return Policies(f"  - {{name: r, {members}}}").configuration.routes[0]


def rule_of(members: str) -> Any:
    return route_of(f"rules: [{{{members}}}]").rules[0].claim_rule


# --- rules ------------------------------------------------------------------------------------------------------------

OPERANDS: dict[str, tuple[str, Any]] = {
    "equals": ("3", 3),
    "one_of": ("[a, b]", ("a", "b")),
    "contains": ("x", "x"),
    "contains_any": ("[x, y]", ("x", "y")),
    "contains_all": ("[1, 2]", (1, 2)),
    "contains_word": ("x", "x"),
    "contains_any_word": ("[x, y]", ("x", "y")),
    "contains_all_words": ("['1']", ("1",)),
    "less_than": ("1", 1),
    "at_most": ("2", 2),
    "more_than": ("3.5", 3.5),
    "at_least": ("4", 4),
    "prefix": ("pre", "pre"),
}


@pytest.mark.parametrize("operator", OPERANDS)
def test_each_operator_becomes_itself(operator: str) -> None:
    """Name, path and operand, of the type they were written in."""
    text, operand = OPERANDS[operator]
    assert rule_of(f"claim: [x, 'y.z'], {operator}: {text}") == ClaimTest(("x", "y.z"), operator, operand)


def test_exists_is_a_test_or_its_opposite() -> None:
    """true asks that the claim is there, false that it is not; no operator is left out."""
    assert rule_of("claim: x, exists: true") == ClaimTest(("x",), "exists", True)
    assert rule_of("claim: x, exists: false") == ClaimTest(("x",), "exists", False)
    assert set(OPERATORS) == {*OPERANDS, "exists"}
    assert set(RouteRule.model_fields) == {"claim", "all", "any", "not_", "name", "report_only", *OPERATORS}


@pytest.mark.parametrize(
    ("text", "operand"), [("false", False), ("0", 0), ("''", ""), ("true", True), ("'1'", "1"), ("1.0", 1.0)]
)
def test_c12_an_operand_that_looks_like_nothing_is_one(text: str, operand: object) -> None:
    """false, 0 and empty text are compared with, and each keeps its type (THREATS C12)."""
    made = rule_of(f"claim: x, equals: {text}")
    assert made == ClaimTest(("x",), "equals", operand) and type(made.operand) is type(operand)


def test_all_any_and_not_nest() -> None:
    """The tree of the file is the tree of the rule."""
    made = rule_of("any: [{all: [{claim: a, equals: 1}, {not: {claim: b, equals: 2}}]}, {claim: c, exists: true}]")
    assert made == AnyOf(
        (
            AllOf((ClaimTest(("a",), "equals", 1), Not(ClaimTest(("b",), "equals", 2)))),
            ClaimTest(("c",), "exists", True),
        )
    )


def test_the_policy_of_a_route_arrives_whole() -> None:
    """Audiences, both lists of scopes, and each rule with its name and whether it only reports."""
    made = route_of(
        "audiences: [x, y], scopes: {all: [r], any: [s, t]}, "
        "rules: [{claim: a, equals: 1, name: first}, {claim: b, equals: 2, report_only: true}]"
    ).policy(frozenset({1}))
    assert (made.name, made.issuers, made.audiences) == ("r", frozenset({1}), ("x", "y"))
    assert (made.scopes_all, made.scopes_any) == (("r",), ("s", "t"))
    assert [(entry.name, entry.report_only) for entry in made.rules] == [("first", False), ("", True)]
    assert made.rules[1].rule == ClaimTest(("b",), "equals", 2)
    assert route_of("prefix: /").policy(None) == RoutePolicy(name="r")


# --- which requests ---------------------------------------------------------------------------------------------------


def test_hosts_paths_prefixes_and_methods_choose() -> None:
    """Each key narrows, and the most specific route wins."""
    policies = Policies(
        "  - {name: any}\n"
        "  - {name: host, hosts: [h.test, '*.w.test']}\n"
        "  - {name: exact, path: /x}\n"
        "  - {name: below, prefix: /x}\n"
        "  - {name: written, prefix: /x, methods: [POST, PUT]}\n"
    )
    for method, host, target, name in (
        ("GET", "api.test", "/", "any"),
        ("GET", "h.test", "/x", "host"),
        ("GET", "a.w.test:8080", "/x", "host"),
        ("GET", "w.test", "/", "any"),
        ("GET", "api.test", "/x", "exact"),
        ("GET", "api.test", "/x/z", "below"),
        ("PUT", "api.test", "/x/y", "written"),
        ("GET", "api.test", "/xy", "any"),
    ):
        data = request(method, target).replace(b"Host: api.test", b"Host: " + host.encode())
        assert decided(policies, data)[0] == name, (method, host, target)


def test_without_routes_every_request_needs_a_token_of_any_issuer() -> None:
    """One route without a name, of all issuers, that tells which scopes they ask for."""
    policies = Policies("", {"a": "required_scopes: [r]", "b": "required_scopes: [w, r]"})
    assert decided(policies, request(auth=b""))[:2] == ("", "MISSING")
    assert decided(policies, request(auth=bearer(token("a", scope="r"))))[1] == "NONE"
    assert decided(policies, request(auth=bearer(token("b", scope="w r"))))[1] == "NONE"
    refusal = answer(policies, request(auth=bearer(token("b"))))
    assert status_of(refusal) == 403 and 'scope="r w"' in field_of(refusal, "WWW-Authenticate")


@pytest.mark.parametrize(
    ("members", "attribute", "value"),
    [
        ("allow_missing: true", "allow_missing", True),
        ("report_only: true", "report_only", True),
        ("end_streams: false", "end_streams", False),
        ("stream_grace: 90s", "stream_grace", 90.0),
        ("public: true", "demands", ()),
    ],
)
def test_the_modes_of_a_route_arrive(members: str, attribute: str, value: object) -> None:
    """Each switch is thrown where it was written, and is not anywhere else."""
    policies = Policies(f"  - {{name: one, prefix: /1, {members}}}\n  - {{name: two, prefix: /2}}")
    head = RequestHead()
    for target, same in (("/1", True), ("/2", False)):
        assert head.parse_bytes(request("GET", target), new_policy(policies.configuration, https=False))
        route = policies.admission.decide(head, time.time())[0]
        assert route is not None and (getattr(route, attribute) == value) is same


def test_timeout_and_retry_of_a_route_arrive() -> None:
    """Each of their keys, and the default of the others."""
    policies = Policies(
        "  - {name: one, prefix: /1, timeout: 30s, retry: {attempts: 3, on: [timeout, 503], try_timeout: 2s}}\n"
        "  - {name: two, prefix: /2}"
    )
    head = RequestHead()
    found = []
    for target in ("/1", "/2"):
        assert head.parse_bytes(request("GET", target), new_policy(policies.configuration, https=False))
        route = policies.admission.decide(head, time.time())[0]
        assert route is not None
        found.append(route.retry)
    one, two = found
    assert (one.attempts, one.timeout, one.try_timeout) == (3, 30.0, 2.0)
    assert [cause.name for cause in RetryCause if one.covers(cause, 503)] == ["TIMEOUT", "STATUS"]
    assert not one.covers(RetryCause.STATUS, 502)
    assert (two.attempts, two.any_status, two.timeout < 0, two.try_timeout < 0) == (-1, False, True, True)
    assert set(Retry.model_fields) == {"attempts", "on", "try_timeout"}


def test_no_key_of_a_route_is_left_out() -> None:
    """A key that a person can write and that arrives nowhere would be a check that is not made: each is tried here or in a playbook."""
    assert set(Route.model_fields) == {
        *("name", "hosts", "path", "prefix", "methods", "rewrite", "cluster", "timeout", "retry"),
        *("public", "require", "allow_missing", "audiences", "scopes", "rules"),
        *("report_only", "end_streams", "stream_grace", "refusals", "realm", "resource"),
    }
    assert set(Scopes.model_fields) == {"all", "any"} and set(Require.model_fields) == {"issuer", "any_of", "all_of"}
    assert set(Refusals.model_fields) == {"format", "expose_reason", "statuses", "redirect"}
    assert set(Resource.model_fields) == {
        *("identifier", "authorization_servers", "scopes_supported", "name", "documentation"),
    }
    assert set(FromHeader.model_fields) == {"name", "scheme", "forward"}
    assert set(FromCookie.model_fields) == set(FromParam.model_fields) == {"name", "forward"}
    assert set(FailLimit.model_fields) == {"failures", "window"}


# --- whose tokens -----------------------------------------------------------------------------------------------------

THREE = {"a": "", "b": "", "c": "from_headers: [{name: X-C, scheme: Token}]"}


@pytest.mark.parametrize(
    ("require", "opened"),
    [
        ("", {"a", "b", "c"}),
        ("require: {issuer: a}", {"a"}),
        ("require: {any_of: [b, c]}", {"b", "c"}),
        ("require: {any_of: [c, a, b]}", {"a", "b", "c"}),
    ],
)
def test_require_says_whose_token_opens(require: str, opened: set[str]) -> None:
    """One issuer, some or all, each looked for in its own places; whoever is not named is refused."""
    policies = Policies(f"  - {{name: r, {require}}}", THREE, "claim_to_headers: []")
    for label in "abc":
        text = token(label)
        auth = f"X-C: Token {text}\r\n".encode() if label == "c" else bearer(text)
        _, reason, _, _ = decided(policies, request(auth=auth))
        assert (reason == "NONE") is (label in opened), (label, reason)


def test_all_of_is_a_demand_each() -> None:
    """In the order of the file, each with the places and the rules of the route."""
    policies = Policies("  - {name: r, require: {all_of: [c, a]}, scopes: {all: [s]}}", THREE, "claim_to_headers: []")
    a, c = token("a", scope="s"), token("c", scope="s")
    poor_a, poor_c = token("a"), token("c")

    def asks(first: str, second: str) -> str:
        return decided(policies, request("GET", "/", f"X-C: Token {first}", auth=bearer(second)))[1]

    assert asks(c, a) == "NONE"
    assert asks(c, poor_a) == asks(poor_c, a) == "INSUFFICIENT_SCOPE"
    assert decided(policies, request(auth=bearer(a)))[1] == "MISSING"


def test_a_label_with_tenants_is_required_as_a_whole() -> None:
    """Every instance of the label opens the route, and none of another label."""
    text = BASE + (
        "issuers:\n"
        "  t: {issuer: 'https://{tenant}.test', tenants: {names: [a, b]}, audiences: [api], discovery: {allow_http: true}}\n"
        "  o: {issuer: 'https://c.test', audiences: [api], jwks: {keys: []}}\n"
        "routes: [{name: r, require: {issuer: t}}]\n"
    )
    made = load_text(text.replace("issuer: a}", "issuer: t}").replace("issuer: b}", "issuer: o}"), Path("/"))
    instances = issuer_instances(made)
    verifier = new_verifier(made, instances)
    admission = new_admission(made, instances, verifier.gate)
    head = RequestHead()
    reasons = []
    for label in "abc":
        assert head.parse_bytes(request(auth=bearer(token(label))), new_policy(made, https=False))
        reasons.append(admission.decide(head, time.time())[1])
    assert reasons == [DenyReason.KEYS_UNAVAILABLE] * 3
    (demand,) = admission.routes[0].demands
    assert [one.label for one in instances] == ["t", "t", "o"] and demand.issuers == (frozenset({0, 1}),)


def test_issuers_with_equal_places_share_them() -> None:
    """Two groups of places for three issuers, with the indexes each is for; routes share the groups, too."""
    policies = Policies("  - {name: one, path: /1}\n  - {name: two, path: /2}", THREE, "claim_to_headers: []")
    head = RequestHead()
    found = []
    for target in ("/1", "/2"):
        assert head.parse_bytes(request("GET", target), new_policy(policies.configuration, https=False))
        route = policies.admission.decide(head, time.time())[0]
        assert route is not None
        found.append(route.demands[0])
    assert [demand.issuers for demand in found] == [(frozenset({0, 1}), frozenset({2}))] * 2
    assert found[0].places[0] is found[1].places[0] and found[0].places[1] is found[1].places[1]


def test_more_groups_of_places_than_can_be_told_apart_are_a_mistake() -> None:
    """A problem of the route, or of the issuers where there are no routes, not a worker that does not start; as many as there may be are fine."""

    def made(count: int, routes: str) -> Any:
        issuers = "".join(
            f"  i{n}: {{issuer: 'https://{n}.test', audiences: [api], jwks: {{keys: []}}, from_cookies: [{{name: c{n}}}]}}\n"
            for n in range(count)
        )
        text = BASE.replace("claim_to_headers", "#") + f"issuers:\n{issuers}{routes}"
        configuration = load_text(text, Path("/"))
        instances = issuer_instances(configuration)
        return new_admission(configuration, instances, new_verifier(configuration, instances).gate)

    for routes, place in (("", "issuers"), ("routes: [{name: r}]", r"routes\[0\]")):
        assert made(32, routes) is not None
        with pytest.raises(ConfigurationError, match=f"{place}: the issuers have more than 32"):
            made(33, routes)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusals", "status", "part"),
    [
        ("", 403, b"forbidden\n"),
        ("format: json", 403, b'"title": "Forbidden"'),
        ("format: json, expose_reason: true", 403, b'"reason": "insufficient_scope"'),
        ("expose_reason: true", 403, b'error_description="insufficient_scope"'),
        ("statuses: {403: 404}", 404, b"not found\n"),
    ],
)
def test_a_style_arrives_in_its_own_route(refusals: str, status: int, part: bytes) -> None:
    """Format, reason and status; the other route keeps the default."""
    policies = Policies(
        f"  - {{name: one, prefix: /1, scopes: {{all: [s]}}, refusals: {{{refusals}}}}}\n  - {{name: two, prefix: /2, scopes: {{all: [s]}}}}",
    )
    got = answer(policies, request("GET", "/1", auth=bearer(token())))
    assert status_of(got) == status and part in got
    other = answer(policies, request("GET", "/2", auth=bearer(token())))
    assert status_of(other) == 403 and other.endswith(b"\r\n\r\nforbidden\n") and b"reason" not in other


def test_a_redirect_and_the_realm_arrive() -> None:
    """A browser is sent where the route says; the challenge has the realm of the configuration, with routes and without."""
    policies = Policies("  - {name: r, refusals: {redirect: '/login?to={url}'}}", rest="realm: the realm")
    got = answer(policies, request("GET", "/p", "Accept: text/html", auth=b""))
    assert status_of(got) == 302 and field_of(got, "Location") == "/login?to=http%3A%2F%2Fapi.test%2Fp"
    for made in (policies, Policies(rest="realm: the realm")):
        challenge = field_of(answer(made, request(auth=b"")), "WWW-Authenticate")
        assert challenge.startswith('Bearer realm="the realm"')


def test_a_route_has_a_realm_of_its_own() -> None:
    """The challenge of each refusal that has one names it; the other route keeps that of the whole file."""
    routes = "  - {name: one, prefix: /1, realm: 'one, two'}\n  - {name: two, prefix: /2}"
    policies = Policies(routes, rest="realm: all")
    for path, realm in (("/1", "one, two"), ("/2", "all")):
        for auth in (b"", bearer(token(exp=1))):
            challenge = field_of(answer(policies, request("GET", path, auth=auth)), "WWW-Authenticate")
            assert challenge.partition('", ')[0].rstrip('"') == f'Bearer realm="{realm}'


def test_the_challenge_names_the_scopes_of_route_and_issuers() -> None:
    """All, any and those of the issuers that may open it, each once."""
    policies = Policies(
        "  - {name: r, require: {issuer: a}, scopes: {all: [x, i], any: [y]}}",
        {"a": "required_scopes: [i]", "b": "required_scopes: [other]"},
    )
    got = answer(policies, request(auth=bearer(token("a", scope="i"))))
    assert 'scope="x i y"' in field_of(got, "WWW-Authenticate")


def document(resource: str, members: str = "", issuers: dict[str, str] | None = None) -> tuple[dict[str, Any], str]:
    """The metadata document of a route, and the challenge that leads to it."""
    policies = Policies(f"  - {{name: r, prefix: /, {members} resource: {{{resource}}}}}", issuers)
    challenge = field_of(answer(policies, request(auth=b"")), "WWW-Authenticate")
    got = answer(policies, request("GET", "/.well-known/oauth-protected-resource/r", auth=b""))
    assert status_of(got) == 200
    return json.loads(got.partition(b"\r\n\r\n")[2]), challenge


def test_a_resource_arrives_whole() -> None:
    """What is given is told; what is not is found out from route and issuers."""
    given, challenge = document(
        "identifier: https://api.test/r, authorization_servers: [https://login.test], scopes_supported: [z], name: N, "
        "documentation: https://docs.test/r"
    )
    assert given == {
        "resource": "https://api.test/r",
        "authorization_servers": ["https://login.test"],
        "scopes_supported": ["z"],
        "bearer_methods_supported": ["header"],
        "resource_name": "N",
        "resource_documentation": "https://docs.test/r",
    }
    assert 'resource_metadata="https://api.test/.well-known/oauth-protected-resource/r"' in challenge
    found, _ = document(
        "identifier: https://api.test/r",
        "require: {issuer: b}, scopes: {any: [y]},",
        {
            "a": "",
            "b": "required_scopes: [i], from_params: [{name: access_token}], from_headers: [{name: Authorization}]",
        },
    )
    assert found == {
        "resource": "https://api.test/r",
        "authorization_servers": ["https://b.test"],
        "scopes_supported": ["y", "i"],
        "bearer_methods_supported": ["header", "query"],
    }
    for places in (
        "from_cookies: [{name: t}]",
        "from_headers: [{name: X-Token, scheme: ''}], from_params: [{name: t}]",
        "from_headers: [{name: Authorization, scheme: Token}]",
    ):
        only, _ = document("identifier: https://api.test/r", "require: {issuer: b},", {"a": "", "b": places})
        assert only["bearer_methods_supported"] == [], places


def test_two_routes_of_one_resource_have_one_document() -> None:
    """Said in the same words it is served once, and both challenges lead there."""
    words = "resource: {identifier: https://api.test/r}"
    policies = Policies(f"  - {{name: one, prefix: /r/1, {words}}}\n  - {{name: two, prefix: /r/2, {words}}}")
    for target in ("/r/1", "/r/2"):
        assert "oauth-protected-resource/r" in field_of(
            answer(policies, request("GET", target, auth=b"")), "WWW-Authenticate"
        )
    assert status_of(answer(policies, request("GET", "/.well-known/oauth-protected-resource/r", auth=b""))) == 200


def test_a_fail_limit_arrives() -> None:
    """The number of failures that may be; the window is that of the counter that was handed in."""
    policies = Policies(rest="fail_limit: {failures: 2, window: 30s}")
    assert policies.offenders is not None and (policies.offenders.limit, policies.offenders.window) == (2, 30.0)
    assert decided(policies, request(auth=bearer(token())))[1] == "NONE"
    for _ in range(2):
        policies.offenders.add_failure("192.0.2.1", time.monotonic())
    assert decided(policies, request(auth=bearer(token(jti="2"))))[1] == "RATE_LIMITED"
    assert decided(policies, request(auth=bearer(token(jti="2"))), b"192.0.2.2")[1] == "NONE"
    assert decided(Policies(), request(auth=bearer(token())))[1] == "NONE"


# --- another configuration for the same verifier ----------------------------------------------------------------------


def under(policies: Policies, routes: str) -> None:
    """Other routes, the same verifier."""
    other = Policies(routes)
    policies.admission = new_admission(other.configuration, policies.instances, policies.verifier.gate)


def number_of(policies: Policies) -> int:
    """The number of the rules of its only route."""
    (route,) = policies.admission.routes
    return int(route.demands[0].rules.number)


def test_remembered_verdicts_outlive_other_routes_and_no_other_rules() -> None:
    """Equal rules keep their number, so their verdict is not made again; other ones have a number that no 16 bits confuse with it."""
    lax, strict = "  - {name: r, scopes: {all: [x]}}", "  - {name: r, scopes: {all: [y]}}"
    policies = Policies(lax)
    data = request(auth=bearer(token("a", scope="x")))
    assert decided(policies, data)[:2] == ("r", "NONE")
    before, number = policies.admission, number_of(policies)
    under(policies, lax)
    assert number_of(policies) == number and policies.admission is not before
    filler = RoutePolicy(name="f", audiences=("x",))
    while RouteRules(filler).number % 65536 != (number - 1) % 65536:
        pass
    under(policies, strict)
    assert number_of(policies) % 65536 == number % 65536, "they would be one in 16 bits"
    assert decided(policies, data)[:2] == ("r", "INSUFFICIENT_SCOPE")
    under(policies, lax)
    assert decided(policies, data)[:2] == ("r", "NONE")
