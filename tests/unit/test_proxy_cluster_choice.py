"""Which of several clusters a request goes to: shares that are kept over few requests, keys that stay, and claims of every shape."""

import json
from collections import Counter
from typing import Any

import pytest

from lbjwt._grants import Grant
from lbjwt.proxy._cluster_choice import ByClaim, Split
from tests.unit.auth_tokens import b64


def grant(**claims: Any) -> Grant:
    """A verified token with these claims."""
    return raw_grant(json.dumps(claims))


def raw_grant(payload: str) -> Grant:
    return Grant(f"e30.{b64(payload.encode())}.c2ln".encode())


# --- shares -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "weights",
    [{"api": 95, "canary": 5}, {"a": 1, "b": 1}, {"a": 1, "b": 2, "c": 3}, {"api": 999_999, "canary": 1}, {"one": 7}],
    ids=str,
)
@pytest.mark.parametrize("times", [100, 1000])
def test_a_split_keeps_its_shares_over_few_requests(weights: dict[str, int], times: int) -> None:
    """Each cluster gets its share within three requests of any hundred or thousand in a row, wherever the worker began."""
    split = Split(weights)
    for _ in range(20):
        seen = Counter(split.decide() for _ in range(times))
        for name, weight in weights.items():
            assert abs(seen[name] - times * weight / sum(weights.values())) <= 3, (name, seen)


def test_a_weight_of_0_gets_nothing_wherever_it_stands() -> None:
    """The first, the last and one between."""
    split = Split({"first": 0, "a": 3, "between": 0, "b": 1, "last": 0})
    assert Counter(split.decide() for _ in range(4000)).keys() == {"a", "b"}
    assert Counter(split.decide(None, b"x") for _ in range(100)).keys() == {"a", "b"}


def test_workers_do_not_begin_alike() -> None:
    """The first request after a start goes to each cluster by chance, so that many short lives do not add up to one cluster."""
    assert {Split({"a": 1, "b": 1}).decide() for _ in range(64)} == {"a", "b"}


@pytest.mark.parametrize("weights", [{}, {"a": 0}, {"a": 2, "b": -1}], ids=str)
def test_weights_that_say_nothing_are_refused(weights: dict[str, int]) -> None:
    """None, only 0, and less than that."""
    with pytest.raises(ValueError, match=r"weights|clusters"):
        Split(weights)


# --- keys ---------------------------------------------------------------------------------------------------------------


def test_a_client_stays_where_it_is() -> None:
    """Every worker, now and after a restart, sends an address to the same cluster, and all addresses together keep the shares."""
    addresses = [f"10.{at >> 8}.{at & 255}.9".encode() for at in range(4000)]
    one, other = (Split({"api": 90, "canary": 10}, by_address=True) for _ in range(2))
    went = [one.decide(None, address) for address in addresses]
    assert (
        went
        == [other.decide(None, address) for address in addresses]
        == [one.decide(None, address) for address in addresses]
    )
    assert 340 <= Counter(went)["canary"] <= 460


def test_more_weight_moves_nobody_back() -> None:
    """From 5 % to 20 % canary: everybody in the canary stays there, and about 15 % join them."""
    grants = [grant(sub=f"user-{at}") for at in range(4000)]
    before = Split({"api": 95, "canary": 5}, by_claim=["sub"])
    after = Split({"api": 80, "canary": 20}, by_claim=["sub"])
    moves = Counter((before.decide(one), after.decide(one)) for one in grants)
    assert moves["canary", "api"] == 0
    assert 500 <= moves["api", "canary"] <= 700 and 140 <= moves["canary", "canary"] <= 260


def test_a_key_is_read_from_the_token_once() -> None:
    """The same token goes to the same cluster, and two splits with other weights do not mistake each other's memory."""
    one = grant(sub="user-1")
    splits = [Split({"a": 1, "b": 1, "c": 1}, by_claim=["sub"]) for _ in range(3)] + [Split({"z": 1}, by_claim=["sub"])]
    first = [split.decide(one) for split in splits]
    assert first[0] == first[1] == first[2] and first[3] == "z"
    for _ in range(50):
        assert [split.decide(one) for split in splits] == first
        assert not any(split.drawn for split in splits)


