"""May this request pass? What per-request code uses stands in `_admission.pxd`."""

from collections.abc import Callable, Iterable
from typing import Any, final

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
    @property
    def router(self) -> Router | None: ...
    @property
    def routes(self) -> tuple[Route, ...]: ...
    def decide(
        self, head: RequestHead, now: float, peer: bytes = b"", trace: list[tuple[str, int, Any]] | None = None
    ) -> tuple[Route | None, DenyReason, DenyReason, Grant | None, bytes]:
        """
        Judge one head as the requests of clients are: route, reason, what is only reported, the first token's grant, identity header lines.

        Args:
            trace: Gets each step: its name, its DenyReason (NONE: met), and what it is about. A step `place` begins each token that the route
                asks for; the last step, `answer`, has the ErrorReason when there is no route, and the document of our own that is the answer.
                Judging goes on after the first refusal as far as it can. Only tokens that no cache knows are told step by step.
        """
