"""The ``routes`` section."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt, ValidationInfo, field_validator

from lbjwt import errors
from lbjwt.auth.redirect import redirect_template
from lbjwt.auth.refusals import RefusalStyle, check_status
from lbjwt.auth.resource import metadata_document, metadata_url, resource_path
from lbjwt.auth.route_policy import RoutePolicy
from lbjwt.auth.rules import MAX_RULES
from lbjwt.config.cluster_choice import ClusterChoice, ClusterOrChoice
from lbjwt.config.fields import Label, Realm, ScopeToken, Seconds, Text, Words, distinct, whole
from lbjwt.config.issuer import Issuer
from lbjwt.config.rewrite import Rewrite
from lbjwt.config.rule import RouteRule
from lbjwt.config.section import Fault, Section, across, given, placed, refuse
from lbjwt.routing.table import RouteMatch, check_host, check_path
from lbjwt.url import check_identifier

T = TypeVar("T")


def _prefix(value: str) -> str:
    if len(value) > 1 and value.endswith("/"):
        raise ValueError(f'a prefix must not end with a slash; did you mean "{value.rstrip("/")}"?')
    return value


def _redirect(template: str) -> str:
    redirect_template(template)
    return template


def _resource(url: str) -> str:
    check_path(resource_path(url))
    return url


Host = Annotated[str, AfterValidator(check_host)]
Path = Annotated[str, AfterValidator(check_path), Words("text")]
Url = Annotated[Text, AfterValidator(check_identifier)]
ResourceUrl = Annotated[Url, AfterValidator(_resource)]


def _status_key(value: Any) -> Any:
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{3}", value) else value


StatusKey = Annotated[StrictInt, BeforeValidator(_status_key)]


class Require(Section):
    """Issuers whose tokens the route accepts. Give exactly one of the keys."""

    issuer: Label | None = Field(
        default=None, description="The label of an issuer: the request needs a token of this issuer."
    )
    any_of: Annotated[tuple[Label, ...], Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="Labels of issuers: the request needs a token of one of them."
    )
    all_of: Annotated[tuple[Label, ...], Field(min_length=2, max_length=4)] | None = Field(
        default=None,
        validate_default=True,
        description="Labels of issuers: the request needs a token of each of them, each in the token locations of its issuer.",
    )

    _no_repeats = field_validator("any_of", "all_of")(distinct)

    @field_validator("all_of")
    @classmethod
    def _one(cls, every: T, info: ValidationInfo) -> T:
        said = [key for key in ("issuer", "any_of") if given(info, key)] + ["all_of"] * (every is not None)
        if len(said) != 1:
            raise across("give one of issuer, any_of, all_of")
        return every

    @property
    def labels(self) -> tuple[str, ...]:
        return (self.issuer,) if self.issuer is not None else self.any_of or self.all_of or ()

    @property
    def places(self) -> list[tuple[tuple[str | int, ...], str]]:
        if self.issuer is not None:
            return [(("issuer",), self.issuer)]
        key = "any_of" if self.any_of is not None else "all_of"
        return [((key, at), label) for at, label in enumerate(self.labels)]


class Scopes(Section):
    """Scopes that the claim `scope` or `scp` must contain. Otherwise the response is 403 `insufficient_scope`, and its challenge lists the scopes."""

    all: Annotated[tuple[ScopeToken, ...], Field(max_length=100)] = Field(
        default=(), description="The token needs all of these scopes."
    )
    any: Annotated[tuple[ScopeToken, ...], Field(max_length=100)] = Field(
        default=(), description="The token needs at least one of these scopes."
    )

    _no_repeats = field_validator("all", "any")(distinct)


class Refusals(Section):
    """Responses to refused requests of the route."""

    format: Literal["text", "json"] = Field(
        default="text", description="Format of the body: a short sentence, or JSON problem details (RFC 9457)."
    )
    expose_reason: StrictBool = Field(
        default=False, description="Tell the client the name of the reason. This helps developers, but also attackers."
    )
    statuses: Annotated[dict[StatusKey, StrictInt], Words("status: status")] = Field(
        default={},
        description="Replacements for the status codes 400, 401, 403, 429 and 503: `{403: 404}` hides forbidden resources.",
    )
    redirect: Annotated[Text, AfterValidator(_redirect)] | None = Field(
        default=None,
        description="Redirect (302) browsers without a valid token to this URL or path, such as `https://login.example/?return={url}`; "
        "lbjwt replaces `{url}` with the requested URL.",
    )

    @field_validator("statuses")
    @classmethod
    def _truthful(cls, statuses: dict[int, int]) -> dict[int, int]:
        faults: list[Fault] = []
        for told, status in statuses.items():
            try:
                check_status(told, status)
            except errors.ConfigurationError as error:
                faults.append(Fault(("statuses", str(told)), str(error), at_key=error.place == ("told",)))
        refuse(faults)
        return statuses


class Resource(Section):
    """Protected resource metadata (RFC 9728): tells clients where to get a token. lbjwt serves it without requiring a token."""

    identifier: ResourceUrl = Field(
        description="The `https` URL of the resource, as clients know it. Its path determines the path of the metadata document."
    )
    authorization_servers: Annotated[tuple[Url, ...], Field(max_length=20)] = Field(
        default=(),
        description="URLs of issuers where clients can get a token. Default: the `issuer` of each issuer that the route requires.",
    )
    scopes_supported: Annotated[tuple[ScopeToken, ...], Field(max_length=100)] = Field(
        default=(), description="Scopes that a client may request. Default: the scopes of the route and of its issuers."
    )
    name: Text | None = Field(default=None, description="A name of the resource to show to people.")
    documentation: Url | None = Field(default=None, description="The `https` URL of documentation for developers.")

    _no_repeats = field_validator("authorization_servers", "scopes_supported")(distinct)


class Retry(Section):
    """When a failed request is sent again, to another endpoint if there is one."""

    attempts: Annotated[int, whole(0, 10)] | None = Field(
        default=None,
        description="How often lbjwt sends a request again. Failed connects do not count. Default: `retries` of the cluster.",
    )
    on: Annotated[
        tuple[
            Literal["connect_failure", "reset", "refused", "timeout", "grpc_unavailable", 429, 500, 501, 502, 503, 504],
            ...,
        ],
        Field(max_length=11),
    ] = Field(
        default=("connect_failure", "reset", "refused"),
        description="What makes lbjwt send a request again: `connect_failure`, `reset` (the connection ended before a response), `refused` (an "
        "HTTP/2 endpoint did not process it), `timeout` (no response head in time), response statuses, or `grpc_unavailable` (a gRPC call whose "
        "response is the status UNAVAILABLE and nothing else). All but `connect_failure`, `refused` and `grpc_unavailable` apply to idempotent "
        "methods only.",
    )
    try_timeout: Annotated[float, Seconds(0.01, 3_600)] | None = Field(
        default=None,
        description="Maximum time from the end of the request to the response head, for each try. Default: `response_timeout` of the cluster.",
    )

    _no_repeats = field_validator("on")(distinct)


class Route(Section):
    """Which requests the route matches, and what they need. The most specific route wins, in any order; other requests get 404."""

    name: Label = Field(description="Name of the route in logs and metrics.")
    hosts: Annotated[tuple[Host, ...], Field(max_length=1000)] = Field(
        default=(),
        description="Hosts, such as `api.example`, or `*.example` for all hosts below it. Default: every host.",
    )
    path: Path | None = Field(
        default=None,
        description="The exact path. Give `path` or `prefix`, not both; without either, the route matches every path.",
    )
    prefix: Annotated[Path, AfterValidator(_prefix)] | None = Field(
        default=None,
        description="The beginning of the path, in whole segments: `/api` matches `/api`, `/api/` and `/api/x`, but not `/apix`.",
    )
    methods: Annotated[
        tuple[Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], ...], Field(max_length=7)
    ] = Field(default=(), description="Methods; GET also matches HEAD. Default: every method.")
    rewrite: Rewrite | None = Field(
        default=None,
        json_schema_extra={"shortcut": {"type": "string", "pattern": "^/"}},
        description="The path that endpoints get in place of `path` or `prefix`, also with claims in it. Default: the path of the client.",
    )
    cluster: ClusterOrChoice | None = Field(
        default=None,
        description="Label of the cluster that serves its requests, or a choice among several. Required when there are several clusters.",
    )
    timeout: Annotated[float, Seconds(0.01, 3_600)] | None = Field(
        default=None,
        description="Maximum time for all tries together, from the request to the response head; then the client gets 504. The time in which the "
        "client sends the body does not count. Default: no limit.",
    )
    retry: Retry = Field(default=Retry(), validate_default=True, description="When a failed request is sent again.")
    public: StrictBool = Field(
        default=False, description="Read no token and let every request pass. Default: a token is required."
    )
    require: Require | None = Field(
        default=None, description="Issuers whose tokens the route accepts. Default: any of the configured issuers."
    )
    allow_missing: StrictBool = Field(
        default=False,
        description="Let requests without a token pass, without identity headers. lbjwt still refuses a request with a bad token.",
    )
    audiences: Annotated[tuple[Text, ...], Field(max_length=100)] = Field(
        default=(),
        description="The `aud` claim must contain one of these, in addition to one of the issuer's audiences.",
    )
    scopes: Scopes = Field(default=Scopes(), description="Scopes that the token must have.")
    rules: Annotated[tuple[RouteRule, ...], Field(max_length=MAX_RULES)] = Field(
        default=(), description="Rules on claims; all of them must hold."
    )
    report_only: StrictBool = Field(
        default=False,
        validate_default=True,
        description="Count and log what would be refused, but let every request pass, to introduce tokens without risk. Nothing is protected.",
    )
    end_streams: StrictBool = Field(
        default=True,
        description="End responses and WebSockets in progress when their token expires or is revoked, and uploads when it is revoked.",
    )
    stream_grace: Annotated[float, Seconds(0, 86_400)] = Field(
        default=0.0,
        description="How long responses and WebSockets may continue after their token expired. lbjwt ends them immediately after a revocation.",
    )
    realm: Realm | None = Field(
        default=None,
        description="The realm in the `WWW-Authenticate` header of this route's refusals (RFC 9110 §11.5). Default: the top-level `realm`.",
    )
    refusals: Refusals = Field(default=Refusals(), description="Responses to refused requests.")
    resource: Resource | None = Field(default=None, description="Serve protected resource metadata (RFC 9728).")

    _no_repeats = field_validator("hosts", "methods", "audiences")(distinct)

    @field_validator("prefix")
    @classmethod
    def _path_or_prefix(cls, prefix: str | None, info: ValidationInfo) -> str | None:
        if prefix is not None and given(info, "path"):
            raise across("give path or prefix, not both", "prefix", at_key=True)
        return prefix

    @field_validator("rewrite")
    @classmethod
    def _whole_segments(cls, rewrite: Rewrite | None, info: ValidationInfo) -> Rewrite | None:
        if rewrite is not None and info.data.get("path") is None and rewrite.path.endswith("/") and rewrite.path != "/":
            sentence = f'what follows the prefix begins with a slash; did you mean "{rewrite.path.rstrip("/")}"?'
            raise across(sentence, "rewrite", at_key=True)
        return rewrite

    @field_validator("retry")
    @classmethod
    def _try_within_the_deadline(cls, retry: Retry, info: ValidationInfo) -> Retry:
        timeout = info.data.get("timeout")
        if timeout is not None and retry.try_timeout is not None and retry.try_timeout >= timeout:
            raise across(
                "try_timeout must be shorter than timeout, which limits all tries together", "retry", "try_timeout"
            )
        return retry

    @field_validator("require", "allow_missing", "audiences", "scopes", "rules", "report_only", "realm", "resource")
    @classmethod
    def _not_public(cls, value: T, info: ValidationInfo) -> T:
        if info.data.get("public") is True and value not in (None, False, (), Scopes()):
            key = str(info.field_name)
            raise across(f"{key} has no effect on a public route; remove {key} or public", key, at_key=True)
        return value

    @field_validator("allow_missing")
    @classmethod
    def _missing_of_several(cls, missing: bool, info: ValidationInfo) -> bool:
        require = info.data.get("require")
        if missing and isinstance(require, Require) and require.all_of is not None:
            raise across("allow_missing cannot be used with all_of; remove one of the two", "allow_missing")
        return missing

    @field_validator("rules")
    @classmethod
    def _distinct_names(cls, rules: tuple[RouteRule, ...]) -> tuple[RouteRule, ...]:
        seen: set[str] = set()
        faults: list[Fault] = []
        for at, rule in enumerate(rules):
            if rule.name in seen:
                faults.append(
                    Fault(("rules", at, "name"), f"two rules of the route have the name {rule.name}; rename one")
                )
            seen |= {rule.name} if rule.name is not None else set()
        refuse(faults)
        with placed():
            RoutePolicy(name="route", rules=tuple(rule.route_rule for rule in rules))
        return rules

    @field_validator("report_only")
    @classmethod
    def _claims_of_a_token(cls, report_only: bool, info: ValidationInfo) -> bool:
        """A claim may choose the cluster or be in the path only where every request that passes has a verified token."""
        choice, rewrite = info.data.get("cluster"), info.data.get("rewrite")
        open_to_all = [key for key in ("public", "allow_missing") if info.data.get(key) is True] + [
            "report_only"
        ] * report_only
        if isinstance(rewrite, Rewrite) and rewrite.template.claims and open_to_all:
            sentence = (
                f"with {open_to_all[0]}, requests without a valid token pass, and they have no claim for the path; "
                f"remove {open_to_all[0]}, or write a path without claims"
            )
            raise across(sentence, "rewrite", at_key=True)
        if not isinstance(choice, ClusterChoice):
            return report_only
        if choice.claim is not None and open_to_all:
            sentence = (
                f"with {open_to_all[0]}, requests without a valid token pass, and they have no claim that chooses a cluster; "
                f"remove {open_to_all[0]}, or name one cluster"
            )
            raise across(sentence, "cluster", "claim", at_key=True)
        if choice.by_claim is not None and info.data.get("public") is True:
            raise across(
                "a public route reads no token, so it cannot split by a claim; use by: client_address", "cluster", "by"
            )
        return report_only

    @field_validator("stream_grace")
    @classmethod
    def _grace_of_an_end(cls, grace: float, info: ValidationInfo) -> float:
        if grace and info.data.get("end_streams") is False:
            raise across(
                "stream_grace has no effect with end_streams: false; remove one of the two", "stream_grace", at_key=True
            )
        return grace

    @property
    def clusters(self) -> tuple[str, ...]:
        """The clusters that its requests may go to; () when it names none."""
        if isinstance(self.cluster, ClusterChoice):
            return self.cluster.labels
        return () if self.cluster is None else (self.cluster,)

    @property
    def place(self) -> tuple[str, bool]:
        """Its path or prefix, and True for a path; ("/", False) is every path."""
        return (self.path, True) if self.path is not None else (self.prefix or "/", False)

    def covers(self, method: str) -> bool:
        return not self.methods or method in self.methods or (method == "HEAD" and "GET" in self.methods)

    @property
    def match(self) -> RouteMatch:
        return RouteMatch(self.hosts, self.path, self.prefix, self.methods)

    def policy(self, issuers: frozenset[int] | None) -> RoutePolicy:
        """Its requirements of a verified token; ``issuers`` are the indexes of the accepted ones, None for all."""
        return RoutePolicy(
            name=self.name,
            issuers=issuers,
            audiences=self.audiences or None,
            scopes_all=self.scopes.all,
            scopes_any=self.scopes.any,
            rules=tuple(rule.route_rule for rule in self.rules),
        )

    def required(self, issuers: Mapping[str, Issuer]) -> list[Issuer]:
        return [issuer for label, issuer in issuers.items() if self.require is None or label in self.require.labels]

    def asked_scopes(self, issuers: Mapping[str, Issuer]) -> tuple[str, ...]:
        """The scopes that a client needs: those of the route and of its issuers."""
        of_issuers = [scope for issuer in self.required(issuers) for scope in issuer.required_scopes]
        return tuple(dict.fromkeys([*self.scopes.all, *self.scopes.any, *of_issuers]))

    def refusal_style(self, issuers: Mapping[str, Issuer]) -> RefusalStyle:
        return RefusalStyle(
            json=self.refusals.format == "json",
            expose_reason=self.refusals.expose_reason,
            statuses=self.refusals.statuses,
            redirect=self.refusals.redirect,
            resource_metadata=metadata_url(self.resource.identifier) if self.resource is not None else None,
            scopes=self.asked_scopes(issuers),
        )

    def metadata(self, issuers: Mapping[str, Issuer]) -> bytes:
        resource, required = self.resource, self.required(issuers)
        assert resource is not None
        names = dict.fromkeys(name for issuer in required for name in issuer.names)
        return metadata_document(
            resource=resource.identifier,
            authorization_servers=resource.authorization_servers or tuple(names),
            scopes_supported=resource.scopes_supported or self.asked_scopes(issuers),
            bearer_methods_supported=sorted(frozenset[str]().union(*(issuer.bearer_methods for issuer in required))),
            resource_name=resource.name,
            resource_documentation=resource.documentation,
        )
