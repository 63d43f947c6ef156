"""The ``tenants`` of an issuer: a list, or a kind of word; no patterns."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from lbjwt.auth.issuer_pattern import (
    LENGTH,
    LISTED,
    MAX_LENGTH,
    MAX_LISTED,
    MAX_TENANTS,
    TENANTS,
    IssuerPattern,
    check_tenant,
)
from lbjwt.config.fields import distinct, whole
from lbjwt.config.section import Section, across, given

Tenant = Annotated[str, AfterValidator(check_tenant), WithJsonSchema({"type": "string", "pattern": f"^{LISTED}$"})]


class Tenants(Section):
    """Accepted values of `{tenant}` in `issuer`: those in `names`, or every value of a `kind`."""

    names: Annotated[tuple[Tenant, ...], Field(min_length=1, max_length=MAX_LISTED)] | None = Field(
        default=None, description="The exact names of the tenants. Required if each tenant has its own keys."
    )
    kind: Literal["digits", "hex", "uuid", "alphanumeric", "name"] | None = Field(
        default=None,
        validate_default=True,
        description="Accept every tenant whose name has this form: `hex` and `uuid` in lower case, or `name` with letters, digits, `_` and `-`.",
    )
    max_length: Annotated[int, whole(1, MAX_LENGTH)] = Field(
        default=LENGTH, description="Maximum length of a tenant's name in characters, with `kind`."
    )
    max_tenants: Annotated[int, whole(1, MAX_TENANTS)] = Field(
        default=TENANTS,
        description="Maximum number of tenants per worker, with `kind`. lbjwt refuses tokens of further tenants.",
    )

    _no_repeats = field_validator("names")(distinct)

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
                f"{info.field_name} has no effect with names; use it with kind, or remove it",
                str(info.field_name),
                at_key=True,
            )
        return value

    def pattern(self, template: str) -> IssuerPattern:
        return IssuerPattern(
            template=template,
            tenants=self.names,
            tenant_class=self.kind,
            max_length=self.max_length,
            max_tenants=self.max_tenants,
        )
