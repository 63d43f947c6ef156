"""Claim rules: THREATS C12 to C15, and the logic that never takes a doubt for a yes."""

import json
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.auth._rules import compile_rule
from lbjwt.auth.rules import OPERATORS, AllOf, AnyOf, ClaimRule, ClaimTest, Not, path_text
from lbjwt.errors import ConfigurationError

YES, NO, UNKNOWN = 1, 0, -1


def judge(operator: str, operand: Any, value: Any) -> int:
    """What one test says of the claim `c`, and that its denial says the opposite or is as unknown."""
    test = ClaimTest(("c",), operator, operand)
    verdict = compile_rule(test).judge({"c": value})
    assert compile_rule(Not(test)).judge({"c": value}) == {YES: NO, NO: YES, UNKNOWN: UNKNOWN}[verdict]
    return verdict


@pytest.mark.parametrize(
    ("operator", "operand", "value", "expected"),
    [
        ("equals", "acme", "acme", YES),
        ("equals", "acme", "acme ", NO),
        ("equals", "acme", "Acme", NO),
        ("equals", "", "", YES),
        ("equals", "é", "e\u0301", NO),  # one look, two texts: nothing is normalised
        ("equals", 1, 1, YES),
        ("equals", 1, 1.0, YES),
        ("equals", 1.5, 1.5, YES),
        ("equals", 1, 2, NO),
        ("equals", True, True, YES),
        ("equals", True, False, NO),
        ("equals", False, False, YES),
        ("one_of", ("a", "b"), "b", YES),
        ("one_of", ("a", "b"), "c", NO),
        ("one_of", ("a", "b"), "a b", NO),
        ("one_of", (1, 2.0), 2, YES),
        ("contains", "admin", ["user", "admin"], YES),
        ("contains", "admin", ["nonadmin"], NO),
        ("contains", "admin", [], NO),
        ("contains", 2, [1, 2.0], YES),
        ("contains_any", ("a", "b"), ["x", "b"], YES),
        ("contains_any", ("a", "b"), ["x"], NO),
        ("contains_all", ("a", "b"), ["b", "x", "a"], YES),
        ("contains_all", ("a", "b"), ["a", "x"], NO),
        ("contains_all", ("a", "b"), [], NO),
        ("contains_word", "b", "a b c", YES),
        ("contains_word", "b", "b", YES),
        ("contains_word", "b", "ab bc B b. b-c b:c", NO),
        ("contains_word", "b", "a\tb\u00a0b\nb,b", NO),  # the space alone parts words (RFC 6749 section 3.3)
        ("contains_word", "b", "  a   b ", YES),
        ("contains_word", "b", "", NO),
        ("contains_any_word", ("a", "b"), "x b", YES),
        ("contains_any_word", ("a", "b"), "x ab", NO),
        ("contains_all_words", ("a", "b"), "b x a", YES),
        ("contains_all_words", ("a", "b"), "a x a", NO),
        ("less_than", 5, 4, YES),
        ("less_than", 5, 5, NO),
        ("less_than", 5, 4.999, YES),
        ("at_most", 5, 5, YES),
        ("at_most", 5, 5.001, NO),
        ("more_than", 5, 6, YES),
        ("more_than", 5, 5, NO),
        ("at_least", 5, 5, YES),
        ("at_least", 5, 4, NO),
        ("at_least", -5, -5.0, YES),
        ("at_least", 2**53, 2**53, YES),
        ("prefix", "https://", "https://x", YES),
        ("prefix", "https://", "https://", YES),
        ("prefix", "https://", "https:/", NO),
        ("prefix", "https://", "HTTPS://x", NO),
        ("prefix", "a.b", "aXb", NO),
        ("exists", None, "", YES),
        ("exists", None, 0, YES),
        ("exists", None, False, YES),
        ("exists", None, [], YES),
        ("exists", None, {}, YES),
        ("exists", None, None, NO),
    ],
)
def test_each_operator(operator: str, operand: Any, value: Any, expected: int):
    """Whole texts, numbers as numbers, members of lists; the edge of every comparison."""
    assert judge(operator, operand, value) == expected


