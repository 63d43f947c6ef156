"""Opening connections to endpoints: connection set-up speed, so plain Python.

The `ClientConnection` or `Http2Client` gets either `connection_made` or `connect_failed`, once.

Sockets are connected here and handed to the loop when they are open (see `net.adopt`). A name may have several addresses, and any of them may be
dead: they are tried as RFC 8305 says ("Happy Eyeballs"), families in turn, each a moment after the one before unless that failed sooner, and the
first that is open is used. The next connection begins with the address that was.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import deque
from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from lbjwt.errors import cause_of
from lbjwt.net.adopt import take_over
from lbjwt.net.descriptors import EXHAUSTED, is_local
from lbjwt.proxy._client_connection import ClientConnection
from lbjwt.proxy._http2_client import Http2Client
from lbjwt.upstream._endpoint import Protocol

if TYPE_CHECKING:
    from lbjwt.proxy._context import ProxyContext
    from lbjwt.proxy._stream import BackendStream
    from lbjwt.upstream._endpoint import Endpoint

RETRY: Final = 0.01
"""Seconds until a connection is tried again for which no file descriptor was left, or no room in the queue of a Unix socket."""

ATTEMPT_DELAY: Final = 0.25
"""Seconds until the next address of a name is tried beside those before (RFC 8305 section 5: the recommended value)."""

MAX_REMEMBERED: Final = 4096
"""Names whose last good address is remembered. Each takes some 300 bytes; beyond, all are forgotten, which costs a moment per name."""

HttpClient: TypeAlias = ClientConnection | Http2Client

QUIET: Final = 10.0
"""Seconds between two log lines about a fault of this machine: each request may meet it."""

log = logging.getLogger("lbjwt.endpoints")

Target = tuple[int, Any]
"""Family, and what `socket.connect` takes."""


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
        self._last_good: dict[tuple[str, int], Target] = {}
        self._quiet_until = 0.0

    def __call__(self, endpoint: Endpoint) -> BackendStream:
        """Start a connection and return the stream for its first request at once; what becomes of it is told in a later turn of the loop."""
        assert self.context is not None
        connection, stream = _streams(self.context, endpoint)
        target = _target(endpoint)
        if target is None:
            task = self.loop.create_task(self._resolve_and_connect(connection, endpoint))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self.attempts.add(_Attempt(self, connection, [target], endpoint.connect_timeout))
        return stream

    async def _resolve_and_connect(self, connection: HttpClient, endpoint: Endpoint) -> None:
        name, timeout = (endpoint.host, endpoint.port), endpoint.connect_timeout
        end = self.loop.time() + timeout
        try:
            async with asyncio.timeout(timeout):
                found = await self.loop.getaddrinfo(*name, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that IDNA cannot encode
            self.failed(connection, error, timeout)
            return
        targets = interleaved((family, address) for family, _, _, _, address in found)
        last = self._last_good.get(name)
        if last in targets:
            targets.remove(last)
            targets.insert(0, last)
        self.attempts.add(_Attempt(self, connection, targets, timeout, end=end, name=name))

    def remember(self, name: tuple[str, int], target: Target) -> None:
        """A connection to one address of a name was made."""
        if len(self._last_good) >= MAX_REMEMBERED and name not in self._last_good:
            self._last_good.clear()
        self._last_good[name] = target

    def frees_descriptors(self, error: OSError) -> bool:
        """False: the error is another one. When there was no file descriptor, unused connections, to whichever endpoint, give theirs back."""
        if error.errno not in EXHAUSTED:
            return False
        assert self.context is not None
        self.context.close_unused()
        return True

    def failed(self, connection: HttpClient, error: Exception, timeout: float) -> None:
        """No connection within `timeout` seconds, for this reason."""
        ours = is_local(error)
        now = self.loop.time()
        if isinstance(error, OSError) and ours and now >= self._quiet_until:
            self._quiet_until = now + QUIET
            address = connection.endpoint.address
            log.warning("this machine opens no connection to endpoint %s: %s", address, cause_of(error))
        connection.connect_failed(cause(error, timeout), ours)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for attempt in list(self.attempts):
            attempt.give_up()
        while self.attempts:  # sockets the loop is taking over
            await asyncio.sleep(0)


def _streams(context: ProxyContext, endpoint: Endpoint) -> tuple[HttpClient, BackendStream]:
    if endpoint.protocol == Protocol.HTTP2:
        client = Http2Client(context, endpoint)
        return client, client.first_stream()
    connection = ClientConnection(context, endpoint)
    return connection, connection


def interleaved(targets: Iterable[Target]) -> list[Target]:
    """The addresses in the order of RFC 8305 section 4: families in turn, the first one's first; within a family as they came."""
    families: dict[int, dict[Target, None]] = {}
    for target in targets:
        families.setdefault(target[0], {})[target] = None
    return [target for target in chain.from_iterable(zip_longest(*families.values())) if target is not None]


