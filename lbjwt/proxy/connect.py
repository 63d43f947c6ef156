"""Opening connections to endpoints: connection set-up speed, so plain asyncio.

Knows how to reach an endpoint and how long that may take. What becomes of the connection is the endpoint side's business: it is told either by
`connection_made` or by `connect_failed`, once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lbjwt.errors import cause_of
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
        self._under_way: set[asyncio.Task[None]] = set()
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
                if endpoint.path:
                    await self._loop.create_unix_connection(lambda: side, endpoint.path)  # type: ignore[type-var]
                else:
                    await self._loop.create_connection(lambda: side, endpoint.host, endpoint.port)  # type: ignore[type-var]
        except (OSError, ValueError) as error:  # ValueError: a host name that IDNA cannot encode
            side.connect_failed(f"cannot be reached: {self._cause(error)}")

    def _cause(self, error: OSError | ValueError) -> str:
        if isinstance(error, TimeoutError):
            return f"no connection within {self._timeout:g} s"
        return cause_of(error) if isinstance(error, OSError) else "the host name cannot be encoded"

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
