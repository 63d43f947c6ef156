"""
Rules on claims. There are no regular expressions: such policies have let wrong tokens in (CVE-2026-39350).
"""

from typing import Annotated, Any, Final

from pydantic import Field, PlainSerializer, PlainValidator, StrictBool, ValidationInfo, WithJsonSchema, field_validator

from lbjwt.auth import route_policy
from lbjwt.auth.rules import (
    MAX_NAME,
    MAX_NUMBER,
    MAX_PATH,
    MAX_RULES,
    MAX_TEXT,
    MAX_VALUES,
    OPERATORS,
    AllOf,
    AnyOf,
    ClaimRule,
    ClaimTest,
    Not,
    check_claim_path,
    check_operand,
)
from lbjwt.config.fields import Label, Words
from lbjwt.config.section import Section, across, given, placed


def _path(value: Any, info: ValidationInfo) -> tuple[str, ...]:
    if not isinstance(value, str | list | tuple):
        raise ValueError("must be text or a list of text")
    path = (value,) if isinstance(value, str) else tuple(value)
    with placed(str(info.field_name)):
        check_claim_path(path)
    return path


def _path_text(path: tuple[str, ...]) -> str | list[str]:
    return path[0] if len(path) == 1 else list(path)


def _list_of(items: dict[str, Any], most: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


_NAME_SCHEMA: Final = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}
_NUMBER_SCHEMA: Final = {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER}
_SCALAR_SCHEMA: Final = {"anyOf": [{"type": "string", "maxLength": MAX_TEXT}, {"type": "boolean"}, _NUMBER_SCHEMA]}
_WORD_SCHEMA: Final = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}

ClaimPath = Annotated[
    tuple[str, ...],
    PlainValidator(_path),
    PlainSerializer(_path_text, when_used="json"),
    WithJsonSchema({"anyOf": [_NAME_SCHEMA, _list_of(_NAME_SCHEMA, MAX_PATH)]}),
    Words("text, or list of text"),
]
Scalar = Annotated[Any, WithJsonSchema(_SCALAR_SCHEMA), Words("text, number, true or false")]
Scalars = Annotated[
    Any, WithJsonSchema(_list_of(_SCALAR_SCHEMA, MAX_VALUES)), Words("list of text, number, true or false")
]
Number = Annotated[Any, WithJsonSchema(_NUMBER_SCHEMA), Words("number")]
Word = Annotated[Any, WithJsonSchema(_WORD_SCHEMA), Words("text")]
ManyWords = Annotated[Any, WithJsonSchema(_list_of(_WORD_SCHEMA, MAX_VALUES)), Words("list of text")]


class Rule(Section):
    """One comparison of a claim, or `all`, `any` or `not` of other rules."""

    claim: ClaimPath | None = Field(
        default=None,
        description="Exact name of the claim, or a list for a claim inside claims, such as `[realm_access, roles]`. A dot is part of a name.",
    )
    all: Annotated[tuple["Rule", ...], Field(min_length=1, max_length=MAX_RULES)] | None = Field(
        default=None, description="All of these rules must hold."
    )
    any: Annotated[tuple["Rule", ...], Field(min_length=1, max_length=MAX_RULES)] | None = Field(
        default=None, description="At least one of these rules must hold."
    )
    not_: "Rule | None" = Field(
        default=None,
        alias="not",
        description="This rule must not hold. If a claim that it compares is missing or has another type, `not` does not hold either.",
    )
    equals: Scalar | None = Field(default=None, description="The claim is exactly this text, number, true or false.")
    one_of: Scalars | None = Field(default=None, description="The claim is one of these.")
    contains: Scalar | None = Field(default=None, description="The claim is a list that contains this value.")
    contains_any: Scalars | None = Field(
        default=None, description="The claim is a list that contains at least one of these values."
    )
    contains_all: Scalars | None = Field(
        default=None, description="The claim is a list that contains all of these values."
    )
    contains_word: Word | None = Field(
        default=None,
        description="The claim is text with words separated by spaces, such as `scope`, and contains this word.",
    )
    contains_any_word: ManyWords | None = Field(
        default=None,
        description="The claim is text with words separated by spaces and contains at least one of these words.",
    )
    contains_all_words: ManyWords | None = Field(
        default=None,
        description="The claim is text with words separated by spaces and contains all of these words.",
    )
    less_than: Number | None = Field(default=None, description="The claim is a number less than this.")
    at_most: Number | None = Field(default=None, description="The claim is a number less than or equal to this.")
    more_than: Number | None = Field(default=None, description="The claim is a number greater than this.")
    at_least: Number | None = Field(default=None, description="The claim is a number greater than or equal to this.")
    prefix: Word | None = Field(default=None, description="The claim is text that begins with this.")
    exists: StrictBool | None = Field(
        default=None, validate_default=True, description="`true`: the token has the claim. `false`: it does not."
    )

    @field_validator(*OPERATORS[:-1], mode="before")
    @classmethod
    def _comparable(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None:
            return None
        operand = tuple(value) if isinstance(value, list) else value
        with placed(str(info.field_name)):
            check_operand(str(info.field_name), operand)
        return operand

    @field_validator("exists")
    @classmethod
    def _one_form(cls, exists: bool | None, info: ValidationInfo) -> bool | None:
        forms = [name for name in ("claim", "all", "any", "not_") if given(info, name)]
        operators = [name for name in OPERATORS[:-1] if given(info, name)] + ["exists"] * (exists is not None)
        if len(forms) != 1:
            are = f"are {' and '.join(name.rstrip('_') for name in forms)}" if forms else "is none"
            raise across(f"a rule needs exactly one of claim, all, any and not, but here {are}")
        (form,) = forms
        if form != "claim" and operators:
            raise across(f"{operators[0]} needs claim", operators[0], at_key=True)
        if form == "claim" and len(operators) != 1:
            are = f"are {' and '.join(operators)}" if operators else f"is none of {', '.join(OPERATORS)}"
            raise across(f"a claim needs exactly one operator, but here {are}")
        if form != "claim" and form in info.data:  # else it is wrong by itself
            with placed():
                _joined(form, info.data[form])
        return exists

    @property
    def claim_rule(self) -> ClaimRule:
        if self.claim is not None:
            ((operator, operand),) = ((name, value) for name in OPERATORS if (value := getattr(self, name)) is not None)
            return ClaimTest(self.claim, operator, operand)
        form = next(name for name in ("all", "any", "not_") if getattr(self, name) is not None)
        return _joined(form, getattr(self, form))


def _joined(form: str, rules: Any) -> ClaimRule:
    if form == "not_":
        return Not(rules.claim_rule)
    join = AllOf if form == "all" else AnyOf
    return join(tuple(rule.claim_rule for rule in rules))


class RouteRule(Rule):
    """A rule of a route. If it does not hold, the response is 403. A rule inside another rule has neither `name` nor `report_only`."""

    name: Label | None = Field(default=None, description="Name of the rule in the log and in `lbjwt explain`.")
    report_only: StrictBool = Field(
        default=False,
        description="Check the rule and count and log what it would refuse, but let the request pass. Use it to try a rule on real traffic.",
    )

    @property
    def route_rule(self) -> route_policy.RouteRule:
        return route_policy.RouteRule(self.claim_rule, self.report_only, self.name or "")
