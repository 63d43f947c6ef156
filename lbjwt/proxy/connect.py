"""Opening connections to endpoints: connection set-up speed, so plain asyncio.

Knows how to reach an endpoint and how long that may take. What becomes of the connection is the endpoint side's business: it is told either by
`connection_made` or by `connect_failed`, once. That an endpoint cannot be reached is logged when it begins and when it ends, not once a request.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from lbjwt.errors import cause_of
from lbjwt.net.descriptors import EXHAUSTED
from lbjwt.proxy._endpoint import EndpointSide

if TYPE_CHECKING:
    from lbjwt.proxy._traffic import Traffic
    from lbjwt.upstream._cluster import Endpoint

QUIET: Final = 10.0
"""Seconds between two complaints about one endpoint: one that comes and goes must not fill the log."""

DESCRIPTOR_WAIT: Final = 0.01
"""Seconds until a connection for which no file descriptor was left is tried again."""

log = logging.getLogger("lbjwt.endpoints")


class Connector:
    """Starts connections to endpoints in one event loop.

    Args:
        loop: The loop the proxy runs in.
        timeout: Seconds a connection may take to be made.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self._loop = loop
        self._timeout = timeout
        self._under_way: set[asyncio.Task[None]] = set()
        self._unreachable: set[int] = set()  # indexes of endpoints that were complained about
        self._quiet_until: dict[int, float] = {}  # index -> time of the loop
        self.traffic: Traffic | None = None

    def __call__(self, endpoint: Endpoint) -> EndpointSide:
        """Start a connection and return its protocol at once."""
        assert self.traffic is not None
        side = EndpointSide(self.traffic, endpoint)
        task = self._loop.create_task(self._connect(side, endpoint))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return side

    async def _connect(self, side: EndpointSide, endpoint: Endpoint) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                while not await self._connected(side, endpoint):
                    await asyncio.sleep(DESCRIPTOR_WAIT)
        except (OSError, ValueError) as error:  # ValueError: a host name that IDNA cannot encode
            self._complain(endpoint, self._cause(error))
            side.connect_failed()
        else:
            if endpoint.index in self._unreachable:
                self._unreachable.discard(endpoint.index)
                log.info("endpoint %s can be reached again", endpoint.address)

    async def _connected(self, side: EndpointSide, endpoint: Endpoint) -> bool:
        """False: there was no file descriptor for it. Pooled connections, to whichever endpoint, give theirs back."""
        try:
            if endpoint.path:
                await self._loop.create_unix_connection(lambda: side, endpoint.path)  # type: ignore[type-var]
            else:
                await self._loop.create_connection(lambda: side, endpoint.host, endpoint.port)  # type: ignore[type-var]
        except OSError as error:
            if error.errno not in EXHAUSTED:
                raise
            assert self.traffic is not None
            self.traffic.close_unused()
            return False
        return True

    def _cause(self, error: OSError | ValueError) -> str:
        if isinstance(error, TimeoutError):
            return f"no connection within {self._timeout:g} s"
        return cause_of(error) if isinstance(error, OSError) else "the host name cannot be encoded"

    def _complain(self, endpoint: Endpoint, cause: str) -> None:
        now = self._loop.time()
        if endpoint.index not in self._unreachable and now >= self._quiet_until.get(endpoint.index, 0.0):
            self._unreachable.add(endpoint.index)
            self._quiet_until[endpoint.index] = now + QUIET
            log.warning("endpoint %s cannot be reached: %s", endpoint.address, cause)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
