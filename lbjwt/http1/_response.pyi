"""Contracts of `_response.pyx`. What per-request code uses (slices, `parse`, `write`) stands in `_response.pxd`."""

from enum import IntEnum
from typing import final

from lbjwt._error_reason import ErrorReason
from lbjwt.http1._request import Method, Parse

class Body(IntEnum):
    """How the end of a response body is known (RFC 9112 section 6.3)."""

    NO_BODY = 0
    LENGTH = 1
    CHUNKED = 2
    UNTIL_CLOSE = 3

@final
class ResponseHead:
    """One parsed response head, used again for response after response."""

    size: int
    """Bytes of the head, once COMPLETE."""
    problem: ErrorReason
    """Once REFUSED: why, else NO_ERROR. The answer is 502 and the endpoint's connection is closed."""
    status: int
    body: Body
    """UNTIL_CLOSE is written to an HTTP/1.1 client as chunked, so that a truncated body can be told from a whole one."""
    content_length: int
    """Of the body when `body` is LENGTH; of the body that would have come after HEAD or with 304; else -1."""
    keep_alive: bool
    """The endpoint lets the connection be used again. False for UNTIL_CLOSE, 101, and 1xx or 204 that announce a body."""
    websocket: bool
    """101 with Upgrade: websocket that was asked for."""

    def parse_bytes(
        self,
        data: bytes | bytearray | memoryview,
        method: Method,
        *,
        upgrade_asked: bool = False,
        max_head: int = 65536,
        max_fields: int = 200,
        seen: int = 0,
    ) -> Parse:
        """Test door to `parse`; keeps `data` alive until the next call."""

    def reason_value(self) -> bytes:
        """Test door: the reason phrase, possibly empty. Only after COMPLETE."""

    def fields(self) -> list[tuple[bytes, bytes]]:
        """Test door: name and value of every field of the head, those that `write` leaves out included. Only after COMPLETE."""

    def names_subprotocol(self) -> bool:
        """Whether what is written has a Sec-WebSocket-Protocol field. Only after COMPLETE."""

    def write_bytes(
        self,
        *,
        http10: bool = False,
        keep_alive: bool = True,
        request_id: bytes = b"",
        date: bytes = b"",
        extra: bytes = b"",
    ) -> bytes:
        """Test door to `write`. Only after COMPLETE."""
