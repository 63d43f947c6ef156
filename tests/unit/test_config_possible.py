"""What comparisons leave of a claim: contradictions are found, and nothing possible is called impossible."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.auth._rules import compile_rule
from lbjwt.config.checks.possible import Possible
from lbjwt.config.rule import Rule

Test = tuple[str, Any]


def left(*tests: Test) -> Possible:
    """A claim after some comparisons."""
    possible = Possible()
    for operator, operand in tests:
        possible.narrow(operator, operand)
    return possible


@pytest.mark.parametrize(
    "tests",
    [
        [("less_than", 1), ("more_than", 2)],
        [("less_than", 1), ("at_least", 1)],
        [("at_most", 1), ("more_than", 1)],
        [("at_most", 1), ("less_than", 1), ("at_least", 1)],
        [("equals", 1), ("more_than", 1)],
        [("equals", "1"), ("at_least", 1)],
        [("equals", 1), ("equals", True)],
        [("equals", "a"), ("equals", "b")],
        [("one_of", ("a", "b")), ("one_of", ("c", "d"))],
        [("one_of", (1, 2)), ("more_than", 2)],
        [("equals", "a"), ("contains", "a")],
        [("contains_word", "a"), ("contains", "a")],
        [("prefix", "a-"), ("prefix", "b-")],
        [("prefix", "a-"), ("equals", "b-c")],
        [("prefix", "a-"), ("less_than", 1)],
        [("exists", False), ("exists", True)],
        [("exists", False), ("equals", 1)],
        [("exists", False), ("contains_all", ("a",))],
    ],
)
def test_contradictions(tests: list[Test]):
    """In whatever order the comparisons come."""
    assert left(*tests).is_empty()
    assert left(*reversed(tests)).is_empty()


@pytest.mark.parametrize(
    "tests",
    [
        [],
        [("at_most", 1), ("at_least", 1)],
        [("less_than", 2), ("at_least", 1)],
        [("equals", 1), ("equals", 1.0)],
        [("one_of", ("a", "b")), ("one_of", ("b", "c"))],
        [("contains", "a"), ("contains", "b"), ("contains_any", ("c", "d"))],
        [("prefix", "a-"), ("prefix", "a-b-"), ("one_of", ("c", "a-b-c"))],
        [("contains_word", "a"), ("contains_all_words", ("b",)), ("prefix", "a ")],
        [("exists", True), ("equals", False)],
        [("exists", False)],
    ],
)
def test_what_is_possible(tests: list[Test]):
    """No warning for what some token can be."""
    assert not left(*tests).is_empty()
    assert not left(*reversed(tests)).is_empty()


numbers = st.integers(-3, 3) | st.floats(-3, 3).filter(math.isfinite)
texts = st.sampled_from(["a", "a-", "a-b", "b"])
scalars = numbers | texts | st.booleans()
tests_of_a_claim = st.one_of(
    st.tuples(st.sampled_from(["equals", "contains"]), scalars),
    st.tuples(
        st.sampled_from(["one_of", "contains_any", "contains_all"]),
        st.lists(texts, min_size=1, max_size=2, unique=True).map(tuple),
    ),
    st.tuples(st.sampled_from(["less_than", "at_most", "more_than", "at_least"]), numbers),
    st.tuples(st.just("prefix"), texts),
    st.tuples(st.just("contains_word"), texts),
    st.tuples(st.just("exists"), st.booleans()),
)


@given(st.lists(tests_of_a_claim, min_size=1, max_size=4), scalars | st.lists(texts, max_size=2) | st.just(...))
def test_a_token_that_passes_was_possible(tests: list[Test], value: Any):
    """Whatever a real judge lets through, the warnings must not call impossible."""
    claims = {} if value is ... else {"c": value}
    rules = [Rule.model_validate({"claim": "c", operator: operand}) for operator, operand in tests]
    if all(compile_rule(rule.claim_rule).judge(claims) == 1 for rule in rules):
        assert not left(*tests).is_empty()
