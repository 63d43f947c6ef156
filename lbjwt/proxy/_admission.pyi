"""May this request pass? What per-request code uses stands in `_admission.pxd`."""

from collections.abc import Callable, Iterable
from typing import final

from lbjwt._fastverify import DenyReason, Gate
from lbjwt._grants import Grant
from lbjwt.http1._request import RequestHead
from lbjwt.observe._offenders import Offenders
from lbjwt.proxy._answer import Answer
from lbjwt.proxy._route import Route
from lbjwt.routing._router import Router

@final
class Admission:
    """What was decided of one request head.

    Args:
        gate: Judges tokens.
        routes: By the indexes that the router answers.
        router: Finds the route; None when there is one route, for every request.
        documents: What is served without a token, by the router's numbers.
        offenders: Who failed how often; None when nobody counts.
        trusts: Tells whether an address (text) is a proxy whose X-Forwarded-For is believed; None when nobody's is.
    """

    def __init__(
        self,
        gate: Gate,
        routes: Iterable[Route],
        *,
        router: Router | None = None,
        documents: Iterable[Answer] = (),
        offenders: Offenders | None = None,
        trusts: Callable[[str], bool] | None = None,
    ) -> None: ...
    def decide(
        self, head: RequestHead, now: float, peer: bytes = b""
    ) -> tuple[Route | None, DenyReason, DenyReason, Grant | None, bytes]:
        """Test door to `judge`: route, reason, what is only reported, the first token's grant and the identity header lines."""
