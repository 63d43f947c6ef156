"""Requests that wait for an endpoint with room."""

from collections.abc import Callable
from typing import final

from typing_extensions import disjoint_base

from lbjwt.observe._board import Board

@disjoint_base
class PendingRequest:
    """A request as the queue sees it; subclassed in Cython."""

@final
class PendingQueue:
    """Requests that found every endpoint full, first in, first out.

    Args:
        board: Where they are counted.
        call_soon: Runs a callback in the next turn of the event loop.
        max_pending: Requests that wait at once; 0 lets none wait.
        timeout: Seconds a request waits at most.
    """

    max_pending: int
    timeout: float
    def __init__(
        self, board: Board, call_soon: Callable[[Callable[[], None]], object], *, max_pending: int, timeout: float
    ) -> None: ...
    def serve(self) -> None:
        """Send off the oldest requests while an endpoint has room for them."""
    def __len__(self) -> int: ...
