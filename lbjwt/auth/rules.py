"""
Claim rules as plain values: one test of one claim, and how tests are joined. `_rules` compiles them; nothing here judges.

Text is compared whole or by its beginning: no regular expressions (THREATS C15), no conversion, no case folding, no parsing of addresses (C14).
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from lbjwt.errors import ConfigurationError

OPERATORS = (
    *("equals", "one_of", "contains", "contains_any", "contains_all"),
    *("contains_word", "contains_any_word", "contains_all_words"),
    *("less_than", "at_most", "more_than", "at_least", "prefix", "exists"),
)
LIST_OPERATORS = frozenset({"one_of", "contains_any", "contains_all", "contains_any_word", "contains_all_words"})
WORD_OPERATORS = frozenset({"contains_word", "contains_any_word", "contains_all_words"})
NUMBER_OPERATORS = frozenset({"less_than", "at_most", "more_than", "at_least"})

MAX_NUMBER = 2**53  # beyond, two numbers of a JSON text can be one double (RFC 7493 section 2.2)
MAX_PATH = 8  # names of a path
MAX_NAME = 256  # characters of a name
MAX_TEXT = 1024  # characters of a text that is compared with
MAX_VALUES = 1000  # of one test: a list that long belongs into the issuer
MAX_RULES = 64  # in one group, and of one route
MAX_DEPTH = 8  # levels of all, any and not: judged by recursion, and nobody reads more
MAX_TESTS = 256  # in one rule: a token is judged in microseconds, not milliseconds

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class ClaimTest:
    """
    One test of one claim. Its result is true, false or unknown; only true passes.

    It is unknown when the claim is missing or null, or of another kind (text, number, boolean, list) than the test compares. Integers and
    fractions are one kind: 1 equals 1.0. A boolean is no number, and "1" does not equal 1 (THREATS C12). A number beyond 2^53 and a list with
    a member of another kind are of no kind.

    Attributes:
        path: Names from the claims inward; a dot is part of a name (THREATS C13).
        operator: `equals` and `one_of` compare text, a number or a boolean; `contains`, `contains_any` and `contains_all` look for members
            of a list; `contains_word`, `contains_any_word` and `contains_all_words` for whole words of a text, separated by spaces alone as in
            scopes (RFC 6749 section 3.3, RFC 8693 section 4.2); `less_than`, `at_most`, `more_than` and `at_least` compare numbers;
            `prefix` compares the beginning of a text; `exists` is false for a claim that is missing or null.
        operand: Text, a number or a boolean; a tuple of these for one_of, contains_any…, contains_all…; for exists False when the claim
            must be missing.

    Raises:
        ConfigurationError: An unknown operator, or a path or operand that it cannot use.
    """

    path: tuple[str, ...]
    operator: str
    operand: Any = None
    depth: ClassVar[int] = 1
    tests: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_claim_path(self.path)
        check_operand(self.operator, self.operand)

    def __str__(self) -> str:
        words = f"{path_text(self.path)} {self.operator.replace('_', ' ')}"
        if self.operator == "exists":
            return f"not {words}" if self.operand is False else words
        values = self.operand if self.operator in LIST_OPERATORS else (self.operand,)
        return f"{words} {', '.join(map(json.dumps, values))}"


@dataclass(frozen=True, slots=True)
class _Group:
    rules: "tuple[ClaimRule, ...]"

    def __post_init__(self) -> None:
        # An empty `all` would be true, an empty `any` false.
        if type(self.rules) is not tuple or not 1 <= len(self.rules) <= MAX_RULES:
            raise ConfigurationError(f"all and any must have 1 to {MAX_RULES} rules")
        if self.tests > MAX_TESTS:
            raise ConfigurationError(f"a rule can have at most {MAX_TESTS} comparisons")
        _check_depth(self.depth)

    @property
    def depth(self) -> int:
        return 1 + max(rule.depth for rule in self.rules)

    @property
    def tests(self) -> int:
        return sum(rule.tests for rule in self.rules)


class AllOf(_Group):
    """True when every rule is; false when one is false; else unknown."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"({' and '.join(map(str, self.rules))})"


