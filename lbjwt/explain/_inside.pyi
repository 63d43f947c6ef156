"""Doors into the objects that serve, for whoever tells what they decide."""

from collections.abc import Callable

from lbjwt._fastverify import DenyReason, Gate
from lbjwt.auth._route_rules import RouteRules
from lbjwt.explain.model import Decision, Judge
from lbjwt.http1._request import RequestHead
from lbjwt.proxy._admission import Admission
from lbjwt.proxy._answer import Answer
from lbjwt.proxy._route import Demand, Route
from lbjwt.routing._router import Router

def decide(admission: Admission, head: RequestHead, now: float) -> Decision:
    """What a request meets, all of it; `Admission.judge` as a worker calls it. Takes tokens out of the head as that does."""

def health_answer(path: str, head: RequestHead) -> Answer | None:
    """What a listener with this health path says to a head, COMPLETE, while the service is ready; None: it is for another path."""

def router_of(admission: Admission) -> Router | None:
    """None when there is one route, for every request."""

def routes_of(admission: Admission) -> tuple[Route, ...]:
    """By the indexes that the router answers."""

def refusal(route: Route, reason: DenyReason, head: RequestHead, https: bool) -> Answer:
    """What the client of a head, COMPLETE, gets for a reason."""

def find_token(demand: Demand, head: RequestHead) -> tuple[DenyReason, bytes | None, int]:
    """NONE with the token, and a bit for each of the demand's places that hold it; or the reason why there is none."""

def may_stand(demand: Demand, issuer: int, found: int) -> bool:
    """Whether a token of an issuer may stand where `find_token` found it."""

def rules_of(demand: Demand) -> RouteRules | None:
    """None when nothing is asked beyond what the issuer asks."""

def selection_of(gate: Gate) -> Callable[[str], int] | None:
    """The issuer index of an `iss`, -1 for none; None when there is one issuer, which judges every token."""

def allows_padding(gate: Gate) -> bool:
    """Whether any issuer accepts padded tokens."""

def judge_of(gate: Gate, issuer: int) -> Judge:
    """What judges the tokens of one issuer at the moment."""

def segments_of(token: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Header, payload and signature as they stand in a compact JWS; None when it is none."""

def decode(segment: bytes, padding: bool) -> bytes | None:
    """
    The bytes of a segment; None when it is not strict base64url.

    Args:
        padding: Correct padding is accepted.
    """
