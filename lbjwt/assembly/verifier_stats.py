"""What a verifier tells of itself, for metrics and log: its cache, and faults of ours."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbjwt.auth.verifier import Verifier
    from lbjwt.observe._board import Board

log = logging.getLogger("lbjwt.service")


class VerifierStats:
    """The numbers of one verifier on the shared stats."""

    def __init__(self, verifier: Verifier, board: Board) -> None:
        self._gate = verifier.gate
        self._board = board
        self._published = {"hits": 0, "misses": 0, "evictions": 0}
        self._faults = 0

    def publish(self) -> None:
        """Write what the cache holds and counted."""
        cache = self._gate.cache
        self._board.set("cache_entries", len(cache))
        self._board.set("cache_bytes", cache.bytes_used)
        for name in self._published:
            count = getattr(cache, name)
            self._board.add(f"cache_{name}", count - self._published[name])
            self._published[name] = count

    def log_faults(self) -> None:
        """Log refusals by a fault of lbjwt. Of the exception only its class: its text may contain a piece of a token."""
        gate = self._gate
        if gate.faults != self._faults:
            log.error(
                "%d internal errors, the last one a %s; lbjwt refused the affected requests",
                gate.faults - self._faults,
                gate.last_fault,
            )
            self._faults = gate.faults