class AnyOf(_Group):
    """True when one rule is; false when every one is false; else unknown."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"({' or '.join(map(str, self.rules))})"


@dataclass(frozen=True, slots=True)
class Not:
    """True for false and false for true. Unknown stays unknown, so a claim of the wrong type never passes by negation."""

    rule: "ClaimRule"

    def __post_init__(self) -> None:
        _check_depth(self.depth)

    @property
    def depth(self) -> int:
        return 1 + self.rule.depth

    @property
    def tests(self) -> int:
        return self.rule.tests

    def __str__(self) -> str:
        return f"not {self.rule}"


ClaimRule = ClaimTest | AllOf | AnyOf | Not


def path_text(path: Iterable[str]) -> str:
    """A path for people: names joined with dots; a name with other characters than letters, digits, `_` and `-` is quoted."""
    return ".".join(name if _PLAIN_NAME.fullmatch(name) else json.dumps(name) for name in path)


def check_claim_path(path: Sequence[str]) -> None:
    if not 1 <= len(path) <= MAX_PATH:
        raise ConfigurationError(f"the path to a claim must have 1 to {MAX_PATH} names")
    for at, name in enumerate(path):
        place = (at,) if len(path) > 1 else ()
        if type(name) is not str:
            raise ConfigurationError("must be text", *place)
        if not 1 <= len(name) <= MAX_NAME:
            raise ConfigurationError(f"the name of a claim must have 1 to {MAX_NAME} characters", *place)
        if not name.isprintable():
            raise ConfigurationError("contains an invisible character; remove it", *place)


def check_operand(operator: str, operand: Any) -> None:
    """ConfigurationError for an operand that the operator cannot use, with the index of the value in a list."""
    if operator not in OPERATORS:
        raise ConfigurationError(f"{operator!r} is not an operator; the operators are {', '.join(OPERATORS)}")
    if operator == "exists":
        if operand is not None and type(operand) is not bool:
            raise ConfigurationError("must be true or false")
        return
    if operator not in LIST_OPERATORS:
        _check_value(operator, operand)
        return
    if type(operand) is not tuple:
        raise ConfigurationError("must be a list; begin each item with a dash, or put it in [ ]")
    if not 1 <= len(operand) <= MAX_VALUES:
        raise ConfigurationError(f"must be a list of 1 to {MAX_VALUES} values")
    kinds = [_check_value(operator, value, at) for at, value in enumerate(operand)]
    if len(set(kinds)) > 1:
        raise ConfigurationError("all values must have the same type; a number or true or false in quotes is text")
    if len(set(operand)) < len(operand):
        raise ConfigurationError("the list contains a value twice")


def _check_value(operator: str, value: object, *place: int) -> str:
    """The kind of one value: texts, numbers or booleans."""
    kind = _kind(value, *place)
    if operator in NUMBER_OPERATORS and kind != "numbers":
        quoted = ", without quotes" if kind == "texts" else ""
        raise ConfigurationError(f"must be a number{quoted}", *place)
    if operator in WORD_OPERATORS or operator == "prefix":
        if kind != "texts":
            raise ConfigurationError("must be text", *place)
        if not value:
            raise ConfigurationError("must not be empty", *place)
    if operator in WORD_OPERATORS and (" " in str(value) or not str(value).isprintable()):
        raise ConfigurationError(
            "must be a single word; for several words, write a list for contains_any_word or contains_all_words", *place
        )
    return kind


def _kind(value: object, *place: int) -> str:
    if type(value) is str:
        if len(value) > MAX_TEXT:
            raise ConfigurationError(f"must have at most {MAX_TEXT} characters", *place)
        return "texts"
    if type(value) is bool:
        return "booleans"
    if type(value) is int or type(value) is float:
        if not -MAX_NUMBER <= value <= MAX_NUMBER:
            raise ConfigurationError(
                "a number must be from -2^53 to 2^53; larger ones cannot be compared exactly", *place
            )
        return "numbers"
    raise ConfigurationError("must be text, a number, true or false", *place)


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ConfigurationError(f"rules can be nested at most {MAX_DEPTH} levels deep")
