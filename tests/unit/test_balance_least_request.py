"""Least request: fewest in flight for the weight, ties by turn, nobody who is not usable."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.balance._least_request import pick


@pytest.mark.parametrize(
    ("loads", "weights", "picked"),
    [
        pytest.param([3, 1, 2], [1, 1, 1], 1, id="fewest in flight"),
        pytest.param([0, 0], [1, 5], 1, id="idle: the heavier one"),
        pytest.param([3, 1], [4, 1], 0, id="3 of 4 is less than 1 of 1 with this request"),
        pytest.param([4, 1], [2, 1], 1, id="2 to 1 leaves room at the lighter one"),
        pytest.param([7], [1], 0, id="the only one"),
        pytest.param([2**40, 2**40 + 1], [1000, 1000], 0, id="no overflow"),
    ],
)
def test_the_least_loaded_for_its_weight_is_picked(loads: list[int], weights: list[int], picked: int) -> None:
    """What counts is the load with the new request on top, per weight."""
    assert pick(loads, weights, [True] * len(loads)) == picked


def test_ties_take_turns() -> None:
    """Of equals the first at or after the turn is taken, round the end of the list."""
    assert [pick([1, 1, 1], [1, 1, 1], [True] * 3, first) for first in range(3)] == [0, 1, 2]
    assert pick([1, 1, 1], [1, 1, 1], [True, False, False], 1) == 0


def test_nobody_usable_is_nobody() -> None:
    """-1 when no candidate may be picked, also when there is none."""
    assert pick([0, 0], [1, 1], [False, False]) == -1
    assert pick([], [], []) == -1


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(1, 1000), st.booleans()), min_size=1, max_size=64), st.data()
)
def test_no_usable_candidate_is_less_loaded(candidates: list[tuple[int, int, bool]], data: st.DataObject) -> None:
    """Compared in exact fractions, nobody usable carries less than the one picked, and equals before it in turn there are none."""
    first = data.draw(st.integers(0, len(candidates) - 1))
    loads, weights, flags = (list(column) for column in zip(*candidates, strict=True))
    at = pick(loads, weights, flags, first)
    order = [(first + step) % len(candidates) for step in range(len(candidates))]
    usable = [index for index in order if candidates[index][2]]
    expected = min(usable, key=lambda index: Fraction(candidates[index][0] + 1, candidates[index][1]), default=-1)
    assert at == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ([0] * 65, [1] * 65, [True] * 65),
        ([0], [1, 1], [True]),
        ([0], [1], []),
        ([0], [1], [True], 1),
        ([0], [1], [True], -1),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[list[int], ...]) -> None:
    """Lists of different length, over 64 candidates and a turn that is no index raise ValueError."""
    with pytest.raises(ValueError, match="candidates"):
        pick(*arguments)  # type: ignore[arg-type]
