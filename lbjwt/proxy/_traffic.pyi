"""What all connections of one worker share."""

from collections.abc import Callable, Iterable
from typing import Protocol, final

from lbjwt.observe._access_log import AccessLog
from lbjwt.observe._board import Board
from lbjwt.proxy._admission import Admission
from lbjwt.proxy._waiting import Waiting
from lbjwt.upstream._cluster import Cluster, Endpoint
from lbjwt.upstream._pending import PendingQueue

RECEIVE_SIZE: int

class _Limits(Protocol):
    max_request_body: int | None
    max_response_head: int
    max_response_fields: int
    max_connections: int
    max_requests_per_connection: int

class _Timeouts(Protocol):
    request_head: float
    keep_alive: float
    stream_idle: float

@final
class Traffic:
    """What all connections of one worker share: who decides, who counts, and the limits.

    Args:
        admission: Lets each request pass, or says why not.
        waiting: Requests that wait for keys.
        cluster: Picks the endpoint.
        pending: Requests that wait for an endpoint with room.
        board: Counters; its slot is this worker's.
        access_log: Gets a record for each request, or None.
        open_connection: Starts a connection to an endpoint and returns its protocol at once.
        trusts: Tells whether the forwarding fields of a peer address (text) are believed; None when nobody's are.
        issuers: The name of each issuer index, for the access log.
        limits: Sizes in bytes and counts; see the configuration reference.
        timeouts: Seconds; see the configuration reference.
        allow_half_close: A client that ends its side of the connection may still read its response.
    """

    admission: Admission
    waiting: Waiting
    pending: PendingQueue
    board: Board
    wires: set[object]
    clients: int
    max_clients: int
    max_answered: int
    draining: bool
    allow_half_close: bool
    def __init__(
        self,
        *,
        admission: Admission,
        waiting: Waiting,
        cluster: Cluster,
        pending: PendingQueue,
        board: Board,
        access_log: AccessLog | None,
        open_connection: Callable[[Endpoint], object],
        trusts: Callable[[str], bool] | None,
        issuers: Iterable[str],
        limits: _Limits,
        timeouts: _Timeouts,
        allow_half_close: bool = False,
    ) -> None: ...
    def expire(self) -> None:
        """End the connections whose deadline has passed, and those whose client is gone; as often as the timeouts shall be exact."""
    def sweep(self) -> None:
        """End the streams that have outlived their token and set the date; called once a second."""
    def close_unused(self) -> None:
        """Close the pooled connections to endpoints, for their file descriptors."""
    def drain(self, grace: float) -> None:
        """End idle client connections after `grace` seconds, and every other one with its answer."""
    def close(self) -> None:
        """Reset every connection that is left."""
