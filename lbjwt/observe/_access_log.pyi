from typing import Self, final

from lbjwt._error_reason import ErrorReason
from lbjwt._fastverify import DenyReason
from lbjwt.observe._board import Board

@final
class AccessLog:
    """
    JSON lines, one a request, gathered in memory and written by `flush` (once a second by the owner, or by itself past 64 KiB).

    Keys in this order: `time` (RFC 3339, UTC, milliseconds), `duration_ms`, `client`, `peer` (the address of the connection, only when it
    is not the client's), `method`, `path` (without the query), `host`,
    `status` (0: ended without a response), `reason` (only when refused or failed), `would_refuse` (only when a report-only rule let it through),
    `issuer` and `route` (only when known), `request_bytes` and `response_bytes` (bodies), `endpoint`
    (only when one was picked), `request_id`, `complete` (the response was relayed whole), `retries`.
    """

    def __new__(cls, path: str, board: Board) -> Self:
        """
        Args:
            path: File to append to (made with mode 0640 when absent), or "-" for standard output.
            board: Where dropped records are counted.

        Raises:
            OSError: The file cannot be opened.
        """
    @property
    def path(self) -> str:
        """Where it writes."""
    @property
    def pending(self) -> int:
        """Bytes gathered and not written yet; never much over 1 MiB."""
    def append(
        self,
        *,
        started_at: float,
        duration: float,
        client: bytes,
        method: bytes,
        path: bytes,
        host: bytes,
        request_id: bytes,
        peer: bytes | None = None,
        endpoint: bytes | None = None,
        status: int = 0,
        reason: DenyReason | int = 0,
        would_refuse: DenyReason | int = 0,
        error: ErrorReason | int = 0,
        issuer: bytes | None = None,
        route: bytes | None = None,
        request_bytes: int = 0,
        response_bytes: int = 0,
        complete: bool = True,
        retries: int = 0,
    ) -> None:
        """One record from Python. The proxy hands its own to the C method `record`. Times in seconds, sizes in bytes."""
    def flush(self) -> int:
        """Write what can be written without waiting and return the bytes that stay. Never raises: a full disk costs log lines only."""
    def reopen(self) -> None:
        """
        Write what is pending to the old file and open the path anew, for log rotation.

        Raises:
            OSError: The path cannot be opened; the old file stays in use.
        """
    def close(self) -> None:
        """Write what is pending and close. Records that come later are dropped."""
