"""
Rules on claims: one comparison, or all, any or none of several.

Knows the shape; what a rule does to claims is the business of ``lbjwt.auth``. Comparison is typed and there are no patterns: a regular expression in a
policy has let the wrong ones in more than once (CVE-2026-39350).
"""

from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    WithJsonSchema,
    model_validator,
)

from lbjwt.config.fields import ClaimName, Label
from lbjwt.config.section import Section, across

__all__ = ["OPERATORS", "ClaimPath", "RouteRule", "Rule"]

OPERATORS: Final = (
    "equals", "one_of", "contains", "contains_any", "contains_all", "less_than", "at_most", "more_than", "at_least", "prefix", "exists",
)  # fmt: skip
_FORMS: Final = ("claim", "all", "any", "not")
MAX_DEPTH: Final = 8
"""Levels of all, any and not: more is not read by anybody."""


def _as_path(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


ClaimPath = Annotated[
    tuple[ClaimName, ...],
    BeforeValidator(_as_path),
    Field(min_length=1, max_length=8),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 8}]}),
]  # fmt: skip


def _bounded(value: str) -> str:
    if len(value) > 1024:
        raise ValueError("is longer than 1024 characters")
    return value


Scalar = Annotated[StrictStr, AfterValidator(_bounded)] | StrictBool | StrictInt | StrictFloat
Number = StrictInt | StrictFloat
Scalars = Annotated[tuple[Scalar, ...], Field(min_length=1, max_length=1000)]


class Rule(Section):
    """One comparison of a claim, or `all`, `any` or `not` of other rules."""

    claim: ClaimPath | None = Field(
        default=None,
        description="The claim: its exact name, or a list of names from the outside in, such as `[realm_access, roles]`. A dot is part of a name.",
    )
    equals: Scalar | None = Field(default=None, description="The claim is this very text, number, or true or false.")
    one_of: Scalars | None = Field(default=None, description="The claim is one of these.")
    contains: Scalar | None = Field(default=None, description="The claim is a list with this member.")
    contains_any: Scalars | None = Field(default=None, description="The claim is a list with one of these members.")
    contains_all: Scalars | None = Field(default=None, description="The claim is a list with all of these members.")
    less_than: Number | None = Field(default=None, description="The claim is a number below this.")
    at_most: Number | None = Field(default=None, description="The claim is a number, this or below.")
    more_than: Number | None = Field(default=None, description="The claim is a number above this.")
    at_least: Number | None = Field(default=None, description="The claim is a number, this or above.")
    prefix: Annotated[StrictStr, Field(min_length=1, max_length=1024)] | None = Field(
        default=None, description="The claim is text that begins like this."
    )
    exists: StrictBool | None = Field(default=None, description="The claim is there (true) or is not (false).")
    all: Annotated[tuple["Rule", ...], Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="Every one of these rules holds."
    )
    any: Annotated[tuple["Rule", ...], Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="At least one of these rules holds."
    )
    not_: "Rule | None" = Field(
        default=None, alias="not", description="This rule does not hold, and the claims it asks are there."
    )

    @model_validator(mode="after")
    def _one_form(self) -> "Rule":
        forms = [name for name in _FORMS if getattr(self, "not_" if name == "not" else name) is not None]
        operators = [name for name in OPERATORS if getattr(self, name) is not None]
        if len(forms) != 1:
            raise across(
                f"a rule is one of claim, all, any and not, and here {'are ' + ' and '.join(forms) if forms else 'is none'}"
            )
        if forms[0] == "claim" and len(operators) != 1:
            raise across(
                f"a claim is compared in one way, and here {'are ' + ' and '.join(operators) if operators else 'is none: ' + ', '.join(OPERATORS)}"
            )
        if forms[0] != "claim" and operators:
            raise across(f"{operators[0]} needs claim", operators[0])
        if self.depth() > MAX_DEPTH:
            raise across(f"rules are nested more than {MAX_DEPTH} deep")
        return self

    def depth(self) -> int:
        """Levels of rules in this one, itself included."""
        inner = [*(self.all or ()), *(self.any or ()), *([self.not_] if self.not_ is not None else [])]
        return 1 + max((rule.depth() for rule in inner), default=0)


class RouteRule(Rule):
    """A rule of a route. Without it the answer is 403."""

    name: Label | None = Field(default=None, description="What the log and `lbjwt explain` call it.")
    report_only: StrictBool = Field(
        default=False, description="Judge, count and log, and let through: to try a rule on real traffic first."
    )