class _Attempt:
    """
    One connection that is being made, to the first of several addresses that is open.

    Args:
        targets: At least one.
        timeout: Seconds for all of it, as configured.
        end: When they are over, on the clock of the loop; None: they begin now.
        name: That the targets are addresses of.
    """

    def __init__(
        self,
        connector: Connector,
        connection: HttpClient,
        targets: list[Target],
        timeout: float,
        *,
        end: float | None = None,
        name: tuple[str, int] | None = None,
    ) -> None:
        self._connector = connector
        self._loop = loop = connector.loop
        self._connection = connection
        self._untried = deque(targets)
        self._timeout = timeout
        self._name = name
        self._opening: dict[socket.socket, Target] = {}
        self._open: socket.socket | None = None
        self._shortage: OSError | None = None
        """No file descriptor was left at the last look."""
        self._refusal: OSError | None = None
        """The last error that was not this machine's: it says something about the endpoint."""
        self._timer = loop.call_at(loop.time() + timeout if end is None else end, self._timed_out)
        self._next: asyncio.Handle | None = None
        self._handed_over = False
        self._try_next()

    def _try_next(self) -> None:
        """Begin with the next address. Nothing is told from in here: the protocol is not known yet."""
        target = self._untried[0]
        try:
            opened = socket.socket(target[0], socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            if self._connector.frees_descriptors(error):
                self._shortage = error
                self._next = self._loop.call_later(RETRY, self._try_next)
            else:
                self._untried.popleft()
                self._next = self._loop.call_soon(self._failed, error)
            return
        self._shortage = None
        code = opened.connect_ex(target[1])
        if code == errno.EAGAIN:  # unix(7): the queue of the listener is full, and nothing tells when it is not
            opened.close()
            self._next = self._loop.call_later(RETRY, self._try_next)
            return
        self._untried.popleft()
        if code == errno.EINPROGRESS:
            self._opening[opened] = target
            self._loop.add_writer(opened.fileno(), self._decided, opened)
            self._next = self._loop.call_later(ATTEMPT_DELAY, self._try_next) if self._untried else None
        elif code:
            opened.close()
            self._next = self._loop.call_soon(self._failed, OSError(code, ""))
        else:
            self._opening[opened] = target
            self._next = self._loop.call_soon(self._connected, opened)

    def _decided(self, opened: socket.socket) -> None:
        self._loop.remove_writer(opened.fileno())
        code = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not code:
            self._connected(opened)
            return
        del self._opening[opened]
        opened.close()
        self._failed(OSError(code, ""))

    def _failed(self, error: OSError) -> None:
        """One address did not work: the next one is tried at once; the last one's error is told, of this machine's only if there is no other."""
        if not is_local(error):
            self._refusal = error
        if self._untried:
            self._cancel_next()
            self._try_next()
        elif not self._opening:
            self._fail(self._refusal or error)

    def _timed_out(self) -> None:
        self._fail(self._shortage if self._shortage is not None and not self._opening else TimeoutError())

    def _connected(self, opened: socket.socket) -> None:
        """Hand the open socket to the loop, which tells the protocol in its next turn."""
        target = self._opening.pop(opened)
        self._give_up_others()
        if self._name is not None:
            self._connector.remember(self._name, target)
        self._open, self._handed_over = opened, True
        # Not `create_connection`: uvloop 0.23 gives the socket to the transport only after `connection_made`. If that closes the connection, the
        # socket object closes the descriptor a second time, when it may belong to another connection.
        take_over(self._loop.connect_accepted_socket(self._connection.protocol, opened), self._made)

    def _made(self, error: Exception | None) -> None:
        self._handed_over = False
        if error is None:
            self._connector.attempts.discard(self)
        else:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.give_up()
        self._connector.failed(self._connection, error, self._timeout)

    def give_up(self) -> None:
        """End it without a word to the protocol, unless the loop has the socket already."""
        if self._handed_over:
            return
        self._give_up_others()
        if self._open is not None:
            self._open.close()
            self._open = None
        self._connector.attempts.discard(self)

    def _give_up_others(self) -> None:
        """All but the open one."""
        self._timer.cancel()
        self._cancel_next()
        for opening in self._opening:
            self._loop.remove_writer(opening.fileno())
            opening.close()
        self._opening.clear()

    def _cancel_next(self) -> None:
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


def _target(endpoint: Endpoint) -> Target | None:
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
