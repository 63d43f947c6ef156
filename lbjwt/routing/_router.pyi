"""Contracts of `_router.pyx`. What per-request code uses stands in `_router.pxd`."""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Self, final

from lbjwt.http1._buffer import Buffer
from lbjwt.http1._request import RequestHead
from lbjwt.routing.table import RouteMatch

class Found(IntEnum):
    """What a search answers beside the index of a route."""

    NO_ROUTE = -1
    """No route is for this request: 404, never forwarded."""
    BAD_TARGET = -2
    """400: a path that is refused (`_path`), one that some back end reads as that of a more specific route, or a host with an empty label."""
    OWN = -10
    """`OWN - n`: the document n of our own."""

@final
class Router:
    """Which route a request belongs to, and the one path it is asked for. Immutable, shared by all connections of a worker."""

    def __new__(cls, routes: Iterable[RouteMatch], own: Mapping[bytes, int] | None = None) -> Self:
        """
        Compile a table.

        Args:
            routes: In any order; their positions are the indices that `find` answers.
            own: Canonical path of each document that lbjwt answers itself, to GET and HEAD and on every host, and its number (0 and up).
                They come before all routes.

        Raises:
            ConfigurationError: A host, path or method that cannot be matched, two routes that tie, a route for the path of an own
                document, or more than 47 methods beside GET, HEAD, POST, PUT, DELETE, OPTIONS and PATCH.
        """

    def find(self, method: bytes, host: bytes, target: bytes) -> tuple[int, bytes | None]:
        """
        The index of the route or a `Found`, and the target to forward: the canonical path and the query as it was.

        Args:
            method: As in the request line; case matters.
            host: As in the Host field, port included; empty for none.
            target: In origin-form, or "*".

        Returns:
            None instead of the target with NO_ROUTE and BAD_TARGET.
        """

    def match(self, head: RequestHead, scratch: Buffer) -> int:
        """The index of the route or a `Found`, for a COMPLETE head, whose target becomes the one to forward: it borrows from `scratch`."""
