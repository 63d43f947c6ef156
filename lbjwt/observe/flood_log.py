"""The log of clients whose connections ended because of a flood: a line for an address now and then, however often it comes back."""

from __future__ import annotations

import logging
from typing import Final

QUIET: Final = 60.0
"""Seconds between two lines about one address."""

MAX_ADDRESSES: Final = 256
"""Addresses told within that time; about any further one nothing is said, so that a flood from many does not become one of lines."""

log = logging.getLogger("lbjwt.service")


class FloodLog:
    """Of one worker."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def tell(self, address: str, now: float) -> None:
        """
        Write a line, unless it is too early for one.

        Args:
            address: The client's.
            now: Seconds on the monotonic clock.
        """
        if now - self._told.get(address, now - QUIET) < QUIET:
            return
        if len(self._told) >= MAX_ADDRESSES:
            self._told = {known: since for known, since in self._told.items() if now - since < QUIET}
        if len(self._told) < MAX_ADDRESSES:
            self._told[address] = now
            log.warning(
                "connection of %s ended: too many HTTP/2 frames that carry nothing, or heads that are far too large (limits.http2)",
                address,
            )
