"""
Issuers that differ in one word: what may stand for ``{tenant}``. Closed on purpose: a list, or a kind of word; no patterns.

Knows which tenants there are and whether two issuers could be one; what a token says is the business of ``lbjwt.auth``.
"""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationInfo, field_validator

from lbjwt.config.fields import Spelling
from lbjwt.config.section import Section, across, given
from lbjwt.config.url import TENANT

__all__ = ["Tenants", "may_be_one"]

Tenant = Annotated[
    str,
    Spelling(
        "[A-Za-z0-9][A-Za-z0-9._~-]{0,127}",
        "a tenant starts with a letter or digit and has letters, digits and . _ ~ - only, at most 128 of them",
    ),
]
_KINDS: Final = {
    "digits": re.compile("[0-9]+", re.ASCII),
    "hex": re.compile("[0-9a-f]+", re.ASCII),
    "uuid": re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII),
    "alphanumeric": re.compile("[A-Za-z0-9]+", re.ASCII),
    "name": re.compile("[A-Za-z0-9_-]+", re.ASCII),
}


class Tenants(Section):
    """The values of `{tenant}` in `issuer`: one of `names`, or every word of a `kind`."""

    names: Annotated[tuple[Tenant, ...], Field(min_length=1, max_length=1000)] | None = Field(
        default=None, description="The tenants, each by its exact name. Needed when each has keys of its own."
    )
    kind: Literal["digits", "hex", "uuid", "alphanumeric", "name"] | None = Field(
        default=None,
        validate_default=True,
        description="Accept every tenant that is such a word: `hex` and `uuid` in lower case, `name` with letters, digits, `_` and `-`.",
    )
    max_length: int = Field(
        default=64, ge=1, le=128, strict=True, description="Longest word in characters, with `kind`."
    )
    max_tenants: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        strict=True,
        description="Most tenants accepted, per worker, with `kind`; tokens of further ones are refused.",
    )

    @field_validator("names")
    @classmethod
    def _distinct(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names is not None and len(set(names)) < len(names):
            raise ValueError("a tenant stands in the list twice")
        return names

    @field_validator("kind")
    @classmethod
    def _one_way(cls, kind: Any, info: ValidationInfo) -> Any:
        if given(info, "names") == (kind is not None):
            raise across("give names or kind, and not both")
        return kind

    @field_validator("max_length", "max_tenants")
    @classmethod
    def _with_kind(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("kind", ...) is None and given(info, "names"):
            raise across(
                f"{info.field_name} belongs to kind; the list of names is what it is", str(info.field_name), at_key=True
            )
        return value

    def knows(self, tenant: str) -> bool:
        """True when a word is a tenant."""
        if self.names is not None:
            return tenant in self.names
        return len(tenant) <= self.max_length and _KINDS[self.kind or ""].fullmatch(tenant) is not None


def may_be_one(one: str, tenants: Tenants | None, other: str, others: Tenants | None) -> bool:
    """True when a token could come from both of two issuers, each given by its name and what may stand for ``{tenant}`` in it."""
    if tenants is None:
        return one == other if others is None else _is_of(one, other, others)
    if others is None:
        return _is_of(other, one, tenants)
    for listed, template, wider, pattern in ((tenants, one, others, other), (others, other, tenants, one)):
        if listed.names is not None:
            return any(_is_of(template.replace(TENANT, name), pattern, wider) for name in listed.names)
    # Two kinds of words: no need to be exact, whoever writes two templates with one beginning and one end means one issuer.
    (before, _, after), (start, _, end) = one.partition(TENANT), other.partition(TENANT)
    return (before.startswith(start) or start.startswith(before)) and (after.endswith(end) or end.endswith(after))


def _is_of(name: str, template: str, tenants: Tenants) -> bool:
    before, _, after = template.partition(TENANT)
    fits = len(name) > len(before) + len(after) and name.startswith(before) and name.endswith(after)
    return fits and tenants.knows(name[len(before) : len(name) - len(after)])
