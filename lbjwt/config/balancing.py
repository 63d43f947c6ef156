"""The ``balancing`` setting of a cluster."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo, field_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from lbjwt.config.fields import Spelling, Words
from lbjwt.config.section import Section, across, given

Method = Literal["least_requests", "least_time", "power_of_two", "round_robin", "random", "hash", "cookie"]
_ALONE: Final = ("least_requests", "least_time", "power_of_two", "round_robin", "random")

_NAME: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}"  # RFC 9110 §5.6.2


def _hash_on(value: str) -> str:
    kind, colon, name = value.partition(":")
    if value == "client_address" or (kind == "claim" and 0 < len(name) <= 256 and name.isprintable()):
        return value
    if kind in ("header", "cookie") and re.fullmatch(_NAME, name):
        return value
    if kind in ("header", "cookie", "claim") and not colon:
        raise ValueError(f"needs a name: {kind}:NAME")
    raise ValueError("must be client_address, header:NAME, cookie:NAME or claim:NAME")


HashOn = Annotated[str, AfterValidator(_hash_on), Words("text")]
CookieName = Annotated[
    str, Spelling(_NAME, "a cookie name must be 1 to 64 letters, digits, and characters such as _ and -")
]


class Balancing(Section):
    """How endpoints are picked. The name of a method alone is enough if it needs nothing else: `balancing: round_robin`."""

    method: Method = Field(
        default="least_requests",
        description="`least_requests`: the fewest requests in flight per weight; `least_time`: the same times the mean response time of late; "
        "`power_of_two`: the better of two at random; "
        "`round_robin`: in turn, by weight; `random`: by weight; `hash`: requests with the same key go to the same endpoint; "
        "`cookie`: clients come back to their endpoint.",
    )
    hash_on: HashOn | None = Field(
        default=None,
        validate_default=True,
        description="For `hash`: the key, as `client_address`, `header:NAME`, `cookie:NAME` or `claim:NAME` (a claim of the verified token). "
        "Requests without it go to the endpoint with the fewest requests in flight.",
    )
    max_load: Annotated[float, Field(ge=1, le=100, strict=True, allow_inf_nan=False)] | None = Field(
        default=None,
        description="For `hash`: an endpoint with more than this many times its share of the requests in flight is passed over. Default: 1.25.",
    )
    cookie: CookieName | None = Field(
        default=None,
        validate_default=True,
        description="For `cookie`: the name of the cookie that lbjwt sets (`HttpOnly`).",
    )

    @field_validator("hash_on", "cookie")
    @classmethod
    def _needed(cls, value: str | None, info: ValidationInfo) -> str | None:
        method, key = info.data.get("method"), str(info.field_name)
        needed = method == {"hash_on": "hash", "cookie": "cookie"}[key]
        if needed and value is None:
            example = "hash_on: client_address" if key == "hash_on" else "cookie: lbjwt_endpoint"
            raise across(f"{method} needs {key}, such as {example}")
        if value is not None and method is not None and not needed:
            raise across(f"{key} has no effect with {method}; remove it", key, at_key=True)
        return value

    @field_validator("max_load")
    @classmethod
    def _of_hash(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("method") not in (None, "hash") and not given(info, "hash_on"):
            raise across(f"max_load has no effect with {info.data['method']}; remove it", "max_load", at_key=True)
        return value


class ByName:
    """A balancing section, or the name of a method that needs nothing else."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._read, handler(source))

    @staticmethod
    def _read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value in ("hash", "cookie"):
            needs = "hash_on: client_address" if value == "hash" else "cookie: lbjwt_endpoint"
            raise ValueError(f"{value} needs more: {{method: {value}, {needs}}}")
        if value not in _ALONE:
            raise ValueError(f"must be {', '.join(_ALONE)}, or a mapping with method: hash or cookie")
        return {"method": value}

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string", "enum": list(_ALONE)}, handler(schema)]}