OTHER_KINDS: dict[str, list[Any]] = {
    "text": [1, 0, 1.0, True, False, None, ["x"], {"x": 1}, []],
    "number": ["1", "", True, False, None, [1], {"1": 1}, 2**53 + 1, -(2**53) - 1, 1e300, float("nan"), float("inf")],
    "boolean": [1, 0, 1.0, 0.0, "true", "false", "", None, [True], {}],
    "texts": ["admin", "a b", 1, None, {"admin": 1}, [1], ["admin", 1], ["admin", None], ["admin", ["x"]], [True]],
    "numbers": [1, "1", [True], ["1"], [1, "1"], [1, True], [1, None], [1, 2**60], {}],
}


@pytest.mark.parametrize(
    ("operator", "operand", "kind"),
    [
        ("equals", "x", "text"),
        ("one_of", ("x", "1", "true"), "text"),
        ("prefix", "x", "text"),
        ("contains_word", "x", "text"),
        ("contains_any_word", ("x", "1"), "text"),
        ("contains_all_words", ("x",), "text"),
        ("equals", 1, "number"),
        ("equals", 0, "number"),
        ("one_of", (0, 1), "number"),
        ("less_than", 5, "number"),
        ("at_most", 5, "number"),
        ("more_than", -5, "number"),
        ("at_least", -5, "number"),
        ("equals", True, "boolean"),
        ("equals", False, "boolean"),
        ("contains", "admin", "texts"),
        ("contains_any", ("admin", "x"), "texts"),
        ("contains_all", ("admin",), "texts"),
        ("contains", 1, "numbers"),
        ("contains_any", (0, 1), "numbers"),
        ("contains_all", (1,), "numbers"),
    ],
)
def test_c12_another_kind_is_never_equal_and_never_different(operator: str, operand: Any, kind: str):
    """1, "1" and true are three kinds: a rule on one of them passes for no other, and neither does its denial."""
    for value in OTHER_KINDS[kind]:
        assert judge(operator, operand, value) == UNKNOWN, value


def test_c12_the_cases_of_the_register():
    """{"admin": 1} and {"admin": "true"} are no admins to a rule that asks for true."""
    rule = compile_rule(ClaimTest(("admin",), "equals", True))
    assert rule.judge({"admin": True}) == YES
    for claims in ({"admin": 1}, {"admin": "true"}, {"admin": 1.0}, {"admin": [True]}, {}):
        assert rule.judge(claims) == UNKNOWN


def test_c13_a_dot_in_a_name_is_a_dot():
    """The claim a.b, the claim b in a, and a name that is an address are three claims."""
    literal, nested = ClaimTest(("a.b",), "equals", 1), ClaimTest(("a", "b"), "equals", 1)
    for rule, claims, expected in (
        (literal, {"a.b": 1}, YES),
        (literal, {"a": {"b": 1}}, UNKNOWN),
        (nested, {"a": {"b": 1}}, YES),
        (nested, {"a.b": 1}, UNKNOWN),
        (nested, {"a": {"b": 2}, "a.b": 1}, NO),
        (ClaimTest(("https://x.example/roles", "0"), "equals", 1), {"https://x.example/roles": {"0": 1}}, YES),
        (ClaimTest(("https://x.example/roles", "0"), "equals", 1), {"https://x.example/roles": [1]}, UNKNOWN),
    ):
        assert compile_rule(rule).judge(claims) == expected
    assert path_text(("a.b",)) == '"a.b"'
    assert path_text(("a", "b")) == "a.b"
    assert path_text(('a"."b', "x y")) == '"a\\".\\"b"."x y"'


@pytest.mark.parametrize(
    "email", ["a@x.com@evil.example", "a@evil.example", "a@x.com.evil", "\u0430@x.com", "A@x.com", "a@x.com "]
)
def test_c14_addresses_are_texts(email: str):
    """No address is taken apart: whoever lists a@x.com lets in a@x.com and no lookalike."""
    assert judge("one_of", ("a@x.com", "b@x.com"), email) == NO
    assert judge("one_of", ("a@x.com", "b@x.com"), "a@x.com") == YES


