"""Opening connections to endpoints: connection set-up speed, so plain Python.

Knows how to reach an endpoint and how long that may take. What becomes of the connection is the endpoint side's business: it is told either by
`connection_made` or by `connect_failed`, once.

Addresses that need no resolving are connected here and handed to the loop as open sockets, without a task (see `net.adopt`).
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from lbjwt.errors import cause_of
from lbjwt.net.adopt import take_over
from lbjwt.proxy._endpoint import EndpointSide

if TYPE_CHECKING:
    from lbjwt.proxy._traffic import Traffic
    from lbjwt.upstream._cluster import Endpoint


class Connector:
    """Starts connections to endpoints in one event loop.

    Args:
        loop: The loop the proxy runs in.
        timeout: Seconds a connection may take to be made.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self._loop = loop
        self._timeout = timeout
        self._tasks: set[asyncio.Task[None]] = set()
        self._attempts: set[_Attempt] = set()
        self.traffic: Traffic | None = None

    def __call__(self, endpoint: Endpoint) -> EndpointSide:
        """Start a connection and return its protocol at once; what becomes of it is told in a later turn of the loop."""
        assert self.traffic is not None
        side = EndpointSide(self.traffic, endpoint)
        address = _address(endpoint)
        if address is None:
            task = self._loop.create_task(self._resolve_and_connect(side, endpoint))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            attempt = _Attempt(self._loop, side, self._timeout, self._attempts.discard)
            self._attempts.add(attempt)
            attempt.start(*address)
        return side

    async def _resolve_and_connect(self, side: EndpointSide, endpoint: Endpoint) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._loop.create_connection(lambda: side, endpoint.host, endpoint.port)  # type: ignore[type-var]
        except (OSError, ValueError) as error:  # ValueError: a host name that IDNA cannot encode
            side.connect_failed(_cause(error, self._timeout))

    async def close(self) -> None:
        """Give up what is under way."""
        for attempt in list(self._attempts):
            attempt.give_up()
        while self._attempts:  # sockets the loop is taking over
            await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Attempt:
    """One connection that is being made to an address."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, side: EndpointSide, timeout: float, ended: Callable[[_Attempt], None]
    ) -> None:
        self._loop = loop
        self._side = side
        self._timeout = timeout
        self._ended = ended
        self._socket: socket.socket | None = None
        self._timer: asyncio.Handle | None = None
        self._handed_over = False

    def start(self, family: int, address: Any) -> None:
        try:
            self._socket = opened = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            self._loop.call_soon(self._fail, error)
            return
        code = opened.connect_ex(address)
        if code == errno.EINPROGRESS:
            self._timer = self._loop.call_later(self._timeout, self._fail, TimeoutError())
            self._loop.add_writer(opened.fileno(), self._decided)
        else:
            self._timer = self._loop.call_soon(self._connected if code == 0 else partial(self._fail, OSError(code, "")))

    def _decided(self) -> None:
        assert self._socket is not None
        self._loop.remove_writer(self._socket.fileno())
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail(OSError(code, ""))
        else:
            self._connected()

    def _connected(self) -> None:
        """Hand the open socket to the loop, which tells the protocol in its next turn."""
        assert self._socket is not None
        self._stop_timer()
        self._handed_over = True
        take_over(self._loop.create_connection(lambda: self._side, sock=self._socket), self._made)  # type: ignore[type-var]

    def _made(self, error: OSError | None) -> None:
        self._handed_over = False
        if error is None:
            self._ended(self)
        else:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.give_up()
        self._side.connect_failed(_cause(error, self._timeout))

    def give_up(self) -> None:
        """End it without a word to the protocol, unless the loop has the socket already."""
        self._stop_timer()
        if self._handed_over:
            return
        if self._socket is not None:
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._ended(self)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _address(endpoint: Endpoint) -> tuple[int, Any] | None:
    """Family and address for `socket.connect`; None for a name that has to be resolved."""
    if endpoint.path:
        return socket.AF_UNIX, endpoint.path
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, endpoint.host)
        except (OSError, ValueError):
            continue
        return family, (endpoint.host, endpoint.port)
    return None


def _cause(error: OSError | ValueError, timeout: float) -> str:
    if isinstance(error, TimeoutError) and error.errno is None:
        return f"cannot be reached: no connection within {timeout:g} s"
    if not isinstance(error, OSError):
        return "cannot be reached: the host name cannot be encoded"
    return f"cannot be reached: {cause_of(error)}"