@pytest.mark.parametrize("value", [7, 7.5, True, "", "x" * 100_000, "ä\u0000"], ids=lambda value: repr(value)[:20])
def test_text_numbers_and_booleans_are_keys(value: Any) -> None:
    """Each goes one way, every time."""
    split = Split({"a": 1, "b": 1}, by_claim=["key"])
    assert len({split.decide(grant(key=value)) for _ in range(20)}) == 1


@pytest.mark.parametrize("claims", [{}, {"key": None}, {"key": ["a"]}, {"key": {"a": 1}}, {"other": "x"}], ids=str)
def test_without_a_key_requests_are_shared_out(claims: dict[str, Any]) -> None:
    """A token without the claim, or with a list or an object in it, keeps the shares like any request; so does one without a token."""
    split = Split({"a": 1, "b": 1}, by_claim=["key"])
    one = grant(**claims)
    assert abs(Counter(split.decide(one) for _ in range(100))["a"] - 50) <= 3
    assert split.drawn
    assert abs(Counter(split.decide() for _ in range(100))["a"] - 50) <= 3


# --- claims -------------------------------------------------------------------------------------------------------------

NAMES, TENANTS = ("eu", "us", "rest"), {"acme": 0, "Ächme 2": 0, "globex": 1, "true": 1, "7": 1}
MISSES: dict[str, Any] = {
    "missing": ...,
    "null": None,
    "empty": "",
    "another": "initech",
    "other case": "Acme",
    "with a space": "acme ",
    "decomposed": "A\u0308chme 2",
    "a list of it": ["acme"],
    "an object of it": {"acme": "acme"},
    "a number": 7,
    "a boolean": True,
    "100 KiB": "acme" * 25_600,
    "lone surrogate": "\ud800",
    "NUL after it": "acme\0",
}


@pytest.mark.parametrize("value", MISSES.values(), ids=MISSES)
def test_what_is_not_exactly_the_text_chooses_nothing(value: Any) -> None:
    """With a default it goes there, without one nowhere; also when asked again."""
    one = grant() if value is ... else grant(tenant=value)
    for default, expected in ((None, None), (2, "rest")):
        choice = ByClaim(["tenant"], NAMES, TENANTS, default=default)
        assert [choice.decide(one) for _ in range(3)] == [expected] * 3


@pytest.mark.parametrize(
    ("value", "expected"), [("acme", "eu"), ("Ächme 2", "eu"), ("globex", "us"), ("true", "us"), ("7", "us")]
)
def test_the_text_of_a_claim_chooses(value: str, expected: str) -> None:
    """Compared as it stands; a token is remembered for each choice by itself."""
    one = grant(tenant=value)
    choices = [ByClaim(["tenant"], NAMES, TENANTS) for _ in range(12)]  # more than a token remembers
    assert [choice.decide(one) for _ in range(3) for choice in choices] == [expected] * 36


def test_a_claim_inside_claims_chooses() -> None:
    """Step by step through objects; anything else on the way chooses nothing, and a dot is no step."""
    choice = ByClaim(["org", "id"], NAMES, TENANTS)
    assert choice.decide(grant(org={"id": "acme"})) == "eu"
    for claims in (
        {"org": "acme"},
        {"org": [{"id": "acme"}]},
        {"org": {"id": {"id": "acme"}}},
        {"org.id": "acme"},
        {"id": "acme"},
    ):
        assert choice.decide(grant(**claims)) is None


def test_a_payload_with_the_claim_twice_chooses_nothing() -> None:
    """Two readers would take different ones (THREATS A9); the verifier refuses such a token before."""
    assert ByClaim(["tenant"], NAMES, TENANTS).decide(raw_grant('{"tenant":"acme","tenant":"globex"}')) is None


def test_without_a_token_there_is_no_claim() -> None:
    """The default, or none."""
    assert ByClaim(["tenant"], NAMES, TENANTS).decide() is None
    assert ByClaim(["tenant"], NAMES, TENANTS, default=0).decide() == "eu"
