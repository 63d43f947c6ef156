"""The ``authorize`` section of a listener that another proxy asks."""

import ipaddress
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from lbjwt.auth.decision import OWN_PROTOCOLS, PROFILES
from lbjwt.config.fields import File, HeaderName, Network, Text, distinct
from lbjwt.config.section import Section

if TYPE_CHECKING:
    ProfileName = str
else:
    ProfileName = Literal[tuple(PROFILES)]

_LOOPBACK: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class Authorize(Section):
    """Who asks a listener with `mode: authorize`, and how. What is missing, doubled or malformed in a question is refused."""

    profile: ProfileName = Field(
        description="The proxy that asks: `nginx` (`auth_request`), `envoy` (`ext_authz` by HTTP), `envoy-grpc` (`ext_authz` by gRPC), `caddy` "
        "(`forward_auth`), `traefik` (`forwardAuth`) or `haproxy` (`filter spoe`: the listener then speaks SPOP, not HTTP). lbjwt maps "
        "statuses that it cannot take; `X-Lbjwt-Status` has the original one."
    )
    original_request: Literal["wire", "x-forwarded", "x-original"] | None = Field(
        default=None,
        description="Where the original request is described. `wire`: the question has its method, path and host. `x-forwarded`: "
        "`X-Forwarded-Method`, `-Uri` and `-Host`. `x-original`: `X-Original-Method`, and `X-Original-URI` with `X-Original-Host`, or "
        "`X-Original-URL`. Default: `x-original` for nginx, `wire` for envoy, `x-forwarded` for caddy and traefik. haproxy and envoy-grpc "
        "describe it in their own protocols.",
    )
    trusted_peers: Annotated[tuple[Network, ...], Field(min_length=1, max_length=1000)] = Field(
        default=_LOOPBACK,
        description="Networks of the proxies that may ask; all others get 403. lbjwt believes what they say of the original request, and the last "
        "address in `X-Forwarded-For`.",
    )
    secret_file: File | None = Field(
        default=None,
        description="A file with a secret that each question must have in `secret_header`, beside an address in `trusted_peers`; a second line "
        "has another one that is accepted too, to change it. Default: no secret.",
    )
    secret_header: HeaderName = Field(
        default="X-Lbjwt-Secret", description="The header with the secret of `secret_file`."
    )

    dynamic_metadata: Annotated[tuple[Text, ...], Field(max_length=100), AfterValidator(distinct)] = Field(
        default=(),
        description="Claims that Envoy gets as dynamic metadata of `envoy.filters.http.ext_authz`, for its rules and its log: names of top-level "
        "claims. Only with the profile `envoy-grpc`.",
    )

    @field_validator("dynamic_metadata")
    @classmethod
    def _by_grpc(cls, claims: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if claims and _described_by(info) not in ("", "check"):
            raise ValueError(
                "only Envoy takes metadata, and only by gRPC; use the profile envoy-grpc, or remove dynamic_metadata"
            )
        return claims

    @field_validator("original_request")
    @classmethod
    def _in_fields(cls, original: str | None, info: ValidationInfo) -> str | None:
        if original is not None and _described_by(info) in OWN_PROTOCOLS:
            raise ValueError("this profile describes the original request in its own protocol; remove original_request")
        return original

    @field_validator("secret_file")
    @classmethod
    def _in_a_header(cls, file: FilePath | None, info: ValidationInfo) -> FilePath | None:
        if file is not None and _described_by(info) == "spoe":
            raise ValueError("a question over SPOE has no place for a secret; use trusted_peers alone")
        return file

    @property
    def described_by(self) -> str:
        """Where the original request is described, by the profile unless said."""
        return self.original_request or PROFILES[self.profile].original


def _described_by(info: ValidationInfo) -> str:
    """Where the profile describes the original request; "" for one that is missing or unknown, which has a message of its own."""
    profile = PROFILES.get(info.data.get("profile", ""))
    return "" if profile is None else profile.original
