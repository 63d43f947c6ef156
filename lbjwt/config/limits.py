"""What clients and endpoints may send, and how long lbjwt waits for them: the ``limits`` and ``timeouts`` sections."""

from typing import Annotated, Final

from pydantic import Field, ValidationInfo, field_validator

from lbjwt.auth.identity import MAX_TOTAL, MAX_VALUE, MOST_BYTES
from lbjwt.auth.logged_claims import MAX_LOGGED, MOST_LOGGED
from lbjwt.auth.policy import MAX_TOKEN
from lbjwt.config.fields import Bytes, Seconds, whole
from lbjwt.config.http2 import Http2Limits
from lbjwt.config.section import Section, across
from lbjwt.units import format_size

_KIB: Final = 1 << 10
_MIB: Final = 1 << 20


class Limits(Section):
    """Limits on what clients and endpoints may send. Each protects memory or processor time."""

    max_request_line: Annotated[int, Bytes(256, 64 * _KIB)] = Field(
        default=8 * _KIB,
        description="Maximum size of the request line; a longer one gets 414 (RFC 9112 §3 recommends 8000 bytes or more).",
    )
    max_request_head: Annotated[int, Bytes(1 * _KIB, 256 * _KIB)] = Field(
        default=32 * _KIB, description="Maximum size of the request line and the headers; a larger one gets 431."
    )
    max_request_fields: Annotated[int, whole(1, 1000)] = Field(
        default=100, description="Maximum number of headers of a request; more get 431."
    )
    max_request_body: Annotated[int, Bytes(0, 1 << 50)] | None = Field(
        default=None,
        description="Maximum size of a request body; a larger one gets 413. Default: no limit, because lbjwt streams bodies.",
    )
    max_response_head: Annotated[int, Bytes(1 * _KIB, 1 * _MIB)] = Field(
        default=64 * _KIB,
        description="Maximum size of the status line and the headers of a response; a larger one becomes 502.",
    )
    max_response_fields: Annotated[int, whole(1, 2000)] = Field(
        default=200, description="Maximum number of headers of a response; more become 502."
    )
    max_identity_header: Annotated[int, Bytes(64, MOST_BYTES)] = Field(
        default=MAX_VALUE,
        description="Maximum size of one claim as a header; lbjwt refuses a token with a longer one. Most servers accept lines of 8 KiB.",
    )
    max_identity_headers: Annotated[int, Bytes(64, MOST_BYTES)] = Field(
        default=MAX_TOTAL, validate_default=True, description="Maximum size of all claims as headers together."
    )
    max_logged_claims: Annotated[int, Bytes(64, MOST_LOGGED)] = Field(
        default=MAX_LOGGED,
        description="Maximum size of the claims in a line of the access log; others are left out. Lines over 4 KiB can be torn in a pipe.",
    )
    max_token: Annotated[int, Bytes(256, 64 * _KIB)] = Field(
        default=MAX_TOKEN, description="Maximum size of a token, checked before lbjwt decodes it."
    )
    max_token_header: Annotated[int, Bytes(256, 64 * _KIB)] | None = Field(
        default=None,
        description="Maximum size of the encoded header of a token; a certificate chain in it (`x5c`) may need 8 KiB. Default: as `max_token`.",
    )
    max_connections: Annotated[int, whole(1, 1_000_000)] = Field(
        default=16_384, description="Maximum number of client connections, per worker."
    )
    max_waiting: Annotated[int, whole(0, 100_000)] = Field(
        default=100,
        description="Maximum number of requests per worker that wait for the keys of one issuer while lbjwt fetches an unknown key id.",
    )
    max_requests_per_connection: Annotated[int, whole(0, 1_000_000_000)] = Field(
        default=0, description="Maximum number of requests on one client connection; 0 means no limit."
    )
    http2: Http2Limits = Field(
        default_factory=Http2Limits, description="What a client may do on one HTTP/2 connection."
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
            raise ValueError(
                "a token this long does not fit in a request head; raise max_request_head or lower this limit"
            )
        return size


class Timeouts(Section):
    """Times after which lbjwt stops waiting for a peer."""

    request_head: Annotated[float, Seconds(0.1, 600)] = Field(
        default=10.0,
        description="Maximum time from the first byte (or the connection) to the end of the head, for slow and silent clients; then 408.",
    )
    keep_alive: Annotated[float, Seconds(0, 3_600)] = Field(
        default=60.0, description="How long a client connection may wait for its next request."
    )
    stream_idle: Annotated[float, Seconds(0.1, 86_400)] = Field(
        default=300.0,
        description="Maximum time without a byte in either direction during a request, response or tunnel.",
    )
    tls_handshake: Annotated[float, Seconds(0.1, 600)] = Field(
        default=10.0, description="Maximum time for the TLS handshake."
    )
    drain: Annotated[float, Seconds(0, 3_600)] = Field(
        default=30.0,
        description="How long requests in flight may take after SIGTERM; then lbjwt closes their connections.",
    )
    lame_duck: Annotated[float, Seconds(0, 600)] = Field(
        default=0.0,
        description="Time after SIGTERM in which lbjwt still serves but says at its health checks that it is not ready, so that a balancer in front "
        "stops sending requests first. `drain` begins after it.",
    )
