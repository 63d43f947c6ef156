"""What the configuration accepts, the parts that are made of it accept, and read the same way: an error at its line, never a failed start."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from lbjwt.assembly.issuers import issuer_instances, new_verifier
from lbjwt.assembly.routes import claim_rule, new_admission
from lbjwt.auth._places import TokenPlaces
from lbjwt.auth.identity import MOST_BYTES, IdentityHeader, compile_identity_headers
from lbjwt.auth.issuer_pattern import TENANT_CLASSES, IssuerPattern
from lbjwt.auth.refusals import RefusalStyle
from lbjwt.auth.resource import ProtectedResource, metadata_path
from lbjwt.auth.route_policy import MAX_RULES
from lbjwt.config.claim_header import ClaimHeader
from lbjwt.config.fields import ALGORITHMS
from lbjwt.config.load import load_file, load_text
from lbjwt.config.model import Configuration, Limits
from lbjwt.config.places import FromCookie, FromHeader, FromParam
from lbjwt.config.relations import WELL_KNOWN, route_faults
from lbjwt.config.route import Refusals, Resource, Route
from lbjwt.config.rule import Rule
from lbjwt.config.section import Section
from lbjwt.config.tenants import Tenants, may_be_one
from lbjwt.config.url import check_fetchable
from lbjwt.errors import ConfigurationError
from lbjwt.jose import algorithms
from lbjwt.keys.uri import examine
from lbjwt.routing._router import Router
from lbjwt.routing.table import RouteMatch, compile_table
from tests.unit.test_config_broken_policy import GOOD
from tests.unit.test_config_docs import BLOCKS, whole

awkward = st.text(st.sampled_from("aA0-_.~*/%25;:@?#{}\\ é\t\"'"), min_size=1, max_size=12)


def made(section: type[Section], **keys: Any) -> Any:
    """A section, or None when the configuration refuses it."""
    try:
        return section.model_validate(keys)
    except ValidationError:
        return None


def build(configuration: Configuration) -> None:
    """All parts of a configuration that decide over requests."""
    instances = issuer_instances(configuration)
    verifier = new_verifier(configuration, instances)
    new_admission(configuration, instances, verifier.gate)


@pytest.mark.parametrize("example_file", sorted(Path("examples").glob("*.yaml")), ids=str)
def test_the_examples_can_be_built(example_file: Path):
    """What people copy starts."""
    build(load_file(example_file))


@pytest.mark.parametrize("text", [GOOD, *map(whole, BLOCKS)], ids=lambda text: text.splitlines()[0])
def test_the_documentation_can_be_built(text: str):
    """Every block of the documentation starts, and so does the policy that the corpus breaks."""
    build(load_text(text, Path("/etc/lbjwt")))


def test_the_same_algorithms():
    """No name is offered that no key can have, and none is hidden."""
    assert set(ALGORITHMS) == set(algorithms.ALGORITHMS)


@given(awkward.map(lambda text: "/" + text))
@example("/a%20b")
@example("/%C3%A9")
@example("/a%FF")
@example("/a%C3")
@example("/a%7F")
@example("/%E2%80%AE")
def test_paths(path: str):
    """A path or prefix that the configuration takes is one that the router compares."""
    for route in (made(Route, name="a", path=path), made(Route, name="a", prefix=path)):
        if route is not None:
            compile_table([RouteMatch((), route.path, route.prefix)])


@given(st.text(st.sampled_from("aA0-_.*:[]é"), min_size=1, max_size=70))
def test_hosts(host: str):
    """A host that the configuration takes is one that the router compares."""
    route = made(Route, name="a", hosts=[host])
    if route is not None:
        compile_table([RouteMatch(route.hosts)])


@given(
    st.text(st.sampled_from("aZ0-_.: "), min_size=1, max_size=66)
    | st.sampled_from(["Proxy", "TE", "Cookie", "X-Real-IP", "HTTP2-Settings"])
)
def test_header_names(name: str):
    """A header for endpoints, and a field that holds a token."""
    pair = made(ClaimHeader, claim="sub", header=name)
    if pair is not None:
        IdentityHeader(header=pair.header, path=pair.claim)
    for scheme in ("Bearer", ""):
        place = made(FromHeader, name=name, scheme=scheme)
        if place is not None:
            TokenPlaces(headers=[(place.name, place.scheme, True)])


@given(st.integers(1, 2 * MOST_BYTES))
@example(MOST_BYTES)
@example(MOST_BYTES + 1)
def test_limits_of_identity_headers(size: int):
    """A limit on headers for endpoints that the configuration takes is one that they can be made with."""
    for keys in ({"max_identity_header": size, "max_identity_headers": MOST_BYTES}, {"max_identity_headers": size}):
        limits = made(Limits, **keys)
        if limits is not None:
            compile_identity_headers(
                [("sub", "X-Sub")], max_value=limits.max_identity_header, max_total=limits.max_identity_headers
            )
    assert made(Limits, max_identity_headers=MOST_BYTES) is not None


@given(awkward)
def test_cookies_and_parameters(name: str):
    """A cookie and a parameter that hold a token."""
    cookie, param = made(FromCookie, name=name), made(FromParam, name=name)
    if cookie is not None:
        TokenPlaces(cookies=[(cookie.name, False)])
    if param is not None:
        TokenPlaces(params=[(param.name, False)])


@pytest.mark.parametrize("kind", [*TENANT_CLASSES, None])
@given(tenant=st.text(st.sampled_from("aAfF09-_.é/"), min_size=1, max_size=20) | st.uuids().map(str))
@example(tenant="a" * 64)
@example(tenant="a" * 65)
def test_tenants(kind: str | None, tenant: str):
    """Who is a tenant is one question with one answer, by list and by kind; the pattern of the configuration overlaps exactly with its members."""
    tenants = made(Tenants, kind=kind) if kind is not None else made(Tenants, names=[tenant, "other"])
    if tenants is None:
        return
    template = "https://a.example/{tenant}/v2"
    pattern = IssuerPattern(
        template=template,
        tenants=tenants.names,
        tenant_class=tenants.kind,
        max_length=tenants.max_length,
        max_tenants=tenants.max_tenants,
    )
    issuer = template.replace("{tenant}", tenant)
    assert tenants.knows(tenant) is (pattern.tenant_of(issuer) is not None)
    assert may_be_one(issuer, None, template, tenants) is tenants.knows(tenant)


scalars: st.SearchStrategy[Any] = st.sampled_from(
    ["a", "a b", "", 1, 1.0, -(2**53), 2**53 + 1, 1e300, True, False, None, "x" * 1025, float("nan"), [], {}]
)


@given(
    st.sampled_from(
        [
            "equals",
            "contains",
            "less_than",
            "at_most",
            "more_than",
            "at_least",
            "prefix",
            "exists",
            "one_of",
            "contains_any",
            "contains_word",
            "contains_all_words",
        ]
    ),
    scalars | st.lists(scalars, max_size=3),
    st.lists(st.sampled_from(["a", "a.b", "https://c/d", "", "é"]), max_size=9),
)
def test_rules(operator: str, operand: Any, path: list[str]):
    """A comparison that the configuration takes can be judged."""
    for rule in (
        made(Rule, claim=path, **{operator: operand}),
        made(Rule, **{"not": {"claim": path, operator: operand}}),
    ):
        if rule is not None:
            claim_rule(rule)


def test_as_many_rules():
    """The bound on rules of a route is the same."""
    rules = [{"claim": "a", "equals": 1}] * MAX_RULES
    assert made(Route, name="a", rules=rules) is not None
    assert made(Route, name="a", rules=[*rules, *rules[:1]]) is None


@given(st.dictionaries(st.sampled_from([400, 401, 403, 404, 429, 503]), st.integers(390, 610), max_size=3))
def test_statuses(statuses: dict[int, int]):
    """Exactly the statuses that refusals can have."""
    try:
        RefusalStyle(statuses=statuses)
    except ConfigurationError:
        assert made(Refusals, statuses=statuses) is None
    else:
        assert made(Refusals, statuses=statuses) is not None


@given(
    st.text(st.sampled_from("ahtps:/.?#{}url=&@\\%[]1 "), max_size=20)
    | st.sampled_from(["https://a/?{url}", "/a#{url}", "//a/{url}"])
)
@example("https://login.example/start?return={url}")
@example("https://login.example#{url}")
@example("https://login.example?a={url}&b=c")
@example("https://[::1]:80/?{url}")
def test_redirects(template: str):
    """A redirect that the configuration takes can be answered with."""
    if made(Refusals, redirect=template) is not None:
        RefusalStyle(redirect=template)


@given(awkward.map(lambda text: "https://a.example" + text) | awkward.map(lambda text: "https://a.example/" + text))
@example("http://localhost")
@example("http://127.0.0.1:1/mcp")
@example("http://[::1]/mcp")
@example("https://a.example:443/mcp/")
@example("https://a.example/")
def test_resources(identifier: str):
    """An identifier that the configuration takes has a document."""
    resource = made(Resource, identifier=identifier, documentation=identifier, authorization_servers=[identifier])
    if resource is not None:
        ProtectedResource(resource=identifier, authorization_servers=(identifier,), resource_documentation=identifier)
        assert metadata_path(identifier).startswith(WELL_KNOWN)


@given(awkward.map(lambda text: "https://" + text) | awkward.map(lambda text: "https://a.example/" + text))
def test_urls_of_keys(uri: str):
    """A URL that the configuration takes is one that is fetched from."""
    try:
        check_fetchable(uri)
    except ValueError:
        return
    examine(uri.replace("{tenant}", "tenant"))


places = st.fixed_dictionaries(
    {"name": st.uuids().map(lambda value: f"r{value}")},
    optional={
        "hosts": st.lists(
            st.sampled_from(["a.example", "b.a.example", "*.example", "*.a.example"]),
            min_size=1,
            max_size=2,
            unique=True,
        ),
        "methods": st.lists(st.sampled_from(["GET", "HEAD", "POST", "PUT"]), min_size=1, max_size=2, unique=True),
    },
)
paths = st.sampled_from(
    [{}, {"prefix": "/"}, {"prefix": "/a"}, {"prefix": "/a/b"}, {"path": "/a"}, {"path": "/a/b"}, {"path": "/"}]
)
tables = st.lists(st.tuples(places, paths).map(lambda parts: parts[0] | parts[1]), min_size=1, max_size=5)


@given(tables)
def test_r7_routes_that_tie_are_an_error(table: list[dict[str, Any]]):
    """The configuration refuses exactly the tables that the router refuses."""
    routes = [Route.model_validate(route) for route in table]
    matches = [RouteMatch(route.hosts, route.path, route.prefix, route.methods) for route in routes]
    tied = any("for the same requests" in fault.sentence for fault in route_faults(routes, None))
    try:
        Router(matches)
    except ConfigurationError:
        assert tied
    else:
        assert not tied
