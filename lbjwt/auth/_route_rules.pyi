"""What one route asks of a verified token, compiled from a RoutePolicy. Importers in Cython use the shape of the .pxd."""

from typing import Any, final

from lbjwt._fastverify import DenyReason
from lbjwt.auth.route_policy import RoutePolicy

@final
class RouteRules:
    """
    Issuer, audience, scopes and claim rules of a route, in this order. The first that is not met is the reason.

    Attributes:
        policy: What it was compiled from.
        asks_nothing: Every token passes, so that its claims need not be read.
    """

    @property
    def policy(self) -> RoutePolicy: ...
    @property
    def asks_nothing(self) -> bool: ...
    def __init__(self, policy: RoutePolicy) -> None:
        """
        Raises:
            ConfigurationError: A claim rule that cannot be compiled.
        """

    def decide(self, claims: dict[str, Any], issuer: int) -> tuple[DenyReason, DenyReason]:
        """
        The reason to refuse, and the first one that was only reported; at most one of them is not NONE.

        Args:
            claims: Of a token that its issuer's policy has accepted.
            issuer: The issuer's index; -1 when there is none.
        """
