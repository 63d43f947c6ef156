"""
Rules on claims: one comparison, or all, any or none of several.

Knows the shape; what a rule does to claims is the business of ``lbjwt.auth``. Comparison is typed and there are no patterns: a regular
expression in a policy has let the wrong ones in more than once (CVE-2026-39350).
"""

from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictBool,
    StrictStr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from lbjwt.config.fields import ClaimName, Label, Words
from lbjwt.config.section import Section, across, given

__all__ = ["OPERATORS", "ClaimPath", "RouteRule", "Rule"]

OPERATORS: Final = (
    "equals", "one_of", "contains", "contains_any", "contains_all", "contains_word", "contains_any_word", "contains_all_words",
    "less_than", "at_most", "more_than", "at_least", "prefix", "exists",
)  # fmt: skip
MAX_DEPTH: Final = 8
"""Levels of all, any and not: more is not read by anybody."""
MAX_NUMBER: Final = 1 << 53
"""Beyond it two numbers of a JSON text can be one (RFC 7493 §2.2)."""


def _path_parts(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not 1 <= len(value) <= 256:
        raise ValueError("the name of a claim has 1 to 256 characters")
    if not value.isprintable():
        raise ValueError("has a character that cannot be seen")
    return (value,)


def _path_text(path: tuple[str, ...]) -> str | list[str]:
    return path[0] if len(path) == 1 else list(path)


_NAME_SCHEMA: Final = {"type": "string", "minLength": 1, "maxLength": 256}
ClaimPath = Annotated[
    tuple[ClaimName, ...],
    BeforeValidator(_path_parts),
    Field(min_length=1, max_length=8),
    PlainSerializer(_path_text, when_used="json"),
    WithJsonSchema({"anyOf": [_NAME_SCHEMA, {"type": "array", "items": _NAME_SCHEMA, "minItems": 1, "maxItems": 8}]}),
    Words("text, or list of text"),
]


def _kind(value: Any) -> str:
    """Text, number or boolean; a number that is none or too large to be exact is of no kind."""
    match value:
        case bool():
            return "boolean"
        case int() | float() if -MAX_NUMBER <= value <= MAX_NUMBER:
            return "number"
        case str():
            return "text"
    return ""


def _scalar(value: Any) -> Any:
    kind = _kind(value)
    if not kind and isinstance(value, int | float):
        raise ValueError("a number is from -2^53 to 2^53: beyond, two of them can look like one")
    if not kind:
        raise ValueError("a claim is compared with text, a number, or true or false")
    if kind == "text" and len(value) > 1024:
        raise ValueError("is longer than 1024 characters")
    return value


def _number(value: Any) -> Any:
    if _kind(_scalar(value)) != "number":
        raise ValueError("must be a number" + (", without quotes" if isinstance(value, str) else ""))
    return value


def _word(value: str) -> str:
    if " " in value or not value.isprintable():
        raise ValueError("is more than one word; several words are a list for contains_any_word or contains_all_words")
    return value


def _one_kind(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len({_kind(value) for value in values}) > 1:
        raise ValueError("the values are of several kinds; a text in quotes is no number, and neither is true or false")
    if len({(_kind(value), value) for value in values}) < len(values):
        raise ValueError("a value stands in the list twice")
    return values


_NUMBER_SCHEMA: Final = {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER}
_SCALAR_SCHEMA: Final = {"anyOf": [{"type": "string", "maxLength": 1024}, {"type": "boolean"}, _NUMBER_SCHEMA]}
Scalar = Annotated[
    str | bool | int | float,
    PlainValidator(_scalar),
    WithJsonSchema(_SCALAR_SCHEMA),
    Words("text, number, true or false"),
]
Number = Annotated[int | float, PlainValidator(_number), WithJsonSchema(_NUMBER_SCHEMA), Words("number")]
Word = Annotated[StrictStr, Field(min_length=1, max_length=1024), AfterValidator(_word), Words("text")]
ManyWords = Annotated[tuple[Word, ...], Field(min_length=1, max_length=1000), AfterValidator(_one_kind)]
Scalars = Annotated[tuple[Scalar, ...], Field(min_length=1, max_length=1000), AfterValidator(_one_kind)]


class Rule(Section):
    """One comparison of a claim, or `all`, `any` or `not` of other rules."""

    claim: ClaimPath | None = Field(
        default=None,
        description="The claim: its exact name, or a list of names from the outside in, such as `[realm_access, roles]`. A dot is part of a name.",
    )
    all: Annotated[tuple["Rule", ...], Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="Every one of these rules holds."
    )
    any: Annotated[tuple["Rule", ...], Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="At least one of these rules holds."
    )
    not_: "Rule | None" = Field(
        default=None,
        alias="not",
        description="This rule does not hold, although the claims it compares are there and have its type.",
    )
    equals: Scalar | None = Field(default=None, description="The claim is this very text, number, or true or false.")
    one_of: Scalars | None = Field(default=None, description="The claim is one of these.")
    contains: Scalar | None = Field(default=None, description="The claim is a list with this member.")
    contains_any: Scalars | None = Field(default=None, description="The claim is a list with one of these members.")
    contains_all: Scalars | None = Field(default=None, description="The claim is a list with all of these members.")
    contains_word: Word | None = Field(
        default=None,
        description="The claim is one text of words with spaces between, as `scope` is, and this is a word of it.",
    )
    contains_any_word: ManyWords | None = Field(
        default=None,
        description="The claim is one text of words with spaces between, and one of these is a word of it.",
    )
    contains_all_words: ManyWords | None = Field(
        default=None,
        description="The claim is one text of words with spaces between, and all of these are words of it.",
    )
    less_than: Number | None = Field(default=None, description="The claim is a number below this.")
    at_most: Number | None = Field(default=None, description="The claim is a number, this or below.")
    more_than: Number | None = Field(default=None, description="The claim is a number above this.")
    at_least: Number | None = Field(default=None, description="The claim is a number, this or above.")
    prefix: Annotated[StrictStr, Field(min_length=1, max_length=1024)] | None = Field(
        default=None, description="The claim is text that begins like this."
    )
    exists: StrictBool | None = Field(
        default=None, validate_default=True, description="The claim is there (true) or is not (false)."
    )

    @field_validator("exists")
    @classmethod
    def _one_form(cls, exists: bool | None, info: ValidationInfo) -> bool | None:
        forms = [name.rstrip("_") for name in ("claim", "all", "any", "not_") if given(info, name)]
        operators = [name for name in OPERATORS[:-1] if given(info, name)] + ["exists"] * (exists is not None)
        if len(forms) != 1:
            are = f"are {' and '.join(forms)}" if forms else "is none"
            raise across(f"a rule is one of claim, all, any and not, and here {are}")
        if forms[0] != "claim" and operators:
            raise across(f"{operators[0]} needs claim", operators[0], at_key=True)
        if forms[0] == "claim" and len(operators) != 1:
            are = f"are {' and '.join(operators)}" if operators else f"is none: {', '.join(OPERATORS)}"
            raise across(f"a claim is compared in one way, and here {are}")
        inner = info.data.get("not_")
        below = [*(info.data.get("all") or ()), *(info.data.get("any") or ()), *([inner] if inner is not None else [])]
        if max((rule.depth for rule in below), default=0) >= MAX_DEPTH:
            raise across(f"rules are nested more than {MAX_DEPTH} deep")
        return exists

    @property
    def below(self) -> "tuple[Rule, ...]":
        """The rules that this one is made of; none when it compares a claim."""
        return (*(self.all or ()), *(self.any or ()), *((self.not_,) if self.not_ is not None else ()))

    @property
    def depth(self) -> int:
        """Levels of rules in this one, itself included."""
        return 1 + max((rule.depth for rule in self.below), default=0)

    @property
    def size(self) -> int:
        """Comparisons in this rule."""
        return sum(rule.size for rule in self.below) or 1


class RouteRule(Rule):
    """A rule of a route. Without it the answer is 403. A rule that stands inside another has neither `name` nor `report_only`."""

    name: Label | None = Field(default=None, description="Its name in the log and in `lbjwt explain`.")
    report_only: StrictBool = Field(
        default=False, description="Check, count and log, but let the request pass, to try a rule on real traffic."
    )
