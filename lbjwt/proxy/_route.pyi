"""What requests of one kind meet. What per-request code uses stands in `_route.pxd`."""

from collections.abc import Iterable, Sequence
from typing import final

from lbjwt._fastverify import DenyReason
from lbjwt.auth._places import TokenPlaces
from lbjwt.auth._route_rules import RouteRules
from lbjwt.http1._request import RequestHead
from lbjwt.proxy._answer import Answer
from lbjwt.proxy.answers import RouteAnswers

@final
class Demand:
    """One token that a route asks for.

    Args:
        places: Where it may stand; issuers that are looked for in different places have a `TokenPlaces` each.
        issuers: Beside each of them the issuer indexes whose tokens may stand there; None for all.
        rules: What the route asks of it beyond what its issuer does; None for nothing.
        number: Of the rules, 1 to 65535 and no other demand's; 0 without rules.
    """

    places: tuple[TokenPlaces, ...]
    issuers: tuple[frozenset[int] | None, ...]
    rules: RouteRules | None
    def __init__(
        self,
        places: Sequence[TokenPlaces],
        issuers: Sequence[frozenset[int] | None],
        rules: RouteRules | None = None,
        number: int = 0,
    ) -> None: ...

@final
class Route:
    """What requests of one kind meet.

    Args:
        demands: The tokens it asks for, all of them; none make it public.
        answers: What refused clients get.
        strips: Every place of the configuration: what stands there and is not forwarded is taken out on every route.
        name: In log and metrics.
        index: Where the board counts its requests; -1: nowhere.
        allow_missing: Without a token a request passes; a bad one never does.
        report_only: Everything passes, and what would have been refused is counted and logged.
        end_streams: A response or tunnel under way ends with its token.
        stream_grace: Seconds it may go on after that.
        expose_reason: Answers to requests that failed beside their token name the reason.
        secret_places: Where tokens may stand, also those that this route does not ask for: none goes along when a browser is sent to log in.
    """

    name: str
    index: int
    label: bytes
    demands: tuple[Demand, ...]
    strips: tuple[TokenPlaces, ...]
    allow_missing: bool
    report_only: bool
    end_streams: bool
    stream_grace: float
    expose_reason: bool
    def __init__(
        self,
        demands: Iterable[Demand],
        answers: RouteAnswers,
        *,
        strips: Iterable[TokenPlaces] = (),
        name: str = "",
        allow_missing: bool = False,
        report_only: bool = False,
        end_streams: bool = True,
        stream_grace: float = 0.0,
        expose_reason: bool = False,
        index: int = -1,
        secret_places: Iterable[TokenPlaces] = (),
    ) -> None: ...
    def refusal(self, reason: DenyReason, head: RequestHead, https: bool) -> Answer:
        """What the client of a refused request gets. Takes tokens out of the head where the answer repeats its target."""