@pytest.mark.parametrize("pattern", ["a.c", "a*", ".*", "[a-z]+", "^abc$", "(a+)+$", "a?c", "\\w+"])
def test_c15_no_operand_is_a_pattern(pattern: str):
    """What looks like a regular expression or a glob is compared as it stands, and there is no operator for either."""
    for value in ("abc", "aac", "ac", "a" * 50, ""):
        assert judge("equals", pattern, value) == NO
        assert judge("one_of", (pattern,), value) == NO
        assert judge("contains", pattern, [value]) == NO
        assert judge("prefix", pattern, value) == NO
    assert judge("equals", pattern, pattern) == YES
    for operator in ("regex", "matches", "glob", "suffix", "EQUALS", ""):
        with pytest.raises(ConfigurationError):
            ClaimTest(("c",), operator, pattern)


def test_what_is_not_there_is_unknown_to_all_tests_but_exists():
    """A missing claim passes no rule and no denial, save the one that asks for its absence; null is missing."""
    operands: dict[str, Any] = dict.fromkeys(OPERATORS, 1) | {"prefix": "x", "contains_word": "x", "exists": None}
    operands |= dict.fromkeys(("one_of", "contains_any", "contains_all"), (1,))
    operands |= dict.fromkeys(("contains_any_word", "contains_all_words"), ("x",))
    for operator in OPERATORS:
        for path in (("c",), ("a", "c"), ("a", "b", "c")):
            rule = ClaimTest(path, operator, operands[operator])
            for claims in ({}, {"c": None, "a": None}, {"a": {}}, {"a": {"b": None, "c": None}}, {"a": {"b": {}}}):
                assert compile_rule(rule).judge(claims) == (NO if operator == "exists" else UNKNOWN)
                assert compile_rule(Not(rule)).judge(claims) == (YES if operator == "exists" else UNKNOWN)


def test_a_path_through_what_is_no_object_is_unknown_even_to_exists():
    """Whether a.b is there cannot be said where a is a text, so that neither answer passes."""
    rule = ClaimTest(("a", "b"), "exists")
    for value in ("b", ["b"], 5, True, [{"b": 1}]):
        assert compile_rule(rule).judge({"a": value}) == UNKNOWN
        assert compile_rule(Not(rule)).judge({"a": value}) == UNKNOWN
    assert compile_rule(rule).judge({"a": {"b": []}}) == YES


TRUE, FALSE, DOUBT = (ClaimTest((name,), "equals", True) for name in ("t", "f", "d"))
THREE = {"t": True, "f": False, "d": "neither"}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (AllOf((TRUE, TRUE)), YES),
        (AllOf((TRUE, FALSE)), NO),
        (AllOf((TRUE, DOUBT)), UNKNOWN),
        (AllOf((DOUBT, FALSE)), NO),
        (AllOf((DOUBT, DOUBT)), UNKNOWN),
        (AnyOf((FALSE, FALSE)), NO),
        (AnyOf((FALSE, TRUE)), YES),
        (AnyOf((DOUBT, TRUE)), YES),
        (AnyOf((DOUBT, FALSE)), UNKNOWN),
        (AnyOf((DOUBT, DOUBT)), UNKNOWN),
        (Not(TRUE), NO),
        (Not(FALSE), YES),
        (Not(DOUBT), UNKNOWN),
        (Not(AnyOf((DOUBT, FALSE))), UNKNOWN),
        (Not(AllOf((DOUBT, TRUE))), UNKNOWN),
        (Not(Not(DOUBT)), UNKNOWN),
    ],
)
def test_how_rules_are_joined(rule: ClaimRule, expected: int):
    """Kleene's tables: a doubt counts only where the rest has settled the matter."""
    assert compile_rule(rule).judge(THREE) == expected


NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.one_of(
    st.sampled_from(["", "x", "1", "true", "x 1", " x  y"]),
    st.integers(-3, 3),
    st.sampled_from([1.0, 0.5, -2.0]),
    st.booleans(),
)
VALUES = st.recursive(
    st.one_of(SCALARS, st.none(), st.sampled_from([2**53, 2**60])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)
CLAIMS = st.dictionaries(NAMES, VALUES, max_size=3)
PATHS = st.lists(NAMES, min_size=1, max_size=2).map(tuple)
ONE_KIND = st.one_of(
    st.lists(st.sampled_from(["", "x", "1", "true"]), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from([0, 1, 1.0, 0.5, -2]), min_size=1, max_size=3, unique=True),
    st.lists(st.booleans(), min_size=1, max_size=2, unique=True),
).map(tuple)
TESTS = st.one_of(
    st.builds(ClaimTest, PATHS, st.sampled_from(["equals", "contains"]), SCALARS),
    st.builds(ClaimTest, PATHS, st.sampled_from(["one_of", "contains_any", "contains_all"]), ONE_KIND),
    st.builds(ClaimTest, PATHS, st.just("contains_word"), st.sampled_from(["x", "1"])),
    st.builds(ClaimTest, PATHS, st.sampled_from(["contains_any_word", "contains_all_words"]), st.just(("x", "1"))),
    st.builds(ClaimTest, PATHS, st.sampled_from(["less_than", "at_most", "more_than", "at_least"]), st.integers(-3, 3)),
    st.builds(ClaimTest, PATHS, st.just("prefix"), st.sampled_from(["x", "1", "tr"])),
    st.builds(ClaimTest, PATHS, st.just("exists")),
)
RULES = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda rules: AllOf(tuple(rules))),
        st.lists(inner, min_size=1, max_size=3).map(lambda rules: AnyOf(tuple(rules))),
        inner.map(Not),
    ),
    max_leaves=6,
)


def json_kind(value: Any) -> str:
    """The kind a value has in JSON text, read from the text."""
    first = json.dumps(value)[0]
    return {'"': "text", "t": "boolean", "f": "boolean", "n": "null", "[": "list", "{": "object"}.get(first, "number")


def plainly(test: ClaimTest, claims: dict[str, Any]) -> bool | None:
    """The same test, written a second time without any thought of speed; None for unknown."""
    value: Any = claims
    for name in test.path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
        if value is None:
            return False if test.operator == "exists" else None
    if test.operator == "exists":
        return True
    wanted = list(test.operand) if isinstance(test.operand, tuple) else [test.operand]
    members = value if test.operator.startswith("contains") else [value]
    if "word" in test.operator:
        members = value.split(" ") if isinstance(value, str) else None
    if not isinstance(members, list) or any(json_kind(member) != json_kind(wanted[0]) for member in members):
        return None
    if any(json_kind(member) == "number" and abs(member) > 2**53 for member in members):
        return None
    if test.operator == "prefix":
        return json_kind(wanted[0]) == "text" and value[: len(wanted[0])] == wanted[0]
    if test.operator in ("less_than", "at_most", "more_than", "at_least"):
        (bound,) = wanted
        return {
            "less_than": value < bound,
            "at_most": value <= bound,
            "more_than": value > bound,
            "at_least": value >= bound,
        }[test.operator]
    hits = [any(member == one for member in members) for one in wanted]
    return all(hits) if test.operator.startswith("contains_all") else any(hits)


@given(TESTS, CLAIMS)
def test_c12_every_test_agrees_with_its_plain_twin(test: ClaimTest, claims: dict[str, Any]):
    """Whatever the claims and the operand are, the compiled test says what the definition says."""
    expected = plainly(test, claims)
    assert compile_rule(test).judge(claims) == (UNKNOWN if expected is None else int(expected))


def leaves(rule: ClaimRule) -> list[ClaimTest]:
    """The tests of a rule, from left to right."""
    if isinstance(rule, ClaimTest):
        return [rule]
    if isinstance(rule, Not):
        return leaves(rule.rule)
    return [test for member in rule.rules for test in leaves(member)]


def in_two_values(rule: ClaimRule, answers: list[bool]) -> bool:
    """A rule with the answers of its tests given, taken from the front of the list."""
    if isinstance(rule, ClaimTest):
        return answers.pop(0)
    if isinstance(rule, Not):
        return not in_two_values(rule.rule, answers)
    results = [in_two_values(member, answers) for member in rule.rules]
    return all(results) if isinstance(rule, AllOf) else any(results)


