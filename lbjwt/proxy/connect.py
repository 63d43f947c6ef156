"""Opening connections to endpoints: connection set-up speed, so plain Python.

The `ClientConnection` gets either `connection_made` or `connect_failed`, once.

Addresses that need no resolving are connected here and handed to the loop as open sockets, without a task (see `net.adopt`).
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING, Any, Final

from lbjwt.errors import cause_of
from lbjwt.net.adopt import take_over
from lbjwt.net.descriptors import EXHAUSTED
from lbjwt.proxy._client_connection import ClientConnection

if TYPE_CHECKING:
    from lbjwt.proxy._context import ProxyContext
    from lbjwt.upstream._endpoint import Endpoint

RETRY: Final = 0.01
"""Seconds until a connection is tried again for which no file descriptor was left, or no room in the queue of a Unix socket."""


class Connector:
    """Starts connections to endpoints in one event loop.

    Args:
        loop: The loop the proxy runs in.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.context: ProxyContext | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.attempts: set[_Attempt] = set()

    def __call__(self, endpoint: Endpoint) -> ClientConnection:
        """Start a connection and return its protocol at once; what becomes of it is told in a later turn of the loop."""
        assert self.context is not None
        side = ClientConnection(self.context, endpoint)
        address = _address(endpoint)
        if address is None:
            task = self.loop.create_task(self._resolve_and_connect(side, endpoint))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self.attempts.add(_Attempt(self, side, address, endpoint.connect_timeout))
        return side

    async def _resolve_and_connect(self, side: ClientConnection, endpoint: Endpoint) -> None:
        try:
            async with asyncio.timeout(endpoint.connect_timeout):
                while True:
                    try:
                        await self.loop.create_connection(side.protocol, endpoint.host, endpoint.port)
                        return
                    except OSError as error:
                        if not self.frees_descriptors(error):
                            raise
                    await asyncio.sleep(RETRY)
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that IDNA cannot encode
            side.connect_failed(cause(error, endpoint.connect_timeout))

    def frees_descriptors(self, error: OSError) -> bool:
        """False: the error is another one. When there was no file descriptor, unused connections, to whichever endpoint, give theirs back."""
        if error.errno not in EXHAUSTED:
            return False
        assert self.context is not None
        self.context.close_unused()
        return True

    async def close(self) -> None:
        """Give up what is under way."""
        for attempt in list(self.attempts):
            attempt.give_up()
        while self.attempts:  # sockets the loop is taking over
            await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Attempt:
    """One connection that is being made to an address (family, and what `socket.connect` takes)."""

    def __init__(self, connector: Connector, side: ClientConnection, address: tuple[int, Any], timeout: float) -> None:
        self._connector = connector
        self._loop = connector.loop
        self._side = side
        self._family, self._address = address
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._timer = self._loop.call_later(self._timeout, self._fail, TimeoutError())
        self._next: asyncio.Handle | None = None
        self._handed_over = False
        self._open()

    def _open(self) -> None:
        try:
            self._socket = opened = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            if self._connector.frees_descriptors(error):
                self._next = self._loop.call_later(RETRY, self._open)
            else:
                self._next = self._loop.call_soon(self._fail, error)
            return
        code = opened.connect_ex(self._address)
        if code == errno.EINPROGRESS:
            self._loop.add_writer(opened.fileno(), self._decided)
        elif code == errno.EAGAIN:  # unix(7): the queue of the listener is full, and nothing tells when it is not
            opened.close()
            self._socket = None
            self._next = self._loop.call_later(RETRY, self._open)
        elif code:
            self._next = self._loop.call_soon(self._fail, OSError(code, ""))
        else:
            self._next = self._loop.call_soon(self._connected)

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
        self._cancel_timers()
        self._handed_over = True
        assert self._socket is not None
        # Not `create_connection`: uvloop 0.23 gives the socket to the transport only after `connection_made`. If that closes the connection, the
        # socket object closes the descriptor a second time, when it may belong to another connection.
        take_over(self._loop.connect_accepted_socket(self._side.protocol, self._socket), self._made)

    def _made(self, error: Exception | None) -> None:
        self._handed_over = False
        if error is None:
            self._connector.attempts.discard(self)
        else:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.give_up()
        self._side.connect_failed(cause(error, self._timeout))

    def give_up(self) -> None:
        """End it without a word to the protocol, unless the loop has the socket already."""
        self._cancel_timers()
        if self._handed_over:
            return
        if self._socket is not None:
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._connector.attempts.discard(self)

    def _cancel_timers(self) -> None:
        self._timer.cancel()
        if self._next is not None:
            self._next.cancel()


def cause(error: Exception, timeout: float) -> str:
    """Return what is logged of an endpoint that could not be connected to within `timeout` seconds."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return f"cannot be reached: no connection within {timeout:g} s"
    if isinstance(error, UnicodeError):
        return "cannot be reached: the host name cannot be encoded"
    if not isinstance(error, OSError):
        return f"cannot be reached: {type(error).__name__}"
    return f"cannot be reached: {cause_of(error)}"


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
