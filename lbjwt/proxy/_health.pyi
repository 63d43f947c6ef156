"""Contract of `_health.pyx`. What per-request code uses stands in `_health.pxd`."""

from typing import final

from lbjwt.http1._request import RequestHead
from lbjwt.proxy._answer import Answer

@final
class Health:
    """The path at which a listener tells a balancer in front whether the service takes traffic.

    Args:
        path: Canonical, as `lbjwt.routing` spells it.
    """

    def __init__(self, path: str) -> None: ...
    @property
    def path(self) -> bytes: ...
    def answer_to(self, head: RequestHead) -> Answer | None:
        """What the client gets while the service is ready; None when the request is no health check."""
