"""
Claim rules as plain values: one test of one claim, and how tests are joined. `_rules` compiles them; nothing here judges.

There is no regular expression (THREATS C15), no conversion, no case folding and no parsing of addresses (THREATS C14): text is compared
whole, or from its first character on.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lbjwt.errors import ConfigurationError

__all__ = ["OPERATORS", "AllOf", "AnyOf", "ClaimRule", "ClaimTest", "Not", "path_text"]

OPERATORS = (
    *("equals", "one_of", "contains", "contains_any", "contains_all"),
    *("contains_word", "contains_any_word", "contains_all_words"),
    *("less_than", "at_most", "more_than", "at_least", "prefix", "exists"),
)
MAX_NUMBER = 2**53  # beyond, two numbers of a JSON text can be one double (RFC 7493 section 2.2)
MAX_PATH = 16  # names; a token nests 32 levels at most
MAX_WORDS = 1000  # values of one test: a list that long belongs into the issuer

_OF_LISTS = frozenset({"one_of", "contains_any", "contains_all", "contains_any_word", "contains_all_words"})
_OF_WORDS = frozenset({"contains_word", "contains_any_word", "contains_all_words"})
_OF_NUMBERS = frozenset({"less_than", "at_most", "more_than", "at_least"})
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class ClaimTest:
    """
    One question about one claim. Its answer is true, false or unknown; only true passes.

    Unknown is what cannot be judged: the claim is not there, null counting as not there, or is of another kind than the test is about
    (text, number, boolean, list). Integers and fractions are one kind: 1 is 1.0. A boolean is no number and "1" is no 1 (THREATS C12).
    A number past 2^53 and a list with a member of another kind are of no kind at all.

    Attributes:
        path: Names from the claims inward. Every character of a name is the name's own, dots included (THREATS C13).
        operator: `equals` and `one_of` compare text, a number or a boolean; `contains`, `contains_any` and `contains_all` ask for members
            of a list; `contains_word`, `contains_any_word` and `contains_all_words` for words of a text with spaces between, as RFC 6749
            section 3.3 and RFC 8693 section 4.2 write scopes: the space alone parts words, compared whole; `less_than`, `at_most`, `more_than`
            and `at_least` compare numbers; `prefix` compares the beginning of a text; `exists` asks whether the claim is there and not null,
            and is the one test that a missing claim makes false.
        operand: Text, a number or a boolean; a tuple of one kind of them for one_of and what contains any or all; None for exists.

    Raises:
        ConfigurationError: A test that cannot be.
    """

    path: tuple[str, ...]
    operator: str
    operand: Any = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.path) <= MAX_PATH or not all(type(name) is str and name for name in self.path):
            raise ConfigurationError(f"a claim is named by 1 to {MAX_PATH} names, none of them empty")
        if self.operator not in OPERATORS:
            raise ConfigurationError(f"{self.operator!r} is no test of a claim; there are {', '.join(OPERATORS)}")
        at = f"the test of {path_text(self.path)}"
        if self.operator == "exists":
            if self.operand is not None:
                raise ConfigurationError(f"{at}: exists compares with nothing")
            return
        if self.operator in _OF_LISTS:
            if type(self.operand) is not tuple or not 1 <= len(self.operand) <= MAX_WORDS:
                raise ConfigurationError(f"{at}: {self.operator} needs a list of 1 to {MAX_WORDS} values")
            values = self.operand
        else:
            values = (self.operand,)
        kinds = {_kind(value, at) for value in values}
        if len(kinds) > 1:
            raise ConfigurationError(f"{at}: the values are {' and '.join(sorted(kinds))}; they must be of one kind")
        if self.operator in _OF_NUMBERS and kinds != {"numbers"}:
            raise ConfigurationError(f"{at}: {self.operator} needs a number")
        if self.operator in _OF_WORDS and (kinds != {"texts"} or any(not word or " " in word for word in values)):
            raise ConfigurationError(f"{at}: {self.operator} needs words: texts without spaces, none of them empty")
        if self.operator == "prefix" and (kinds != {"texts"} or not self.operand):
            raise ConfigurationError(f"{at}: prefix needs a text that is not empty")

    def __str__(self) -> str:
        words = f"{path_text(self.path)} {self.operator.replace('_', ' ')}"
        if self.operator == "exists":
            return words
        return f"{words} {', '.join(map(_value_text, self.operand if self.operator in _OF_LISTS else (self.operand,)))}"


@dataclass(frozen=True, slots=True)
class AllOf:
    """True when every rule is; false when one is false; else unknown."""

    rules: "tuple[ClaimRule, ...]"

    def __post_init__(self) -> None:
        _at_least_one(self.rules, "all")

    def __str__(self) -> str:
        return f"({' and '.join(map(str, self.rules))})"


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True when one rule is; false when every one is false; else unknown."""

    rules: "tuple[ClaimRule, ...]"

    def __post_init__(self) -> None:
        _at_least_one(self.rules, "any")

    def __str__(self) -> str:
        return f"({' or '.join(map(str, self.rules))})"


@dataclass(frozen=True, slots=True)
class Not:
    """True for false and false for true. Unknown stays unknown, so a claim of the wrong type never passes by being denied."""

    rule: "ClaimRule"

    def __str__(self) -> str:
        return f"not {self.rule}"


ClaimRule = ClaimTest | AllOf | AnyOf | Not


def path_text(path: Iterable[str]) -> str:
    """A path for the eye: dots between the names, quotation marks around a name that has more than letters, digits, `_` and `-`."""
    return ".".join(name if _PLAIN_NAME.fullmatch(name) else json.dumps(name) for name in path)


def _kind(value: object, at: str) -> str:
    if type(value) is str:
        return "texts"
    if type(value) is bool:
        return "booleans"
    if type(value) is int or type(value) is float:
        if not -MAX_NUMBER <= value <= MAX_NUMBER:
            raise ConfigurationError(f"{at}: a number is out of the range -2^53 to 2^53")
        return "numbers"
    raise ConfigurationError(f"{at}: a claim is compared with text, a number or true or false")


def _value_text(value: object) -> str:
    return json.dumps(value)


def _at_least_one(rules: object, word: str) -> None:
    # of none, "all" would be true and "any" false: either may be what nobody meant
    if type(rules) is not tuple or not rules:
        raise ConfigurationError(f"{word} of no rules at all")
