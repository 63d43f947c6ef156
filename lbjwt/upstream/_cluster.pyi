"""A cluster: which endpoint gets the next request."""

from collections.abc import Iterable
from typing import final

from lbjwt.observe._board import Board
from lbjwt.upstream.endpoint_log import EndpointLog

@final
class Endpoint:
    """One backend address with its counters and idle connections.

    Args:
        index: Its place in the cluster and on the board.
        address: As configured, ``HOST:PORT`` or ``unix:PATH``; a label for people.
        host: Host name or address, empty for a Unix socket.
        port: TCP port, 0 for a Unix socket.
        path: Path of the Unix socket, else empty.
        weight: 1 or more; an endpoint of weight 2 carries twice the requests in flight of one of weight 1.
    """

    index: int
    address: str
    label: bytes
    host: str
    port: int
    path: str
    weight: int
    idle: list[object]
    connecting: dict[object, None]
    unclaimed: dict[object, None]
    open: int
    shunned_until: float
    failing: bool
    def __init__(self, index: int, address: str, host: str, port: int, path: str, weight: int) -> None: ...

@final
class Cluster:
    """The endpoints requests are balanced over, by least requests in flight over all workers.

    Args:
        endpoints: At least one, in the order of the board.
        board: The shared counters; in flight is read from all workers' slots.
        response_timeout: Seconds to the first byte of a response.
        idle_timeout: Seconds an unused connection is kept.
        max_idle: Idle connections kept per endpoint.
        max_connections: Connections per endpoint, in use or idle.
        retries: How often a request may be sent again when that is safe (RFC 9110 section 9.2.2).
        log: Is told when an endpoint begins to fail and when it answers again.

    Raises:
        ValueError: No endpoint.
    """

    endpoints: tuple[Endpoint, ...]
    response_timeout: float
    idle_timeout: float
    max_idle: int
    max_connections: int
    retries: int
    log: EndpointLog
    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        board: Board,
        *,
        response_timeout: float,
        idle_timeout: float,
        max_idle: int,
        max_connections: int,
        retries: int,
        log: EndpointLog,
    ) -> None: ...
