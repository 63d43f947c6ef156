"""The ``health_check`` section of a cluster."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from lbjwt.address import Address
from lbjwt.config.fields import Percent, Seconds, Spelling, Text, Words, whole
from lbjwt.config.section import Section
from lbjwt.upstream.health.grpc import MAX_SERVICE
from lbjwt.upstream.health.settings import DEFAULT_STATUSES, Statuses
from lbjwt.upstream.health.settings import HealthCheck as Check

T = TypeVar("T")

# What may stand in a request target (RFC 9112 §3.2.1), and nothing that another server would decode differently.
_TARGET: Final = re.compile(r"/[\x21\x24-\x3B\x3D\x3F-\x5B\x5D\x5F\x61-\x7A\x7E%]{0,1023}")

TIMEOUT: Final = 2.0
"""Seconds for a check whose interval is not shorter."""

ONLY_HTTP: Final = ("scheme", "path", "method", "host", "statuses", "body")
"""Keys that ask for an HTTP response."""


def _target(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("must begin with a slash, such as /health")
    if not _TARGET.fullmatch(value):
        raise ValueError("must be at most 1024 characters of a URL path, with ? before a query, and without spaces")
    return value


_STATUS_SCHEMA: Final = [
    {"type": "string", "pattern": "^[1-9][0-9]{2}( *[-,] *[1-9][0-9]{2})*$"},
    {"type": "integer", "minimum": 200, "maximum": 599},
]

StatusSet = Annotated[
    Statuses,
    BeforeValidator(Statuses.read),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"anyOf": [*_STATUS_SCHEMA, {"type": "array", "minItems": 1, "items": {"anyOf": _STATUS_SCHEMA}}]}),
    Words("status, range of statuses, or list of these"),
]


class HealthCheck(Section):
    """Checks of the endpoints: one that fails gets no requests until it passes again. `health_check: /health` is `{path: /health}`."""

    type: Literal["http", "tcp", "grpc"] = Field(
        default="http",
        description="`http`: the response to a request decides; `tcp`: an accepted connection is enough, also at an `https` endpoint; `grpc`: the "
        "health service of a gRPC server decides (`grpc.health.v1`).",
    )
    scheme: Literal["http", "https"] | None = Field(
        default=None,
        description="`https`: request over TLS, with `tls` of the cluster; `http`: without TLS, such as on a management `port`. "
        "Default: as requests go to the endpoint.",
    )
    path: Annotated[str, AfterValidator(_target)] = Field(
        default="/", description="What the check requests, with a query if there is one."
    )
    method: Literal["GET", "HEAD", "OPTIONS"] = Field(default="GET", description="The method of the request.")
    host: (
        Annotated[
            str,
            Spelling(
                r"[A-Za-z0-9._\[\]:-]{1,255}", "must be a host name or an IP address, with a port if it needs one"
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="The `Host` header. Default: the address of the endpoint, `localhost` for a Unix socket.",
    )
    statuses: StatusSet = Field(
        default=DEFAULT_STATUSES,
        description='Statuses of a response that passes: `200`, `"200-399"` or a list. lbjwt follows no redirects.',
    )
    body: Text | None = Field(
        default=None,
        description="Text that must be in the first 64 KiB of the response body. Default: lbjwt does not read the body.",
    )
    interval: Annotated[float, Seconds(0.1, 3_600)] = Field(
        default=5.0, description="Time from one check of an endpoint to the next, at most."
    )
    jitter: Annotated[float, Percent(0, 0.5)] = Field(
        default=0.1,
        description="Share by which lbjwt shortens each interval at random, so that checks of many balancers do not come at the same time.",
    )
    timeout: Annotated[float, Seconds(0.01, 60)] | None = Field(
        default=None,
        description="Time for the whole check, from the name lookup to the response. Default: 2s, or the interval if that is shorter.",
    )
    rise: Annotated[int, whole(1, 100)] = Field(
        default=2, description="Passed checks in a row after which a failing endpoint gets requests again."
    )
    fall: Annotated[int, whole(1, 100)] = Field(
        default=3,
        description="Failed checks in a row after which an endpoint gets no requests. The first check of an endpoint decides alone.",
    )
    port: Annotated[int, whole(1, 65_535)] | None = Field(
        default=None,
        description="Port to check. Default: the port of the endpoint. A Unix socket is checked at its path.",
    )

    service: Annotated[
        str, Spelling(rf"[\x21-\x7E]{{1,{MAX_SERVICE}}}", "must be the name of a gRPC service, such as shop.Orders")
    ] = Field(
        default="",
        description="The service that a `grpc` check asks for, as the server registered it. Default: the server as a whole.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @field_validator(*ONLY_HTTP)
    @classmethod
    def _only_http(cls, value: T, info: ValidationInfo) -> T:
        kind = info.data.get("type")
        if kind in ("tcp", "grpc") and not (kind == "grpc" and info.field_name in ("host", "scheme")):
            raise ValueError(f"has no effect on a check of type {kind}; remove it, or use type http")
        if info.field_name == "body" and info.data.get("method") == "HEAD":
            raise ValueError("a response to HEAD has no body (RFC 9110 §9.3.2); use GET, or remove this key")
        return value

    @field_validator("service")
    @classmethod
    def _only_grpc(cls, service: str, info: ValidationInfo) -> str:
        if info.data.get("type") != "grpc":
            raise ValueError("has an effect on a check of type grpc only; remove it, or use type grpc")
        return service

    @property
    def check(self) -> Check:
        """As the prober takes it."""
        return Check(**dict(self) | {"timeout": self.time_limit})

    @property
    def time_limit(self) -> float:
        """Seconds for the whole check."""
        return min(TIMEOUT, self.interval) if self.timeout is None else self.timeout


def check_ports(check: HealthCheck, addresses: Sequence[Address]) -> None:
    """
    Refuse a port of its own where no endpoint has ports.

    Raises:
        ValueError: All of these are Unix sockets.
    """
    if check.port is not None and addresses and all(address.is_unix for address in addresses):
        raise ValueError("port: every endpoint is a Unix socket, which has no ports; remove this key")
