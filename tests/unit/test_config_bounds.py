"""How many and how long: bounds of the configuration, each met and each passed by one."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lbjwt.config.fields import Source
from lbjwt.config.model import Configuration
from lbjwt.config.problems import describe
from lbjwt.config.relations import MAX_INSTANCES, MAX_ISSUERS
from tests.unit.test_checks_text import SOUND


def found(**sections: Any) -> list[str]:
    """The problems of the sound configuration with other sections."""
    try:
        Configuration.model_validate({**SOUND, **sections}, context=Source(Path("/")))
    except ValidationError as error:
        return [problem.render() for problem in describe(error, Configuration)]
    return []


def issuers(count: int, **keys: Any) -> dict[str, Any]:
    """As many issuers."""
    return {
        f"i{at}": {"issuer": f"https://i{at}.example/{{tenant}}", "audiences": ["a"], "discovery": {}, **keys}
        for at in range(count)
    }


def rule(size: int) -> dict[str, Any]:
    """A rule of as many comparisons."""
    return {"any": [{"claim": "a", "equals": at} for at in range(size)]}


def test_a_hundred_issuers():
    """Each has its counters in memory that all processes share."""
    one = {"tenants": {"names": ["a"]}}
    assert found(issuers=issuers(MAX_ISSUERS, **one)) == []
    assert found(issuers=issuers(MAX_ISSUERS + 1, **one)) == [
        f"issuers: at most {MAX_ISSUERS} issuers are supported, but there are {MAX_ISSUERS + 1}"
    ]


def test_a_thousand_tenants_with_keys_of_their_own():
    """Each is fetched for by itself; tenants that share a key set count as one."""
    names = [f"t{at}" for at in range(MAX_INSTANCES // 2)]
    assert found(issuers=issuers(2, tenants={"names": names})) == []
    assert found(issuers=issuers(3, tenants={"names": names})) == [
        f"issuers: at most {MAX_INSTANCES} issuers and tenants with keys of their own are supported, but there are {MAX_INSTANCES // 2 * 3}"
    ]
    shared = {"tenants": {"names": names}, "discovery": None, "jwks_file": "k"}
    assert (
        found(
            issuers={
                label: {key: value for key, value in one.items() if value}
                for label, one in issuers(3, **shared).items()
            }
        )
        == []
    )


def test_a_thousand_comparisons():
    """Every comparison costs every token; 64 rules of 64 of 64 would be a program."""
    whole, rest = [rule(50)] * 20, [{"claim": "b", "exists": True}]
    assert found(routes=[{"name": "a", "rules": whole}]) == []
    assert found(routes=[{"name": "a", "rules": [*whole, *rest]}]) == [
        "routes[0].rules: the rules of a route can have at most 1000 comparisons"
    ]


@pytest.mark.parametrize("key", ["equals", "contains", "prefix"])
def test_long_texts(key: str):
    """1024 characters are a lot for a word."""
    assert found(routes=[{"name": "a", "rules": [{"claim": "a", key: "x" * 1023 + "/"}]}]) == []
    (problem,) = found(routes=[{"name": "a", "rules": [{"claim": "a", key: "x" * 1025}]}])
    assert problem.startswith(f"routes[0].rules[0].{key}: ")
    assert "1024 characters" in problem


@pytest.mark.parametrize(
    ("hosts", "sentence"),
    [
        ([1], "routes[0].hosts[0]: must be text; put it in quotes"),
        (["a" * 256], "routes[0].hosts[0]: must be a host name"),
    ],
)
def test_hosts(hosts: list[Any], sentence: str):
    """A number is no host, and no name is longer than DNS allows."""
    assert found(routes=[{"name": "a", "hosts": hosts}])[0].startswith(sentence)


@pytest.mark.parametrize(
    ("issuer", "servers", "good"),
    [
        ({"issuer": "https://i.example"}, [], True),
        ({"issuer": "main"}, [], False),
        ({"issuer": "http://i.example"}, [], False),
        ({"any_issuer": True}, [], False),
        ({"issuer": "https://i.example/{tenant}", "tenants": {"kind": "hex"}}, [], False),
        ({"issuer": "https://i.example/{tenant}", "tenants": {"kind": "hex"}}, ["https://i.example/common"], True),
    ],
)
def test_a_resource_tells_where_to_get_a_token(issuer: dict[str, Any], servers: list[str], good: bool):
    """The name of an issuer is that place when it is a URL; else the place must be given."""
    made = {"main": {**issuer, "audiences": ["a"], "jwks_file": "k"}}
    resource = {"identifier": "https://api.example", "authorization_servers": servers}
    problems = found(issuers=made, routes=[{"name": "a", "resource": resource}])
    assert len(problems) == (0 if good else 1)
    assert good or problems[0].startswith("routes[0].resource: give authorization_servers: ")
