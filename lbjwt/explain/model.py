"""
What an explanation is made of: frozen values, with nothing secret in them but what `shown` and `Outcome` quote of the asker's own token.

A token, a signature and a key are in none of them; whoever adds a field keeps it so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from lbjwt._fastverify import DenyReason

if TYPE_CHECKING:
    from lbjwt.auth._claims import PolicyRules
    from lbjwt.auth.header import HeaderRules
    from lbjwt.proxy._answer import Answer
    from lbjwt.proxy._route import Route

__all__ = [
    "Backend",
    "Decision",
    "Explanation",
    "Judge",
    "KeySeen",
    "Reply",
    "RouteSeen",
    "Step",
    "TokenSeen",
    "Verdict",
]

Stage = Literal[
    "request", "route", "place", "token", "issuer", "header", "signature", "claims", "revocation", "identity", "rules"
]
Verdict = Literal["allowed", "refused", "unknown"]


@dataclass(frozen=True, slots=True)
class Decision:
    """
    What an admission decided of one head.

    Attributes:
        route: None when no route is for the request.
        document: Not None: a document of our own is the answer.
        status: 0, or why there is no route: 400, 404.
        reason: NONE: let through.
        reported: What would have refused it, were it not only reported.
        issuer: Index; -1 when none is known.
        identity: Header lines for the endpoint.
    """

    route: Route | None
    document: Answer | None
    status: int
    reason: DenyReason
    reported: DenyReason
    issuer: int
    identity: bytes


@dataclass(frozen=True, slots=True)
class Judge:
    """
    What judges the tokens of one issuer at one moment.

    Attributes:
        resolve: None when there are no keys.
        identity: Claims to header lines, or None for a claim that cannot be one; None: no header is configured.
        revoked: None: nothing is ever revoked.
    """

    resolve: HeaderRules | None
    rules: PolicyRules
    identity: Callable[[Mapping[str, Any]], bytes | None] | None
    revoked: Callable[[int, str, Mapping[str, Any], float], bool] | None
    allow_padding: bool


@dataclass(frozen=True, slots=True)
class Step:
    """
    One thing that was looked at.

    Attributes:
        stage: What it is about.
        rule: What was asked.
        outcome: `met`; `refused`; `reported` when it would have refused but is report-only; `unknown` when it could not be judged, which
            refuses too where a reason is given; `note` when nothing was asked.
        detail: What was found.
        reason: Why a request is refused by it; NONE when it is not.
        later: It stands behind the refusal that decided: shown so that one mistake at a time is not one run at a time.
    """

    stage: Stage
    rule: str
    outcome: Literal["met", "refused", "reported", "unknown", "note"]
    detail: str = ""
    reason: DenyReason = DenyReason.NONE
    later: bool = False

    @property
    def refuses(self) -> bool:
        """It would refuse the request by itself."""
        return self.reason != DenyReason.NONE and self.outcome != "reported"


@dataclass(frozen=True, slots=True)
class KeySeen:
    """The key that a token asks for; nothing of it but its labels. `bits` is its size."""

    kid: str
    type: str
    curve: str
    bits: int
    algorithm: str


@dataclass(frozen=True, slots=True)
class TokenSeen:
    """
    One token of the request.

    Attributes:
        places: Where it stands.
        issuer: Name of its issuer; None when none is known.
        why: Why this issuer, or none.
        keys_from: Where the issuer's keys come from; "" when they were not looked for.
        header: Of the token: `alg`, `kid`, `x5t`, `x5t#S256`, `typ`, `cty` as they are, of everything else the name with the value None.
        claims: None when they cannot be read.
        signature: `good` when it is by the key, `wrong` when not, `unchecked` when there was no key.
    """

    places: tuple[str, ...]
    issuer: str | None = None
    why: str = ""
    keys_from: str = ""
    header: Mapping[str, Any] | None = None
    claims: Mapping[str, Any] | None = None
    key: KeySeen | None = None
    signature: Literal["good", "wrong", "unchecked"] = "unchecked"


@dataclass(frozen=True, slots=True)
class RouteSeen:
    """
    The route of the request.

    Attributes:
        name: "" for the one route of a configuration without routes.
        why: What of the request made it this one.
        over: Names of less specific routes that are for the request as well.
    """

    name: str
    why: str
    over: tuple[str, ...] = ()
    public: bool = False
    report_only: bool = False
    allow_missing: bool = False


@dataclass(frozen=True, slots=True)
class Backend:
    """
    What the backend gets.

    Attributes:
        path: Of the request, canonical, without its query.
        identity: Headers that lbjwt writes from claims.
        fields: Names of all header lines, in their order.
        tokens: Places where something stood, also on a route that does not look there, and whether it still does.
    """

    path: str
    identity: tuple[tuple[str, str], ...]
    fields: tuple[str, ...]
    tokens: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the client gets when the backend gets nothing: status and fields, the token cut out of them."""

    status: int
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    All of it.

    Attributes:
        verdict: `unknown` when keys that the answer depends on could not be had here.
        reason: Of the objects that serve: NONE when the request passes, or is refused before there is a reason.
        reported: What would have refused it, were it not only reported.
        at: The time it is about, seconds since the epoch.
        method, path, host: Of the request; the path without its query, which may hold a token.
        problem: Code of what is wrong with the request itself; "" when nothing is.
    """

    verdict: Verdict
    reason: DenyReason
    reported: DenyReason
    at: float
    method: str
    path: str
    host: str
    steps: tuple[Step, ...]
    route: RouteSeen | None = None
    tokens: tuple[TokenSeen, ...] = ()
    backend: Backend | None = None
    reply: Reply | None = None
    problem: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def explained(self) -> DenyReason:
        """The reason of the first step that refuses; NONE when none does. The same as `reason`, or the explanation is wrong."""
        return next((step.reason for step in self.steps if step.refuses), DenyReason.NONE)
