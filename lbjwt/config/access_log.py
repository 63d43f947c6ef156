"""The ``access_log`` section."""

from typing import Annotated

from pydantic import Field, StrictBool, ValidationInfo, field_validator

from lbjwt.auth.logged_claims import LoggedClaims
from lbjwt.config.fields import LogPath
from lbjwt.config.rule import ClaimPath
from lbjwt.config.section import Section, across, placed


class AccessLog(Section):
    """One JSON line for each request."""

    path: LogPath = Field(description="A file to which lbjwt appends, or `-` for standard output.")
    claims: Annotated[tuple[ClaimPath, ...], Field(max_length=64)] = Field(
        default=(),
        description="Claims in the line of each request with an accepted token, by their exact names, or as lists of names for claims inside "
        "claims. A dot is part of a name. Default: none.",
    )
    payload: StrictBool = Field(
        default=False, description="Write all claims of an accepted token. They usually are personal data."
    )

    @field_validator("claims")
    @classmethod
    def _each_once(cls, claims: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        with placed("claims"):
            LoggedClaims(claims)
        return claims

    @field_validator("payload")
    @classmethod
    def _claims_or_payload(cls, payload: bool, info: ValidationInfo) -> bool:
        if payload and info.data.get("claims"):
            raise across("payload: true writes all claims; remove claims or payload", "payload")
        return payload

    def logged(self, max_bytes: int) -> LoggedClaims | None:
        """What of an accepted token is logged, in at most so many bytes; None for nothing."""
        return LoggedClaims(self.claims, max_bytes) if self.claims or self.payload else None
