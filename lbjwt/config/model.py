"""
The configuration: one frozen object, the same whether a file, flags or Python made it.

Attribute names are the keys of the file. Every field's description carries its unit and reason; the JSON Schema and
``docs/reference.md`` are made from them. Knows what a legal configuration is; whether a legal one is safe, and whether
its files exist, is asked in ``lbjwt.checks``.
"""

import hashlib
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StrictBool, ValidationInfo, field_validator, model_validator

from lbjwt.auth.identity import MAX_TOTAL, MAX_VALUE, MOST_BYTES
from lbjwt.auth.policy import MAX_TOKEN
from lbjwt.auth.revocation import MAX_ENTRIES
from lbjwt.config.claim_header import ClaimHeader
from lbjwt.config.fields import (
    Bytes,
    Directory,
    EndpointAddress,
    File,
    Label,
    ListenAddress,
    LogPath,
    Network,
    Realm,
    Seconds,
    Workers,
    first_repeat,
    whole,
)  # fmt: skip
from lbjwt.config.issuer import Issuer as Issuer
from lbjwt.config.relations import (
    MAX_CLUSTERS,
    address_faults,
    claim_header_faults,
    cluster_faults,
    issuer_faults,
    log_faults,
    route_faults,
)
from lbjwt.config.route import Path, Route
from lbjwt.config.section import Section, across, refuse
from lbjwt.units import format_size

_KIB: Final = 1 << 10
_MIB: Final = 1 << 20


class Tls(Section):
    """TLS of a listener: versions 1.2 and 1.3."""

    certificate: File = Field(description="PEM file with the certificate and the chain up to the root.")
    private_key: File = Field(description="PEM file with the unencrypted private key.")


class Health(Section):
    """Health checks of balancers in front: 200 when `/readyz` says so, else 503; no token, any host. Neither forwarded, logged nor counted."""

    path: Path = Field(
        description="The exact path. GET and HEAD are answered, other methods get 405; no route sees a request for it."
    )


class Listener(Section):
    """Where clients connect."""

    address: ListenAddress = Field(
        description="`HOST:PORT`, `[IPV6]:PORT`, or `:PORT` for all addresses. Port 0 lets the kernel choose."
    )
    tls: Tls | None = Field(default=None, description="Speak TLS. Without it tokens travel in the clear.")
    health: Health | None = Field(
        default=None,
        description="Answer health checks on this listener. Default: none; all paths belong to the routes.",
    )


class Endpoint(Section):
    """One backend server."""

    address: EndpointAddress = Field(description="`HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`.")
    weight: Annotated[int, whole(1, 1000)] = Field(
        default=1, description="Share of the requests in flight: weight 2 holds twice as many as weight 1."
    )


