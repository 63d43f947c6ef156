"""What the configuration accepts, the parts that are made of it accept, and read the same way: an error at its line, never a failed start."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lbjwt.assembly.issuers import issuer_instances, new_verifier
from lbjwt.assembly.routes import new_admission
from lbjwt.config.load import load_file, load_text
from lbjwt.config.model import Configuration
from lbjwt.config.problems import describe
from lbjwt.config.relations import route_faults
from lbjwt.config.route import Route
from lbjwt.errors import ConfigurationError
from lbjwt.routing._router import Router
from tests.unit.documented import blocks, whole
from tests.unit.test_config_broken_policy import GOOD


def build(configuration: Configuration) -> None:
    """All parts of a configuration that decide over requests."""
    instances = issuer_instances(configuration)
    verifier = new_verifier(configuration, instances)
    new_admission(configuration, instances, verifier.gate)


@pytest.mark.parametrize("example_file", sorted(Path("examples").glob("*.yaml")), ids=str)
def test_the_examples_can_be_built(example_file: Path):
    """What people copy starts."""
    build(load_file(example_file))


@pytest.mark.parametrize("text", [GOOD, *map(whole, blocks("configuration.md"))], ids=lambda text: text.splitlines()[0])
def test_the_documentation_can_be_built(text: str):
    """Every block of the documentation starts, and so does the policy that the corpus breaks."""
    build(load_text(text, Path("/etc/lbjwt")))


def rule(comparisons: int) -> dict[str, Any]:
    """A rule of as many comparisons, in groups of 64."""
    groups = [range(at, min(at + 64, comparisons)) for at in range(0, comparisons, 64)]
    return {"any": [{"all": [{"claim": "a", "equals": at} for at in group]} for group in groups]}


def test_as_many_comparisons_as_one_rule_can_have():
    """256 comparisons can be served; one more is a problem at its rule, not a worker that does not start."""
    sections = {
        "listeners": [{"address": "127.0.0.1:0"}],
        "clusters": {"main": {"endpoints": [{"address": "127.0.0.1:9001"}]}},
    }
    issuers = {"main": {"issuer": "i", "audiences": ["a"], "jwks_file": "/k"}}
    routes = [{"name": "a", "rules": [rule(256)]}]
    build(Configuration.model_validate({**sections, "issuers": issuers, "routes": routes}))
    routes[0]["rules"] = [{"claim": "b", "exists": True}, rule(257)]
    with pytest.raises(ValidationError) as caught:
        Configuration.model_validate({**sections, "issuers": issuers, "routes": routes})
    assert [problem.render() for problem in describe(caught.value, Configuration)] == [
        "routes[0].rules[1]: a rule can have at most 256 comparisons"
    ]


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
    tied = any("match the same requests" in fault.sentence for fault in route_faults(routes, None))
    try:
        Router([route.match for route in routes])
    except ConfigurationError:
        assert tied
    else:
        assert not tied
