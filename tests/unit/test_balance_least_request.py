"""Least request: fewest in flight for the weight; of equals the turn goes round by weight; nothing goes to what is not usable."""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.balance._least_request import LeastRequest


def shares(rule: LeastRequest, usable: list[bool], requests: int) -> list[int]:
    """What each candidate gets of requests that come one after another, so that none is ever in flight."""
    idle = [0] * len(usable)
    counts: Counter[int] = Counter()
    for _ in range(requests):
        at = rule.pick(idle, usable)
        rule.take(at)
        counts[at] += 1
    return [counts[at] for at in range(len(usable))]


@pytest.mark.parametrize(
    ("loads", "weights", "picked"),
    [
        pytest.param([3, 1, 2], [1, 1, 1], 1, id="fewest in flight"),
        pytest.param([3, 1], [4, 1], 0, id="3 for 4 is less than 1 for 1"),
        pytest.param([4, 1], [2, 1], 1, id="4 for 2 is more than 1 for 1"),
        pytest.param([7], [1], 0, id="the only one"),
        pytest.param([2**40, 2**40 + 1], [1000, 1000], 0, id="no overflow"),
    ],
)
def test_the_least_loaded_for_its_weight_is_picked(loads: list[int], weights: list[int], picked: int) -> None:
    """Requests in flight are compared per weight."""
    assert LeastRequest(weights).pick(loads, [True] * len(loads)) == picked


@pytest.mark.parametrize(
    ("weights", "usable", "requests", "expected"),
    [
        pytest.param([1, 1, 1], [True] * 3, 60, [20, 20, 20], id="equal weights"),
        pytest.param([4, 1, 1], [True] * 3, 60, [40, 10, 10], id="weights 4, 1, 1"),
        pytest.param([1, 1, 1], [True, False, True], 60, [30, 0, 30], id="one of three is dead"),
        pytest.param(
            [5, 3, 2, 2],
            [True, True, False, True],
            100,
            [50, 30, 0, 20],
            id="the dead one's share goes to all by weight",
        ),
    ],
)
def test_requests_one_after_another_are_shared_by_weight(
    weights: list[int], usable: list[bool], requests: int, expected: list[int]
) -> None:
    """With nothing in flight the turn goes round by weight, and an endpoint that is passed over gives its turn to all."""
    assert shares(LeastRequest(weights), usable, requests) == pytest.approx(expected, abs=1)


def test_an_endpoint_that_comes_back_gets_its_share_and_no_more() -> None:
    """What an endpoint missed while it was passed over is not made up for."""
    rule = LeastRequest([1, 1, 1])
    assert shares(rule, [True, True, False], 100) == [50, 50, 0]
    assert shares(rule, [True, True, True], 30) == pytest.approx([10, 10, 10], abs=1)


def test_to_ask_changes_nothing() -> None:
    """The question may be asked any number of times before a request is sent; only taking moves the turn on."""
    rule = LeastRequest([1, 1])
    assert [rule.pick([0, 0], [True, True]) for _ in range(3)] == [0, 0, 0]
    rule.take(0)
    assert rule.pick([0, 0], [True, True]) == 1


def test_nothing_usable_is_nothing() -> None:
    """-1 when no candidate may be picked, also when there is none."""
    assert LeastRequest([1, 1]).pick([0, 0], [False, False]) == -1
    assert LeastRequest([]).pick([], []) == -1


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(1, 1000), st.booleans()), min_size=1, max_size=64),
    st.lists(st.integers(0, 63), max_size=20),
)
def test_no_usable_candidate_is_less_loaded(candidates: list[tuple[int, int, bool]], taken: list[int]) -> None:
    """Compared in exact fractions, no usable candidate carries less than the one picked, whatever was taken before."""
    loads, weights, usable = (list(column) for column in zip(*candidates, strict=True))
    rule = LeastRequest(weights)
    for at in taken:
        if at < len(weights):
            rule.take(at)
    least = min((Fraction(load, weight) for load, weight, may in candidates if may), default=None)
    at = rule.pick(loads, usable)
    assert (at == -1) if least is None else (usable[at] and Fraction(loads[at], weights[at]) == least)


@pytest.mark.parametrize("arguments", [([0, 0], [True]), ([0], [True, True]), ([0] * 3, [True] * 3)])
def test_lists_of_another_length_are_refused(arguments: tuple[list[int], list[bool]]) -> None:
    """There are as many loads and flags as candidates."""
    with pytest.raises(ValueError, match="candidates"):
        LeastRequest([1, 1]).pick(*arguments)


def test_more_candidates_than_there_is_room_for_are_refused() -> None:
    """Over 64 weights raise ValueError."""
    with pytest.raises(ValueError, match="64"):
        LeastRequest([1] * 65)