class Cluster(Section):
    """Endpoints that serve the same requests; each request goes to the one with the fewest requests in flight per weight."""

    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=1, max_length=1000)] = Field(
        description="The backend servers, at least one."
    )
    connect_timeout: Annotated[float, Seconds(0.01, 60)] = Field(
        default=2.0, description="Time to connect; after that the next endpoint is tried."
    )
    response_timeout: Annotated[float, Seconds(0.01, 3_600)] = Field(
        default=15.0, description="Time from the end of the request to the first byte of the response head; then 504."
    )
    idle_timeout: Annotated[float, Seconds(0.1, 3_600)] = Field(
        default=30.0,
        description="How long an unused connection is kept. Keep it below the endpoint's own limit, otherwise requests meet closed connections.",
    )
    max_idle_connections: Annotated[int, whole(0, 65_536)] | None = Field(
        default=None,
        description="Unused connections kept, per endpoint and worker. Default: `max_connections`; `idle_timeout` ends what the load no longer uses.",
    )
    max_connections: Annotated[int, whole(1, 65_536)] = Field(
        default=1024, description="Connections at once, per endpoint and worker."
    )
    max_pending: Annotated[int, whole(0, 65_536)] = Field(
        default=1024,
        description="Requests that wait, per worker, while every endpoint has `max_connections`; beyond that the response is 503. 0: none waits.",
    )
    pending_timeout: Annotated[float, Seconds(0.01, 300)] = Field(
        default=5.0, description="How long such a request waits; then 503."
    )
    retries: Annotated[int, whole(0, 5)] = Field(
        default=1,
        description="How often a request is sent again if its connection closed without a response and RFC 9110 §9.2.2 allows it.",
    )

    @field_validator("endpoints")
    @classmethod
    def _distinct_endpoints(cls, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        if twice := first_repeat(endpoint.address for endpoint in endpoints):
            raise ValueError(f"the endpoint {twice} is here twice; to send it more requests, raise its weight")
        return endpoints


class TokenCache(Section):
    """The cache of verified tokens, per worker."""

    max_bytes: Annotated[int, Bytes(0, 1 << 40)] = Field(
        default=64 * _MIB, description="Memory for verified tokens, per worker. 0 disables the cache."
    )
    max_entries: Annotated[int, whole(0, 100_000_000)] = Field(
        default=1_000_000, description="Maximum number of cached tokens per worker. 0 disables the cache."
    )


class Revocation(Section):
    """Tokens that are refused before they expire."""

    file: File | None = Field(
        default=None,
        description="A file of revocations, one JSON object a line, watched. Revocations made at run time need none.",
    )
    max_entries: Annotated[int, whole(1, 100_000_000)] = Field(
        default=MAX_ENTRIES,
        description="Maximum number of revocations in force. lbjwt refuses further ones and drops none.",
    )


class FailLimit(Section):
    """A limit on bad tokens per client address (IPv6: per /64)."""

    failures: Annotated[int, whole(1, 1_000_000)] = Field(
        description="Bad tokens within `window` after which the address gets 429 for tokens not known to be good."
    )
    window: Annotated[float, Seconds(1, 3_600)] = Field(default=60.0, description="Length of the sliding window.")


class Limits(Section):
    """Bounds on what clients and endpoints may send. Each protects memory or processor time."""

    max_request_line: Annotated[int, Bytes(256, 64 * _KIB)] = Field(
        default=8 * _KIB, description="Bytes of the request line; more is 414 (RFC 9112 §3 asks for 8000)."
    )
    max_request_head: Annotated[int, Bytes(1 * _KIB, 256 * _KIB)] = Field(
        default=32 * _KIB, description="Bytes of request line and fields; more is 431."
    )
    max_request_fields: Annotated[int, whole(1, 1000)] = Field(
        default=100, description="Fields of a request; more is 431."
    )
    max_request_body: Annotated[int, Bytes(0, 1 << 50)] | None = Field(
        default=None, description="Bytes of a request body; more is 413. Default: no limit, bodies stream."
    )
    max_response_head: Annotated[int, Bytes(1 * _KIB, 1 * _MIB)] = Field(
        default=64 * _KIB, description="Bytes of status line and fields; more is 502."
    )
    max_response_fields: Annotated[int, whole(1, 2000)] = Field(
        default=200, description="Fields of a response; more is 502."
    )
    max_identity_header: Annotated[int, Bytes(64, MOST_BYTES)] = Field(
        default=MAX_VALUE,
        description="Bytes of one claim as a header; a longer one refuses the token. Most servers take 8 KiB lines.",
    )
    max_identity_headers: Annotated[int, Bytes(64, MOST_BYTES)] = Field(
        default=MAX_TOTAL, validate_default=True, description="Bytes of all claims as headers together."
    )
    max_token: Annotated[int, Bytes(256, 64 * _KIB)] = Field(
        default=MAX_TOKEN, description="Bytes of a token, checked before anything of it is decoded."
    )
    max_token_header: Annotated[int, Bytes(256, 64 * _KIB)] | None = Field(
        default=None,
        description="Bytes of a token's first part as it is sent; a certificate chain in it (`x5c`) may need 8 KiB. Default: as `max_token`.",
    )
    max_connections: Annotated[int, whole(1, 1_000_000)] = Field(
        default=16_384, description="Client connections, per worker."
    )
    max_waiting: Annotated[int, whole(0, 100_000)] = Field(
        default=100,
        description="Requests that wait for the keys of one issuer at once, per worker, while an unknown key id is looked up.",
    )
    max_requests_per_connection: Annotated[int, whole(0, 1_000_000_000)] = Field(
        default=0, description="Requests on one client connection; 0 is no limit."
    )

    @field_validator("max_identity_headers")
    @classmethod
    def _one_fits_all(cls, size: int, info: ValidationInfo) -> int:
        one = info.data.get("max_identity_header")
        if one is not None and size < one:
            raise across(
                f"max_identity_header is larger than max_identity_headers, which is {format_size(size)}",
                "max_identity_header",
            )
        return size

    @field_validator("max_token")
    @classmethod
    def _token_fits_the_head(cls, size: int, info: ValidationInfo) -> int:
        head = info.data.get("max_request_head")
        if head is not None and size >= head:
            raise ValueError("a token this long does not fit max_request_head")
        return size


class Timeouts(Section):
    """Times after which lbjwt stops waiting for a peer."""

    request_head: Annotated[float, Seconds(0.1, 600)] = Field(
        default=10.0,
        description="Absolute time from the first byte (or the connection) to the end of the head; then 408. It ends slow heads as well as silence.",
    )
    keep_alive: Annotated[float, Seconds(0, 3_600)] = Field(
        default=60.0, description="How long a client connection may wait for its next request."
    )
    stream_idle: Annotated[float, Seconds(0.1, 86_400)] = Field(
        default=300.0, description="Longest time without a byte either way during an exchange or a tunnel."
    )
    tls_handshake: Annotated[float, Seconds(0.1, 600)] = Field(default=10.0, description="Time for the TLS handshake.")
    drain: Annotated[float, Seconds(0, 3_600)] = Field(
        default=30.0, description="Time for requests in flight to finish after SIGTERM; then connections are cut."
    )


class Admin(Section):
    """The admin API: `/livez`, `/readyz`, `/metrics`, `/status`, and `/revocations` with `revocation`. It has no password."""

    address: ListenAddress = Field(description="`HOST:PORT`; keep it on loopback or a management network.")


class AccessLog(Section):
    """One JSON line for each request."""

    path: LogPath = Field(description="A file that is appended to, or `-` for standard output.")


class Configuration(Section):
    """Everything that one balancer needs to know."""

    listeners: Annotated[tuple[Listener, ...], Field(min_length=1, max_length=100)] = Field(
        description="Where clients connect, at least one."
    )
    issuers: dict[Label, Issuer] = Field(
        description="Trusted issuers, at least one; the key is the label in logs and metrics."
    )
    clusters: dict[Label, Cluster] = Field(
        description="Where requests go, at least one; the key is its label in routes, metrics and `/status`."
    )
    routes: Annotated[tuple[Route, ...], Field(max_length=1000)] = Field(
        default=(),
        validate_default=True,
        description="Policies for parts of the service. Default: every request needs a token of any of the issuers.",
    )
    revocation: Revocation | None = Field(
        default=None,
        description="Refuse tokens before they expire. `{}` is enough for `lbjwt revoke` and the admin API.",
    )
    fail_limit: FailLimit | None = Field(
        default=None, description="Answer 429 to addresses that fail too often. Default: no limit."
    )
    state_directory: Directory | None = Field(
        default=None,
        description="A directory of lbjwt's own (0700) for the last good keys and the revocations made at run time, so that both survive a restart. "
        "Default: none survive.",
    )
    token_cache: TokenCache = Field(default=TokenCache(), description="The cache of verified tokens.")
    claim_to_headers: Annotated[tuple[ClaimHeader, ...], Field(max_length=64)] = Field(
        default=(), description="Claims that endpoints receive as headers."
    )
    forward_token: StrictBool = Field(
        default=True,
        description="Pass request fields with a token, such as `Authorization`, on to endpoints; false strips them.",
    )
    realm: Realm = Field(
        default="lbjwt",
        description="The realm named in `WWW-Authenticate` of refusals (RFC 6750 §3); a route may have its own.",
    )
    trusted_proxies: Annotated[tuple[Network, ...], Field(max_length=1000)] = Field(
        default=(),
        description="Networks whose `X-Forwarded-*`, `Forwarded`, `X-Real-IP` and `X-Request-Id` are accepted; "
        "from others they are replaced or dropped.",
    )
    forwarded_headers: Literal["x-forwarded", "forwarded", "both"] = Field(
        default="x-forwarded",
        description="Headers that give endpoints the client's address, scheme and host: `X-Forwarded-For`, `-Proto` and `-Host`, "
        "`Forwarded` (RFC 7239), or both.",
    )
    header_names: Literal["drop", "reject", "allow"] = Field(
        default="drop",
        description="What happens to request fields with a name outside `[A-Za-z0-9-]`, which some backends take for another name: "
        "`drop` the field, `reject` the request with 400, or `allow`.",
    )
    allow_half_close: StrictBool = Field(
        default=False,
        description="Serve a client that closes its sending side before it has its response; false ends its request at the endpoint.",
    )
    allow_websocket: StrictBool = Field(
        default=True, description="Let `Upgrade: websocket` through as a tunnel; false sends the request on without it."
    )
    limits: Limits = Field(default=Limits(), description="Bounds on what clients and endpoints may send.")
    timeouts: Timeouts = Field(default=Timeouts(), description="Times after which lbjwt stops waiting for a peer.")
    workers: Workers = Field(
        default=1, description="Worker processes, 1 to 1024; `auto` is one for each processor the process may use."
    )
    admin: Admin | None = Field(default=None, description="Open the admin API. Default: closed.")
    access_log: AccessLog | None = Field(default=None, description="Write an access log. Default: none.")

    @field_validator("listeners")
    @classmethod
    def _distinct_listeners(cls, listeners: tuple[Listener, ...]) -> tuple[Listener, ...]:
        if twice := first_repeat(listener.address for listener in listeners if listener.address.port):
            raise ValueError(f"two listeners on {twice}")
        return listeners

    @field_validator("issuers")
    @classmethod
    def _who_is_who(cls, issuers: dict[str, Issuer]) -> dict[str, Issuer]:
        refuse(issuer_faults(issuers))
        return issuers

    @field_validator("clusters")
    @classmethod
    def _at_least_one(cls, clusters: dict[str, Cluster]) -> dict[str, Cluster]:
        if not clusters:
            raise ValueError("needs one cluster, under a label of your choice")
        if len(clusters) > MAX_CLUSTERS:
            raise ValueError(f"at most {MAX_CLUSTERS} clusters, but there are {len(clusters)}")
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
        """The name of the one cluster, for routes that name none."""
        (name,) = self.clusters
        return name

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        sections = dict(self)
        refuse([*address_faults(sections), *log_faults(sections)])
        return self