@given(RULES, CLAIMS)
def test_a_rule_never_passes_because_of_a_doubt(rule: ClaimRule, claims: dict[str, Any]):
    """What passes would pass, and what is false would be false, whichever way each missing or ill-typed claim had answered."""
    verdict = compile_rule(rule).judge(claims)
    known = [plainly(test, claims) for test in leaves(rule)]
    for guess in product((True, False), repeat=known.count(None)):
        guesses = list(guess)
        answers = [guesses.pop(0) if answer is None else answer for answer in known]
        if verdict != UNKNOWN:
            assert in_two_values(rule, answers) is (verdict == YES)
    if None not in known:
        assert verdict != UNKNOWN


@given(RULES, CLAIMS)
def test_a_rule_and_its_denial_never_both_pass(rule: ClaimRule, claims: dict[str, Any]):
    """And when neither does, both are unknown."""
    verdict, denied = compile_rule(rule).judge(claims), compile_rule(Not(rule)).judge(claims)
    assert (verdict, denied) in ((YES, NO), (NO, YES), (UNKNOWN, UNKNOWN))


def test_a_rule_can_be_read():
    """Its text says what is asked, in visible characters."""
    rule = AllOf(
        (
            AnyOf((ClaimTest(("realm_access", "roles"), "contains", "admin"), ClaimTest(("level",), "at_least", 3))),
            Not(ClaimTest(("https://x.example/state",), "one_of", ("locked", "gone\n"))),
        )
    )
    assert str(rule) == (
        '((realm_access.roles contains "admin" or level at least 3) and not "https://x.example/state" one of "locked", "gone\\n")'
    )


@pytest.mark.parametrize(
    ("path", "operator", "operand"),
    [
        ((), "exists", None),
        (("",), "exists", None),
        (("a", ""), "exists", None),
        (("a",) * 9, "exists", None),
        (("a" * 257,), "exists", None),
        (("a\n",), "exists", None),
        (("a",), "exists", 1),
        (("a",), "equals", None),
        (("a",), "equals", ("x",)),
        (("a",), "equals", ["x"]),
        (("a",), "equals", {"x": 1}),
        (("a",), "equals", float("nan")),
        (("a",), "equals", float("inf")),
        (("a",), "equals", 2**53 + 1),
        (("a",), "one_of", ()),
        (("a",), "one_of", "x"),
        (("a",), "one_of", ["x"]),
        (("a",), "one_of", ("x", 1)),
        (("a",), "one_of", (1, True)),
        (("a",), "one_of", tuple(range(1001))),
        (("a",), "one_of", ("x", "x")),
        (("a",), "equals", "x" * 1025),
        (("a",), "contains", ("x",)),
        (("a",), "contains_any", "x"),
        (("a",), "contains_all", ()),
        (("a",), "contains_word", "a b"),
        (("a",), "contains_word", ""),
        (("a",), "contains_word", 1),
        (("a",), "contains_any_word", ("a", "b c")),
        (("a",), "contains_all_words", (True,)),
        (("a",), "contains_all_words", "a"),
        (("a",), "less_than", "5"),
        (("a",), "at_least", True),
        (("a",), "prefix", ""),
        (("a",), "prefix", 5),
    ],
)
def test_impossible_tests_cannot_be_made(path: Any, operator: str, operand: Any):
    """A test that exists is one that some claim can meet."""
    with pytest.raises(ConfigurationError):
        ClaimTest(path, operator, operand)


def test_impossible_rules_cannot_be_made():
    """Of no rules, "all" would be true for everybody: it cannot be said. Depth and number are bounded."""
    for join in (AllOf, AnyOf):
        for members in ((), [], [TRUE]):
            with pytest.raises(ConfigurationError):
                join(members)
    deep: ClaimRule = TRUE
    for _ in range(7):
        deep = Not(deep)
    assert compile_rule(deep).judge(THREE) == NO
    with pytest.raises(ConfigurationError, match="at most 8 levels deep"):
        Not(deep)
    with pytest.raises(ConfigurationError, match="at most 8 levels deep"):
        AllOf((TRUE, deep))
    with pytest.raises(ConfigurationError):
        AllOf((TRUE,) * 65)
    wide = AllOf((TRUE,) * 64)
    assert compile_rule(AllOf((wide,) * 4)).judge(THREE) == YES
    with pytest.raises(ConfigurationError, match="at most 256 comparisons"):
        AllOf((wide, wide, wide, wide, TRUE))
    with pytest.raises(ConfigurationError):
        compile_rule("sub equals x")
