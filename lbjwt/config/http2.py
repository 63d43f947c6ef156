"""HTTP/2: what a client may do on one connection (``limits.http2``), and how connections to endpoints are used (``clusters.*.http2``)."""

from typing import Annotated, Final

from pydantic import Field

from lbjwt.config.fields import Bytes, Seconds, whole
from lbjwt.config.section import Section

_KIB: Final = 1 << 10


class Http2Limits(Section):
    """Limits of one HTTP/2 connection. One that exceeds `max_resets` or `max_control_frames` ends with GOAWAY (ENHANCE_YOUR_CALM)."""

    max_streams: Annotated[int, whole(1, 1000)] = Field(
        default=100,
        description="Maximum number of requests at the same time. Clients are told, and wait; the connection of one that opens more ends with "
        "GOAWAY.",
    )
    stream_window: Annotated[int, Bytes(16 * _KIB, 16 << 20)] = Field(
        default=64 * _KIB,
        description="How much of a request body may wait here for its endpoint, per request. A connection can take `max_streams` times as much "
        "memory.",
    )
    max_resets: Annotated[int, whole(1, 1_000_000)] = Field(
        default=200,
        description="Maximum number of requests per second that the client takes back, or that end because it broke a rule (CVE-2023-44487, "
        "CVE-2025-8671).",
    )
    max_control_frames: Annotated[int, whole(10, 1_000_000)] = Field(
        default=500,
        description="Maximum number of frames per second that carry nothing: PING, SETTINGS, PRIORITY_UPDATE, empty DATA.",
    )
    settings_timeout: Annotated[float, Seconds(1, 300)] = Field(
        default=10.0,
        description="How long a client may take to acknowledge the SETTINGS of lbjwt; after that, its connection ends with GOAWAY "
        "(SETTINGS_TIMEOUT).",
    )


class EndpointHttp2(Section):
    """How HTTP/2 connections to the endpoints are used."""

    max_streams: Annotated[int, whole(1, 1000)] = Field(
        default=100,
        description="Maximum number of requests at the same time on one connection; fewer if the endpoint allows fewer. Further requests open "
        "another connection, up to `max_connections`, and then wait.",
    )
    ping_interval: Annotated[float, Seconds(1, 3_600)] | None = Field(
        default=None,
        description="Send a PING when nothing has come from an endpoint for this long, with and without requests in progress. Default: no PING, as "
        "in Envoy and gRPC, because gRPC servers close connections with more than one PING in 5 minutes unless they are told otherwise.",
    )
    ping_timeout: Annotated[float, Seconds(0.1, 300)] = Field(
        default=20.0,
        description="How long to wait for the answer to a PING; after that, the connection is closed and its requests fail. The default is that "
        "of gRPC.",
    )
    max_connection_age: Annotated[float, Seconds(1, 604_800)] | None = Field(
        default=None,
        description="Age at which a connection gets no more requests; it is closed when those in progress have ended. Up to 10 % shorter at random. "
        "Use it if the endpoint is itself a balancer, which spreads connections rather than requests. Default: no limit.",
    )
