"""Requests that wait a moment for keys."""

from collections.abc import Callable
from typing import final

from lbjwt.observe._board import Board

@final
class Waiting:
    """Clients whose request waits for the keys of an issuer.

    Args:
        board: Where they are counted.
        issuers: How many issuers there are.
        ask: Called with an issuer index; true when its keys are being fetched now, so that waiting may help.
        most: Requests that wait for one issuer at once.
        patience: Seconds a request waits at most.
    """

    most: int
    patience: float
    def __init__(
        self, board: Board, issuers: int, ask: Callable[[int], bool], *, most: int, patience: float
    ) -> None: ...
    def settled(self, issuer: int) -> None:
        """An attempt to fetch the keys of this issuer ended, whatever came of it: judge those who waited once more."""
