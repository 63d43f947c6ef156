"""Claims that endpoints receive as headers: the ``claim_to_headers`` section."""

from typing import Literal

from pydantic import Field, StrictBool, ValidationInfo, field_validator

from lbjwt.auth.identity import IdentityHeader
from lbjwt.config.fields import HeaderName, Label
from lbjwt.config.rule import ClaimPath
from lbjwt.config.section import Section, across, given


class ClaimHeader(Section):
    """A claim that lbjwt passes to endpoints as a header. It removes headers with this name, in any spelling, that clients send."""

    claim: ClaimPath | None = Field(
        default=None,
        description="Exact name of the claim, such as `sub`, or a list of names for a claim inside claims. A dot is part of a name.",
    )
    payload: StrictBool = Field(
        default=False,
        validate_default=True,
        description="Send the whole payload, in base64url without padding, instead of one claim.",
    )
    header: HeaderName = Field(description="Name of the request header, such as `X-Jwt-Sub`.")
    style: Literal["auto", "comma", "json"] = Field(
        default="auto",
        description="`auto`: lists joined with commas, objects as JSON. `json`: both as JSON. `comma`: as `auto`, but objects are refused.",
    )
    unrepresentable: Literal["encode", "refuse"] = Field(
        default="encode",
        description="What to do with characters that a header cannot hold: `encode` percent-encodes them, `refuse` refuses the request.",
    )
    issuer: Label | None = Field(
        default=None,
        description="Set the header only from tokens of this issuer. Default: from tokens of every issuer.",
    )

    @field_validator("payload")
    @classmethod
    def _claim_or_payload(cls, payload: bool, info: ValidationInfo) -> bool:
        if given(info, "claim") == payload:
            raise across("give claim or payload: true, and not both")
        return payload

    @field_validator("style", "unrepresentable")
    @classmethod
    def _of_a_claim(cls, word: str, info: ValidationInfo) -> str:
        if info.data.get("payload") is True:
            raise ValueError("has no effect with payload: true, which is always base64url")
        return word

    @property
    def identity_header(self) -> IdentityHeader:
        return IdentityHeader(
            header=self.header,
            path=self.claim or (),
            style="payload" if self.payload else self.style,
            unrepresentable=self.unrepresentable,
        )
