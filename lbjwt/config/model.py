"""
The configuration: one frozen object, the same whether a file, flags or Python made it.

Attribute names are the keys of the file; the JSON Schema and ``docs/reference.md`` are generated from the descriptions. ``lbjwt.checks`` looks for
valid settings that are unsafe, and at the files.
"""

import hashlib
from pathlib import Path as FilePath
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticKnownError

from lbjwt.auth.revocation import MAX_ENTRIES
from lbjwt.config.access_log import AccessLog as AccessLog
from lbjwt.config.backend_tls import BackendTls
from lbjwt.config.balancing import Balancing, ByName
from lbjwt.config.claim_header import ClaimHeader
from lbjwt.config.ejection import Ejection
from lbjwt.config.fields import (
    Bytes,
    Directory,
    EndpointAddress,
    File,
    Label,
    Network,
    OrFalse,
    Percent,
    PortAddress,
    Realm,
    Seconds,
    Workers,
    first_repeat,
    whole,
)  # fmt: skip
from lbjwt.config.health_check import HealthCheck, check_ports
from lbjwt.config.http2 import EndpointHttp2
from lbjwt.config.issuer import Issuer as Issuer
from lbjwt.config.limits import Limits as Limits
from lbjwt.config.limits import Timeouts as Timeouts
from lbjwt.config.listener import Listener as Listener
from lbjwt.config.listener import Tls as Tls
from lbjwt.config.relations import (
    MAX_CLUSTERS,
    address_faults,
    claim_header_faults,
    cluster_faults,
    issuer_faults,
    log_faults,
    route_faults,
)
from lbjwt.config.resolve import Resolve
from lbjwt.config.route import Route
from lbjwt.config.section import Section, across, given, refuse

MAX_ENDPOINTS: Final = 1000
"""Of one cluster, as configured, from a file, or as a name resolves."""
_MIB: Final = 1 << 20


class Endpoint(Section):
    """One backend server."""

    address: EndpointAddress = Field(
        description="`HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`; `http://HOST:PORT` is the same as `HOST:PORT`. `https://HOST:PORT` for TLS, "
        "see `tls` of the cluster. Default ports: 80 and 443. `srv:_SERVICE._PROTOCOL.DOMAIN` for the SRV records of a service, "
        "`https+srv:_SERVICE._PROTOCOL.DOMAIN` for those of one with TLS. Each address that a name has is an endpoint."
    )
    weight: Annotated[int, whole(0, 1000)] = Field(
        default=1,
        description="Share of the requests: weight 2 gets twice as many as weight 1. 0 drains the endpoint: it gets no new request.",
    )
    backup: StrictBool = Field(default=False, description="Use the endpoint only while no other one can be used.")
    max_connections: Annotated[int, whole(1, 65_536)] | None = Field(
        default=None,
        description="Maximum number of connections to this endpoint at the same time, over all workers. Default: the cluster's `max_connections`.",
    )


