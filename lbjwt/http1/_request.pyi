"""Contracts of `_request.pyx`. What per-request code uses (slices, `parse`, `write`) stands in `_request.pxd`."""

from collections.abc import Iterable
from enum import IntEnum
from typing import Literal, Self, final

from lbjwt._error_reason import ErrorReason

class Parse(IntEnum):
    """What a parser has to say about the bytes so far."""

    NEED_MORE = 0
    COMPLETE = 1
    REFUSED = 2

class Method(IntEnum):
    """The methods whose meaning matters to the proxy; every other one that httptools knows is OTHER."""

    OTHER = 0
    GET = 1
    HEAD = 2
    POST = 3
    PUT = 4
    DELETE = 5
    OPTIONS = 6
    PATCH = 7
    TRACE = 8
    CONNECT = 9

@final
class RequestPolicy:
    """What the listener's configuration says about request heads; compiled once, shared by all connections. Immutable."""

    max_request_line: int
    """Bytes, CRLF not counted; past it 414. Kept below max_head."""
    max_head: int
    """Bytes, request line and blank line included; past it 431."""
    max_fields: int
    """Field lines; past it 431."""
    header_names: int
    """What becomes of field names outside [A-Za-z0-9-]: 0 dropped and counted, 1 the request is refused, 2 forwarded."""
    x_forwarded: bool
    """X-Forwarded-For, -Proto and -Host are written."""
    forwarded: bool
    """Forwarded (RFC 7239) is written."""
    forward_token: bool
    """Authorization goes on to the endpoint."""
    allow_websocket: bool
    """A well-formed RFC 6455 upgrade goes on to the endpoint; any other upgrade never does."""
    https: bool
    """The scheme the client used, for X-Forwarded-Proto."""

    def __new__(
        cls,
        *,
        max_request_line: int = 8192,
        max_head: int = 32768,
        max_fields: int = 100,
        header_names: Literal["drop", "reject", "allow"] = "drop",
        forwarded_headers: Literal["x-forwarded", "forwarded", "both"] = "x-forwarded",
        forward_token: bool = True,
        allow_websocket: bool = True,
        https: bool = False,
        identity_headers: Iterable[str] = (),
    ) -> Self:
        """
        Compile a policy.

        Args:
            identity_headers: Names of the headers that only lbjwt may write. Whatever a client sends that folds to one of
                them (letters lower, everything but letters and digits one symbol) is removed, under every `header_names`.

        Raises:
            ValueError: A limit too small for any request, an unknown `header_names` or `forwarded_headers`, or an identity header that is not
                letters, digits and hyphens, or whose name means something else to HTTP (Host, Authorization, Connection …).
        """

def request_policy(
    *,
    max_request_line: int = 8192,
    max_head: int = 32768,
    max_fields: int = 100,
    header_names: Literal["drop", "reject", "allow"] = "drop",
    forwarded_headers: Literal["x-forwarded", "forwarded", "both"] = "x-forwarded",
    forward_token: bool = True,
    allow_websocket: bool = True,
    https: bool = False,
    identity_headers: Iterable[str] = (),
) -> RequestPolicy:
    """The policy of a listener; see `RequestPolicy`."""

@final
class RequestHead:
    """One parsed request head, used again for request after request of a connection (or of a worker: `parse` and `write`
    keep nothing between two heads that the caller does not pass in)."""

    size: int
    """Bytes of the head, once COMPLETE; up to two empty lines before the request line included; of no use else."""
    problem: ErrorReason
    """Once REFUSED: why, else NO_ERROR. The connection is to be closed after the answer."""
    method: Method
    http10: bool
    keep_alive: bool
    """The client's wish, by version and Connection (RFC 9112 section 9.3)."""
    content_length: int
    """-1: none given."""
    chunked: bool
    expect_continue: bool
    """Expect: 100-continue of an HTTP/1.1 request with a body; in all other cases the field is dropped."""
    websocket: bool
    authorization_count: int
    dropped_names: int
    """Fields dropped for a name outside [A-Za-z0-9-]."""
    token_in_query: bool
    """Set by the search for a token: one came in the target. False after `parse`."""
    subprotocol_answer: bool
    """Set by the search for a token: one came behind the subprotocol "bearer". False after `parse`."""

    def parse_bytes(
        self, data: bytes | bytearray | memoryview, policy: RequestPolicy, seen: int = 0, known: bytes | None = None
    ) -> Parse:
        """Test door to `parse`; keeps `data` alive until the next call."""

    def parts(self) -> tuple[bytes, bytes, bytes]:
        """Test door: method name, target as forwarded, host. Only after COMPLETE."""

    def fields(self) -> list[tuple[bytes, bytes]]:
        """Test door: name and value of every field of the head, those that `write` leaves out included. Only after COMPLETE."""

    def authorization_value(self) -> bytes | None:
        """Test door: the value of the one Authorization field; None when none or more than one came. Only after COMPLETE."""

    def write_bytes(
        self,
        policy: RequestPolicy,
        *,
        peer: bytes = b"192.0.2.1",
        trusted: bool = False,
        identity: bytes = b"",
        request_id: bytes = b"",
    ) -> bytes:
        """Test door to `write`. Only after COMPLETE."""
