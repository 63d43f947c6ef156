"""
One thing that is done once for a whole service, as the keeper process sees it.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lbjwt.config.model import Configuration
from lbjwt.observe._board import Board
from lbjwt.process.wakeups import Wakeups

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["Service", "Services"]


class Service:
    """One thing the keeper does. A service overrides what it needs."""

    async def start(self) -> None:
        """
        Begin. Returns soon: what waits for a network is a task of the service's own.

        Raises:
            LbjwtError: It can never work as it is; the message says why.
        """

    async def stop(self) -> None:
        """End. Called once, in the opposite order of the starts, also after a start that failed; has a quarter of a second."""

    def poked(self) -> None:
        """Some worker poked the keeper: look at the board. May come without a cause."""

    def extend(self, app: "web.Application") -> None:
        """Add pages to the admin door. Called before `start`; the door opens after all starts. Not called without a door."""

    def describe(self) -> Mapping[str, Mapping[str, object]]:
        """What ``/status`` tells besides the board: issuer name -> names and values, none of them secret."""
        return {}


Services = Callable[[Configuration, Board, Wakeups, Path | None], Iterable[Service]]
"""Makes the services: configuration, board, eventfds, state directory (None when nothing needs one). Starts nothing."""
