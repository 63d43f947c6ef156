"""Verified tokens and what is remembered of them. What per-request code uses stands in `_grants.pxd`."""

from collections.abc import Mapping
from typing import Any, Final, final

@final
class Grant:
    """
    A verified token, immutable. `repr` shows no part of the token.

    Attributes:
        token: The whole compact token.
        issuer: Its `iss`, "" when it has none.
        key_id: Of the key that signed, "" when it has none.
        algorithm: The JWS algorithm.
        valid_from: Seconds since the epoch, clock skew taken into account; inclusive.
        valid_until: Seconds since the epoch, clock skew taken into account; exclusive.
        epoch: Of the gate that granted it.
        identity_headers: Ready-made header lines for the backend.
        logged_claims: Ready-made members of the access log; None for nothing.
        key: The verification key.
    """

    token: Final[bytes]
    issuer: Final[str]
    issuer_index: Final[int]
    key_id: Final[str]
    algorithm: Final[str]
    valid_from: Final[float]
    valid_until: Final[float]
    epoch: Final[int]
    identity_headers: Final[bytes]
    logged_claims: Final[bytes | None]
    key: Final[Any]
    @property
    def claims(self) -> Mapping[str, Any]:
        """The claims, read from the token at each access: what is done to a result reaches no other."""

    def __init__(
        self,
        token: bytes,
        *,
        valid_from: float = 0.0,
        valid_until: float = ...,
        epoch: int = 0,
        identity_headers: bytes = b"",
        issuer: str = "",
        key: object = None,
        issuer_index: int = 0,
    ) -> None:
        """A grant of the caller's own making; the gate never builds on one it did not grant itself."""

@final
class GrantCache:
    """Verified tokens by whole token, bounded in bytes (token, header lines, record and the table itself) and entries."""

    max_bytes: int
    max_entries: int
    bytes_used: int
    hits: int
    misses: int
    evictions: int
    def __init__(self, max_bytes: int = ..., max_entries: int = 1_000_000) -> None: ...
    def __len__(self) -> int: ...
    def __contains__(self, token: bytes, /) -> bool: ...
    def lookup(self, token: bytes, now: float) -> Grant | None:
        """The entry, or None when absent. One that is out of its time is dropped on sight."""

    def insert(self, grant: Grant) -> bool:
        """Keep a grant, in place of one with the same token. False when it does not fit at all."""

    def clear(self) -> None:
        """Drop all grants."""
