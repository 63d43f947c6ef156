"""
Routes: which requests a policy is for, and the policy.

Knows the shape. How a path is read is the business of ``lbjwt.routing``, what a policy does to a token that of ``lbjwt.auth``.
"""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    field_validator,
    model_validator,
)

from lbjwt.config.fields import Label, ScopeToken, Seconds, Text
from lbjwt.config.remote import check_fetchable
from lbjwt.config.rule import RouteRule
from lbjwt.config.section import Section, across

__all__ = ["Refusals", "Require", "Resource", "Route", "Scopes"]

_HOST: Final = re.compile(
    r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*|\[[0-9a-f:.]+\]|[0-9.]+"
)
_PATH: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*")
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def _host(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a host is text")
    host = value.lower()
    if not _HOST.fullmatch(host) or len(host) > 255:
        raise ValueError(
            "a host is a name such as api.example, *.example for all below it, or an address, without a port"
        )
    return host


def _path(value: str) -> str:
    if not _PATH.fullmatch(value) or len(value) > 1024:
        raise ValueError("a path begins with / and has no escapes, spaces, ? or #")
    if "//" in value or any(step in (".", "..") for step in value.split("/")):
        raise ValueError("requests are matched after //, . and .. are resolved, so this would never match")
    return value


Host = Annotated[str, BeforeValidator(_host)]
Path = Annotated[str, AfterValidator(_path)]
Status = Annotated[int, Field(ge=400, le=599, strict=True)]


def _key(value: Any) -> Any:
    """The keys of a mapping are text in every document."""
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{3}", value) else value


class Require(Section):
    """Whose token opens the route: exactly one of the keys."""

    issuer: Label | None = Field(default=None, description="The label of one issuer.")
    any_of: Annotated[tuple[Label, ...], Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="Labels: a token of one of these issuers."
    )
    all_of: Annotated[tuple[Label, ...], Field(min_length=2, max_length=4)] | None = Field(
        default=None, description="Labels: a token of each of these issuers, each in places of its own."
    )

    @model_validator(mode="after")
    def _one(self) -> "Require":
        said = [key for key in ("issuer", "any_of", "all_of") if getattr(self, key) is not None]
        if len(said) != 1:
            raise across("give one of issuer, any_of, all_of")
        labels = self.labels
        if len(set(labels)) != len(labels):
            raise across("an issuer stands here twice", said[0])
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, whichever key holds them."""
        return (self.issuer,) if self.issuer is not None else self.any_of or self.all_of or ()


class Scopes(Section):
    """Scopes in `scope` or `scp`; without them the answer is 403 `insufficient_scope` that names them."""

    all: Annotated[tuple[ScopeToken, ...], Field(max_length=100)] = Field(default=(), description="All of these.")
    any: Annotated[tuple[ScopeToken, ...], Field(max_length=100)] = Field(
        default=(), description="At least one of these."
    )


class Refusals(Section):
    """What refused clients of the route get."""

    format: Literal["text", "json"] = Field(
        default="text", description="Body: a short sentence, or JSON problem details (RFC 9457)."
    )
    expose_reason: StrictBool = Field(
        default=False, description="Tell the client the reason's name: a help to developers, and to attackers."
    )
    statuses: dict[Annotated[Status, BeforeValidator(_key)], Status] = Field(
        default={}, description="Other status codes: `{401: 404}` hides that there is anything here."
    )
    redirect: Text | None = Field(
        default=None,
        description="Where browsers without a token are sent (302), such as `https://login.example/?return={url}`; `{url}` is the URL they asked for.",
    )

    @field_validator("redirect")
    @classmethod
    def _safe(cls, template: str | None) -> str | None:
        if template is not None:
            check_fetchable(template.replace("{url}", ""))
            if template.count("{") != template.count("{url}") or template.partition("?")[0].count("{url}"):
                raise ValueError("only {url} is replaced, and only in the query")
        return template


class Resource(Section):
    """Protected resource metadata (RFC 9728): how a client finds out where to get a token. Served by lbjwt without a token."""

    identifier: Text = Field(
        description="The resource's `https` URL, as clients know it; its path decides where the document stands."
    )
    authorization_servers: Annotated[tuple[Text, ...], Field(max_length=20)] = Field(
        default=(), description="Issuers to get a token from. Default: the `issuer` of those the route requires."
    )
    scopes_supported: Annotated[tuple[ScopeToken, ...], Field(max_length=100)] = Field(
        default=(), description="Scopes a client may ask for. Default: those of the route."
    )
    name: Text | None = Field(default=None, description="A name for people.")
    documentation: Text | None = Field(default=None, description="A URL for developers.")

    _url = field_validator("identifier")(staticmethod(check_fetchable))


class Route(Section):
    """Requests that are treated alike. The most specific route wins, whatever the order; what no route is for gets 404."""

    name: Label = Field(description="Its name in logs and metrics.")
    hosts: Annotated[tuple[Host, ...], Field(max_length=1000)] = Field(
        default=(), description="Hosts: `api.example`, or `*.example` for all below. Default: every host."
    )
    path: Path | None = Field(
        default=None, description="The exact path. One of `path` and `prefix`; without either, every path."
    )
    prefix: Path | None = Field(
        default=None,
        description="The beginning of the path, whole segments: `/api` is `/api` and `/api/x`, not `/apix`.",
    )
    methods: Annotated[
        tuple[Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], ...], Field(max_length=7)
    ] = Field(default=(), description="Methods; GET includes HEAD. Default: every method.")
    public: StrictBool = Field(
        default=False, description="No token is asked for or looked at. Said out loud: the default is to ask."
    )
    require: Require | None = Field(
        default=None, description="Whose token opens the route. Default: any of the configured issuers."
    )
    allow_missing: StrictBool = Field(
        default=False,
        description="Without a token the request passes, without identity headers. A bad token never does.",
    )
    audiences: Annotated[tuple[Text, ...], Field(max_length=100)] = Field(
        default=(), description="The `aud` claim must hold one of these, beside what its issuer asks for."
    )
    scopes: Scopes = Field(default=Scopes(), description="Scopes that open the route.")
    rules: Annotated[tuple[RouteRule, ...], Field(max_length=100)] = Field(
        default=(), description="Rules on claims; all of them must hold."
    )
    report_only: StrictBool = Field(
        default=False,
        description="Judge, count and log, and let every request through: to switch tokens on without fear. Nothing is protected.",
    )
    end_streams: StrictBool = Field(
        default=True, description="End responses and WebSockets under way when their token expires or is revoked."
    )
    stream_grace: Annotated[float, Seconds(0, 86_400)] = Field(
        default=0.0, description="How long they may go on after that."
    )
    refusals: Refusals = Field(default=Refusals(), description="What refused clients get.")
    resource: Resource | None = Field(default=None, description="Serve protected resource metadata (RFC 9728).")

    @model_validator(mode="after")
    def _consistent(self) -> "Route":
        if self.path is not None and self.prefix is not None:
            raise across("give path or prefix, not both", "prefix")
        if self.public:
            for key in ("require", "allow_missing", "audiences", "scopes", "rules", "report_only", "resource"):
                if key in self.model_fields_set and getattr(self, key) not in (None, False, ()):
                    raise across(f"a public route asks for no token: {key} would never be looked at", key)
        return self
