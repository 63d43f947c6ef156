"""
One thing that is done once for a whole service, as the control process sees it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from lbjwt.process.shared import Shared

if TYPE_CHECKING:
    from aiohttp import web


class Service:
    """One thing the control process does. A service overrides what it needs."""

    async def start(self) -> None:
        """
        Begin. Returns soon: what waits for a network is a task of the service's own.

        Raises:
            LbjwtError: It can never work as it is; the message says why.
        """

    async def stop(self) -> None:
        """End. Called once, in the opposite order of the starts, also after a start that failed; has a quarter of a second."""

    def notified(self) -> None:
        """Some worker notified the control process: look at the board. May come without a cause."""

    def extend(self, app: "web.Application") -> None:
        """Add pages to the admin API. Called before `start`; it opens after all starts. Not called without an admin API."""

    def describe(self) -> Mapping[str, Mapping[str, object]]:
        """What ``/status`` tells besides the board: issuer name -> names and values, none of them secret."""
        return {}


Services = Callable[[Shared], Iterable[Service]]
"""Makes the services. Starts nothing."""
