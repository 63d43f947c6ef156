from typing import final

from lbjwt._error_reason import ErrorReason

@final
class ChunkedDecoder:
    """RFC 9112 section 7.1, strict. Per-request code uses `start` and `feed` of the .pxd."""

    done: bool
    """The last CRLF of the trailer section was read; what follows belongs to the next message."""
    problem: ErrorReason
    """Why `feed` returned -1, in the words for a request; else NO_ERROR."""
    body_bytes: int
    """Decoded so far."""
    body_at: int
    """After `feed`: where the decoded bytes of this call start in the data."""
    body_size: int
    """After `feed`: how many decoded bytes of this call there are. What stood before a refusal is decoded all the same."""

    def begin(self, max_body: int = -1) -> None:
        """Test door to `start`: a new message of at most `max_body` bytes (negative: no limit)."""

    def take(self, data: bytearray) -> tuple[int, bytes]:
        """Test door to `feed`: the bytes consumed (or -1) and the bytes decoded. `data` is changed in place."""
