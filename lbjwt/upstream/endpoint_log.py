"""One log line when an endpoint begins to fail and one when it responds again: not one a request.

Knows which endpoints were reported and when. Knows nothing of requests.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lbjwt.upstream._cluster import Endpoint

QUIET: Final = 10.0
"""Seconds between two reports of one endpoint: one that fails now and then must not fill the log."""

log = logging.getLogger("lbjwt.endpoints")


class EndpointLog:
    """
    Writes the lines of one worker.

    Args:
        clock: Seconds on the monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._quiet_until: dict[str, float] = {}  # by address

    def failed(self, endpoint: Endpoint, cause: str) -> None:
        """A request to it failed, or a connection. The line is written once until it responds again."""
        now = self._clock()
        if not endpoint.failing and now >= self._quiet_until.get(endpoint.address, 0.0):
            endpoint.failing = True
            self._quiet_until[endpoint.address] = now + QUIET
            log.warning("endpoint %s fails: %s", endpoint.address, cause)

    def recovered(self, endpoint: Endpoint) -> None:
        """It answered, after a failure that was reported."""
        endpoint.failing = False
        log.info("endpoint %s responds again", endpoint.address)
