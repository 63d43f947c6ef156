"""How names of endpoints are resolved: the ``resolve`` section of a cluster."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from lbjwt.config.fields import NameServer, Seconds, distinct
from lbjwt.config.section import Section


class Resolve(Section):
    """How the names of endpoints are resolved. Names in `/etc/hosts` have the addresses given there."""

    min_ttl: Annotated[float, Seconds(0.1, 3_600)] = Field(
        default=1.0, description="Resolve a name again after this time at the earliest, also if its TTL is shorter."
    )
    max_ttl: Annotated[float, Seconds(1, 86_400)] = Field(
        default=300.0, description="Resolve a name again after this time at the latest, also if its TTL is longer."
    )
    family: Literal["any", "ipv4", "ipv6"] = Field(
        default="any", description="Which addresses to use: `any` uses A and AAAA records."
    )
    nameservers: Annotated[tuple[NameServer, ...], AfterValidator(distinct), Field(max_length=8)] = Field(
        default=(), description="Name servers to ask, `IP` or `IP:PORT`. Default: those of `/etc/resolv.conf`."
    )

    @field_validator("max_ttl")
    @classmethod
    def _above_the_least(cls, most: float, info: ValidationInfo) -> float:
        if most < info.data.get("min_ttl", most):
            raise ValueError("must not be shorter than min_ttl")
        return most