def _distinct_endpoints(endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    if twice := first_repeat(endpoint.address for endpoint in endpoints):
        raise ValueError(f"the list contains the endpoint {twice} twice; to send it more requests, raise its weight")
    return endpoints


Endpoints = Annotated[
    tuple[Endpoint, ...], Field(min_length=1, max_length=MAX_ENDPOINTS), AfterValidator(_distinct_endpoints)
]


class Cluster(Section):
    """Endpoints that serve the same requests."""

    endpoints: Endpoints = Field(
        default=(), description="The backend servers, at least one here or in `endpoints_file`."
    )
    endpoints_file: File | None = Field(
        default=None,
        validate_default=True,
        description="A JSON or YAML file with a list like `endpoints`, used beside it and watched for changes. While the file is wrong, the "
        "endpoints that it had stay.",
    )
    resolve: Resolve = Field(default=Resolve(), description="How names of endpoints are resolved.")
    balancing: Annotated[Balancing, ByName()] = Field(
        default=Balancing(), description="Which endpoint a request goes to: the name of a method, or a mapping."
    )
    slow_start: Annotated[float, Seconds(0, 3_600)] = Field(
        default=0.0,
        description="Time over which the share of an endpoint that comes into service grows from 10 % to its weight. "
        "0: it gets its whole share at once.",
    )
    connect_timeout: Annotated[float, Seconds(0.01, 60)] = Field(
        default=2.0,
        description="Time to connect to an endpoint, with the TLS handshake; after that, lbjwt tries the next one.",
    )
    response_timeout: Annotated[float, Seconds(0.01, 3_600)] = Field(
        default=15.0,
        description="Maximum time from the end of the request to the first byte of the response head; after that, the client gets 504.",
    )
    idle_timeout: Annotated[float, Seconds(0.1, 3_600)] = Field(
        default=30.0,
        description="How long to keep an unused connection. Set it below the endpoint's own limit; otherwise requests meet closed connections.",
    )
    max_idle_connections: Annotated[int, whole(0, 65_536)] | None = Field(
        default=None,
        description="Maximum number of unused connections, per endpoint and worker. Default: `max_connections`.",
    )
    max_connections: Annotated[int, whole(1, 65_536)] = Field(
        default=1024, description="Maximum number of connections at the same time, per endpoint, over all workers."
    )
    max_requests: Annotated[int, whole(1, 10_000_000)] | None = Field(
        default=None,
        description="Maximum number of requests in flight to the cluster, over all workers; further ones get 503. Default: no limit.",
    )
    max_pending: Annotated[int, whole(0, 65_536)] = Field(
        default=1024,
        description="Maximum number of requests per worker that wait while every endpoint is full; further ones get 503. 0: no request waits.",
    )
    pending_timeout: Annotated[float, Seconds(0.01, 300)] = Field(
        default=5.0, description="How long a request waits while every endpoint is full; after that, it gets 503."
    )
    retries: Annotated[int, whole(0, 5)] = Field(
        default=1,
        description="How often lbjwt sends a request again after a failure that `retry.on` of its route names (default: its connection closed "
        "without a response), where RFC 9110 §9.2.2 allows it. A route can set `retry.attempts`.",
    )
    retry_budget: Annotated[float, Percent(0, 1)] = Field(
        default=0.2,
        description="Maximum number of requests that are sent again, as a share of those that came in the last seconds; three at a time are always "
        "allowed. When it is used up, the client gets the failure. This protects endpoints that fail because of their load.",
    )
    protocol: Literal["http1", "http2", "auto"] = Field(
        default="http1",
        description="What the endpoints speak. `http2`: many requests at a time on one connection, as gRPC needs it; with TLS by ALPN, without it "
        "from the first byte (h2c). `auto`: HTTP/2 to `https` endpoints that offer it, else HTTP/1.1.",
    )
    http2: EndpointHttp2 = Field(
        default_factory=EndpointHttp2,
        description="How HTTP/2 connections to the endpoints are used, with `protocol: http2` or `auto`.",
    )
    health_check: HealthCheck | None = Field(
        default=None,
        json_schema_extra={"shortcut": {"type": "string", "pattern": "^/"}},
        description="Check the endpoints regularly, and send no requests to those that fail. Default: no checks.",
    )
    tls: BackendTls | None = Field(
        default=None,
        description="TLS to the `https` endpoints of this cluster. Default: their certificates must name their host, signed by an authority "
        "of the system.",
    )

    panic_threshold: Annotated[float, Percent(0, 1)] = Field(
        default=0.5,
        description="When fewer than this share of the endpoints are healthy, and no backup is, requests go to all of them, as those that are left "
        "could not carry the load. 0%: never.",
    )
    ejection: Annotated[Ejection | Literal[False], OrFalse(Ejection)] = Field(
        default=Ejection(), description="When an endpoint whose requests fail is passed over; `false`: never."
    )

    @field_validator("endpoints_file")
    @classmethod
    def _some_endpoint(cls, file: FilePath | None, info: ValidationInfo) -> FilePath | None:
        if file is None and info.data.get("endpoints") == ():
            raise across("is required, or endpoints_file", "endpoints")
        return file

    @field_validator("health_check")
    @classmethod
    def _ports(cls, check: HealthCheck | None, info: ValidationInfo) -> HealthCheck | None:
        if check is not None and check.type == "grpc" and info.data.get("protocol") == "http1":
            raise across("a check of type grpc needs HTTP/2; set protocol: http2", "health_check", "type")
        if check is not None:
            check_ports(check, [endpoint.address for endpoint in info.data.get("endpoints", ())])
        return check

    @field_validator("tls")
    @classmethod
    def _endpoints_with_tls(cls, tls: BackendTls | None, info: ValidationInfo) -> BackendTls | None:
        endpoints = info.data.get("endpoints") or ()
        check = info.data.get("health_check")
        listed = endpoints and not given(info, "endpoints_file")  # a file may bring some at any time
        used = any(endpoint.address.https for endpoint in endpoints) or (check is not None and check.scheme == "https")
        if tls is not None and listed and not used:
            raise ValueError("no endpoint uses TLS, so this has no effect; write the addresses as https://HOST:PORT")
        return tls

    @property
    def uses_tls(self) -> bool:
        """True when there is an https endpoint, or may be one, or endpoints are checked over TLS."""
        checked = self.health_check is not None and self.health_check.scheme == "https"
        return checked or self.tls is not None or any(endpoint.address.https for endpoint in self.endpoints)


class TokenCache(Section):
    """The cache of verified tokens, per worker."""

    max_bytes: Annotated[int, Bytes(0, 1 << 40)] = Field(
        default=64 * _MIB, description="Memory for verified tokens, per worker. 0 disables the cache."
    )
    max_entries: Annotated[int, whole(0, 100_000_000)] = Field(
        default=1_000_000, description="Maximum number of cached tokens per worker. 0 disables the cache."
    )


class Revocation(Section):
    """Refuse tokens before they expire."""

    file: File | None = Field(
        default=None,
        description="A file of revocations, one JSON object per line, watched for changes. Revocations made at run time do not need it.",
    )
    max_entries: Annotated[int, whole(1, 100_000_000)] = Field(
        default=MAX_ENTRIES,
        description="Maximum number of revocations in force. lbjwt refuses to add further ones and never drops one early.",
    )


class FailLimit(Section):
    """A limit on bad tokens per client address (IPv6: per /64)."""

    failures: Annotated[int, whole(1, 1_000_000)] = Field(
        description="Bad tokens within `window` after which an address gets 429 for every token that is not in the cache."
    )
    window: Annotated[float, Seconds(1, 3_600)] = Field(default=60.0, description="Length of the sliding window.")


class Admin(Section):
    """The admin API: `/livez`, `/readyz`, `/metrics`, `/status`, `/clusters`, `/reload`, and `/revocations` with `revocation`. It has no password."""

    address: PortAddress = Field(description="`HOST:PORT`; keep it on loopback or a management network.")
    remote_access: Literal["full", "metrics"] = Field(
        default="full",
        description="What other machines get: everything, or `/livez`, `/readyz` and `/metrics` only. This machine gets everything, by the name "
        "`localhost` or a loopback address.",
    )


def _forwards_nothing(listeners: Any) -> bool:
    """Every listener answers another proxy. listeners: as given, or valid."""
    modes = [one.get("mode") if isinstance(one, dict) else getattr(one, "mode", None) for one in listeners or ()]
    return bool(modes) and set(modes) == {"authorize"}


_MISSING: Final = object()


class Configuration(Section):
    """All settings of one load balancer."""

    listeners: Annotated[tuple[Listener, ...], Field(min_length=1, max_length=100)] = Field(
        description="Addresses where clients connect, at least one."
    )
    issuers: dict[Label, Issuer] = Field(
        description="Trusted issuers, at least one. Each has a label, which logs and metrics show."
    )
    clusters: dict[Label, Cluster] = Field(
        default={},
        description="Groups of backends for the requests, at least one, unless every listener has `mode: authorize`. Each has a label, which "
        "routes, metrics and `/status` show.",
    )
    routes: Annotated[tuple[Route, ...], Field(max_length=1000)] = Field(
        default=(),
        validate_default=True,
        description="Rules for parts of the service. Default: every request needs a token of one of the issuers.",
    )
    revocation: Revocation | None = Field(
        default=None,
        description="Refuse tokens before they expire. `{}` is enough for `lbjwt revoke` and the admin API.",
    )
    fail_limit: FailLimit | None = Field(
        default=None, description="Answer 429 to addresses that send too many bad tokens. Default: no limit."
    )
    state_directory: Directory | None = Field(
        default=None,
        description="A directory only for lbjwt (mode 0700), where it stores the last good keys, discovered endpoints and those set over the "
        "admin API, states and weights of endpoints and revocations set at run time, so that they survive a restart. "
        "Default: nothing survives a restart.",
    )
    token_cache: TokenCache = Field(default=TokenCache(), description="The cache of verified tokens.")
    claim_to_headers: Annotated[tuple[ClaimHeader, ...], Field(max_length=64)] = Field(
        default=(), description="Claims that lbjwt passes to endpoints as headers."
    )
    forward_token: StrictBool = Field(
        default=True,
        description="Pass headers with a token, such as `Authorization`, on to endpoints; false removes them.",
    )
    realm: Realm = Field(
        default="lbjwt",
        description="The realm in the `WWW-Authenticate` header of refusals (RFC 6750 §3); a route can have its own.",
    )
    trusted_proxies: Annotated[tuple[Network, ...], Field(max_length=1000)] = Field(
        default=(),
        description="Networks of proxies from which lbjwt accepts `X-Forwarded-*`, `Forwarded`, `X-Real-IP` and `X-Request-Id`; "
        "from all others it replaces or drops these headers.",
    )
    forwarded_headers: Literal["x-forwarded", "forwarded", "both"] = Field(
        default="x-forwarded",
        description="Headers that give endpoints the client's address, scheme and host: `X-Forwarded-For`, `-Proto` and `-Host`, "
        "`Forwarded` (RFC 7239), or both.",
    )
    header_names: Literal["drop", "reject", "allow"] = Field(
        default="drop",
        description="What to do with headers whose name has characters outside `[A-Za-z0-9-]`, because some backends confuse them "
        "with other names: `drop` the header, `reject` the request with 400, or `allow`.",
    )
    allow_half_close: StrictBool = Field(
        default=False,
        description="Answer a client that closes its sending side before it has received the response; false cancels its request.",
    )
    allow_websocket: StrictBool = Field(
        default=True,
        description="Pass `Upgrade: websocket` on and open a tunnel; false removes the upgrade from the request.",
    )
    limits: Limits = Field(default=Limits(), description="Limits on what clients and endpoints may send.")
    timeouts: Timeouts = Field(default=Timeouts(), description="Times after which lbjwt stops waiting for a peer.")
    workers: Workers = Field(
        default=1,
        description="Number of worker processes, 1 to 1024; `auto` means one for each processor that the process may use.",
    )
    watch: StrictBool = Field(
        default=False,
        description="Reload this file when it changes; lbjwt looks at it each second. false: only on `SIGHUP` and `lbjwt reload`.",
    )
    admin: Admin | None = Field(default=None, description="Enable the admin API. Default: disabled.")
    access_log: AccessLog | None = Field(default=None, description="Write an access log. Default: none.")

    @field_validator("listeners")
    @classmethod
    def _distinct_listeners(cls, listeners: tuple[Listener, ...]) -> tuple[Listener, ...]:
        if twice := first_repeat(one.address for one in listeners if one.address.port or one.address.is_unix):
            raise ValueError(f"two listeners have the address {twice}; remove one")
        return listeners

    @field_validator("issuers")
    @classmethod
    def _who_is_who(cls, issuers: dict[str, Issuer]) -> dict[str, Issuer]:
        refuse(issuer_faults(issuers))
        return issuers

    @model_validator(mode="before")
    @classmethod
    def _clusters_or_none_needed(cls, document: Any) -> Any:
        if not isinstance(document, dict) or "clusters" in document:
            return document
        listeners = document.get("listeners")
        needed = not isinstance(listeners, list | tuple) or not _forwards_nothing(listeners)
        return {**document, "clusters": _MISSING} if needed else document

    @field_validator("clusters", mode="before")
    @classmethod
    def _required(cls, clusters: Any) -> Any:
        if clusters is _MISSING:
            raise PydanticKnownError("missing")
        return clusters

    @field_validator("clusters")
    @classmethod
    def _at_least_one(cls, clusters: dict[str, Cluster], info: ValidationInfo) -> dict[str, Cluster]:
        if not clusters and not _forwards_nothing(info.data.get("listeners")):
            raise ValueError("needs a cluster with a label that you choose")
        if len(clusters) > MAX_CLUSTERS:
            raise ValueError(f"at most {MAX_CLUSTERS} clusters are possible, but there are {len(clusters)}")
        return clusters

    @field_validator("routes")
    @classmethod
    def _tell_apart(cls, routes: tuple[Route, ...], info: ValidationInfo) -> tuple[Route, ...]:
        refuse(route_faults(routes, info.data.get("issuers")))
        refuse(cluster_faults(routes, info.data.get("clusters")))
        return routes

    @field_validator("claim_to_headers")
    @classmethod
    def _one_writer(cls, pairs: tuple[ClaimHeader, ...], info: ValidationInfo) -> tuple[ClaimHeader, ...]:
        refuse(claim_header_faults(pairs, info.data.get("issuers"), info.data.get("routes")))
        return pairs

    @property
    def named_listeners(self) -> dict[str, Listener]:
        """
        Listeners by what they are known by over reloads: their address. Of several on port 0 of one host, where the system chooses a port for each,
        the second is `HOST:0 (2)`.
        """
        named: dict[str, Listener] = {}
        for listener in self.listeners:
            address = name = str(listener.address)
            number = 1
            while name in named:
                number += 1
                name = f"{address} ({number})"
            named[name] = listener
        return named

    @property
    def endpoint_count(self) -> int:
        """Endpoints of all clusters."""
        return sum(len(cluster.endpoints) for cluster in self.clusters.values())

    @property
    def fingerprint(self) -> str:
        """16 hex characters that differ when a setting does: of the SHA-256 of all that were given."""
        text = self.model_dump_json(by_alias=True, exclude_unset=True, exclude_none=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def only_cluster(self) -> str:
        """The name of the one cluster, for routes that name none; "" where nothing is forwarded."""
        return next(iter(self.clusters), "")

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        sections = dict(self)
        refuse([*address_faults(sections), *log_faults(sections)])
        return self
