"""The `balancing` setting: the name of a method or a mapping; errors name the key and what is possible."""

from pathlib import Path

import pytest

from lbjwt.config.balancing import Balancing
from lbjwt.config.load import examine_text
from tests.unit.broken_files import assert_told

GOOD = """\
listeners: [{address: "127.0.0.1:8080"}]
issuers: {main: {issuer: "https://issuer.example", audiences: [api], jwks_file: jwks.json}}
clusters:
  main:
    endpoints: [{address: "127.0.0.1:9001"}]
    balancing: random
"""


def read(value: str) -> Balancing:
    examination = examine_text(GOOD.replace("random", value), Path("/etc/lbjwt"))
    assert examination.configuration is not None, examination.problems
    return examination.configuration.clusters["main"].balancing


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("random", Balancing(method="random")),
        ("{method: power_of_two}", Balancing(method="power_of_two")),
        ("{}", Balancing(method="least_requests")),
        ("{method: hash, hash_on: client_address}", Balancing(method="hash", hash_on="client_address")),
        (
            '{method: hash, hash_on: "claim:https://a.example/t", max_load: 2}',
            Balancing(method="hash", hash_on="claim:https://a.example/t", max_load=2.0),
        ),
        ("{method: cookie, cookie: home}", Balancing(method="cookie", cookie="home")),
    ],
    ids=str,
)
def test_a_name_or_a_mapping(value: str, expected: Balancing) -> None:
    assert read(value) == expected


@pytest.mark.parametrize(
    ("value", "path", "part"),
    [
        (
            "^fastest",
            "clusters.main.balancing",
            "must be least_requests, least_time, power_of_two, round_robin, random, or a mapping",
        ),
        ("^hash", "clusters.main.balancing", "hash needs more: {method: hash, hash_on: client_address}"),
        ("^cookie", "clusters.main.balancing", "cookie needs more: {method: cookie, cookie: lbjwt_endpoint}"),
        ("{method: ^hashed}", "clusters.main.balancing.method", "hash"),
        ("{method: hash}", "clusters.main.balancing", "hash needs hash_on"),
        (
            "{method: hash, hash_on: ^ip}",
            "clusters.main.balancing.hash_on",
            "client_address, header:NAME, cookie:NAME or claim:NAME",
        ),
        ("{method: hash, hash_on: ^header}", "clusters.main.balancing.hash_on", "needs a name: header:NAME"),
        ('{method: hash, hash_on: ^"cookie:a b"}', "clusters.main.balancing.hash_on", "cookie:NAME"),
        ("{method: hash, hash_on: client_address, max_load: ^0.9}", "clusters.main.balancing.max_load", "at least 1"),
        ("{method: random, ^hash_on: client_address}", "clusters.main.balancing.hash_on", "has no effect with random"),
        ("{method: random, ^max_load: 2}", "clusters.main.balancing.max_load", "has no effect with random"),
        ("{method: random, ^cookie: a}", "clusters.main.balancing.cookie", "has no effect with random"),
        ('{method: cookie, cookie: ^"a=b"}', "clusters.main.balancing.cookie", "a cookie name"),
    ],
    ids=lambda value: value if isinstance(value, str) and "{" in value else "",
)
def test_an_error_names_the_key_and_what_is_possible(value: str, path: str, part: str) -> None:
    assert_told(GOOD, "random", value, path, part)
