"""Contracts of `_places.pyx`. What per-request code uses (`find`, `strip`, `fields_owed`) stands in `_places.pxd`."""

from collections.abc import Iterable
from typing import Self, final

from lbjwt._fastverify import DenyReason
from lbjwt.http1._request import RequestHead

@final
class TokenPlaces:
    """
    Where a request may carry its token, and how it is taken out before the request is forwarded.

    Two places may hold the same token; everything else that occurs twice is MULTIPLE_TOKENS (RFC 6750 section 2, THREATS P5, P6).
    """

    def __new__(
        cls,
        *,
        headers: Iterable[tuple[str, str, bool]] = (),
        cookies: Iterable[tuple[str, bool]] = (),
        params: Iterable[tuple[str, bool]] = (),
        subprotocol: bool = False,
    ) -> Self:
        """
        Compile the places.

        Args:
            headers: (name, scheme, forward). The scheme in any case, then one or more spaces, then the token; "" when the whole value
                is the token. A field of another scheme holds no token. One name may come with several schemes.
            cookies: (name, forward); the name exactly as it is sent.
            params: (name, forward) of the query; the name exactly as it is sent, letters, digits and "-._~".
            subprotocol: `bearer, <token>` or `base64url.bearer.authorization.k8s.io.<base64url of the token>`, also without
                `authorization.k8s.io`, in Sec-WebSocket-Protocol; never forwarded.

        Raises:
            ConfigurationError: No place at all, too many, the same one twice, or a name or scheme that cannot be one.
        """

    def find_in(self, head: RequestHead) -> tuple[DenyReason, bytes | None]:
        """The token when the reason is NONE. `head` has to be COMPLETE."""

    def strip(self, head: RequestHead) -> int:
        """Take out of what `head` writes, COMPLETE, whatever stands in a place that is not forwarded. Raises MemoryError."""
