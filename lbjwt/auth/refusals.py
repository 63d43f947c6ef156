"""
Responses to refused requests: a DenyReason in, a complete response out.

A response says one of four things about a token (THREATS A28): it is missing, the request is malformed, the token is invalid, or it is valid and
does not suffice. The exact reason would help attackers, so only log and counters have it, unless `expose_reason` is set. Two more responses
say nothing about the token, because it was not verified: too many failures from an address, and no keys.

Source: RFC 6750 section 3, RFC 9110 sections 10.2.3, 11.6.1 and 15.5.2, RFC 9457, RFC 9728 section 5.1, the gRPC protocol over HTTP.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from lbjwt._fastverify import DenyReason
from lbjwt.auth._callers import Caller
from lbjwt.auth.grpc import OF_TOKENS, grpc_answer, phrase
from lbjwt.auth.identity import WOULD_REFUSE
from lbjwt.auth.policy import check_scopes
from lbjwt.auth.redirect import redirect_template
from lbjwt.errors import ConfigurationError
from lbjwt.http1._answer import Answer

RETRY_AFTER = 5  # seconds: longer than a failed fetch of keys waits before its next attempt

# Status and error code by reason; every other reason is 401 invalid_token.
_TOLD: dict[DenyReason, tuple[int, str | None]] = {
    DenyReason.MISSING: (401, None),  # RFC 6750 section 3: no error code when no token came
    DenyReason.MULTIPLE_TOKENS: (400, "invalid_request"),
    DenyReason.MALFORMED_CREDENTIALS: (400, "invalid_request"),
    DenyReason.INSUFFICIENT_SCOPE: (403, "insufficient_scope"),
    DenyReason.CLAIM_REFUSED: (403, "insufficient_scope"),
    DenyReason.SUBJECT_REFUSED: (403, "insufficient_scope"),
    DenyReason.CLIENT_REFUSED: (403, "insufficient_scope"),
    DenyReason.NO_CLUSTER: (403, "insufficient_scope"),
    DenyReason.RATE_LIMITED: (429, None),
    DenyReason.KEYS_UNAVAILABLE: (503, None),
}
_NO_GOOD = (401, "invalid_token")
_UNJUDGED = frozenset({429, 503})

_STATUSES = frozenset({_NO_GOOD[0], *(status for status, _ in _TOLD.values())})

# Their answers need a field that we would have to make up: Allow, Proxy-Authenticate, Upgrade (RFC 9110 section 15.5).
_INCOMPLETE = frozenset({405, 407, 426})


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalStyle:
    """
    The form of a route's refusals.

    Attributes:
        json: A problem document (RFC 9457) instead of a line of text.
        expose_reason: Name the reason in `error_description` of the challenge, `reason` of the problem document, and `grpc-message`.
        statuses: Another status for 400, 401, 403, 429 or 503. The response has a challenge if the status is unchanged or 401.
        redirect: Template of `auth.redirect` for browsers without a valid token; None for no redirect.
        resource_metadata: The URL of the metadata document, for the challenge (RFC 9728 section 5.1).
        scopes: Scopes to name to a client whose token does not suffice (RFC 6750 section 3).

    Raises:
        ConfigurationError: An invalid status, redirect or scope.
    """

    json: bool = False
    expose_reason: bool = False
    statuses: Mapping[int, int] = field(default_factory=dict, hash=False)  # a mapping has no hash; equality compares it
    redirect: str | None = None
    resource_metadata: str | None = None
    scopes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for told, status in self.statuses.items():
            check_status(told, status)
        if self.redirect is not None:
            redirect_template(self.redirect)
        check_scopes(self.scopes)


def check_status(told: int, status: int) -> None:
    """ConfigurationError when `status` cannot replace `told`, the status of a refusal."""
    if told not in _STATUSES:
        raise ConfigurationError(f"lbjwt never refuses with status {told}; replace 400, 401, 403, 429 or 503", "told")
    if status < 400 or status not in set(HTTPStatus) - _INCOMPLETE:
        raise ConfigurationError(
            "the status of a refusal must be 4xx or 5xx, but not 405, 407 or 426, which need a further header"
        )
    if (told == 503 and status < 500) or (told in _UNJUDGED and status == 401):
        raise ConfigurationError(f"{told} cannot become {status}: that would blame a token that was not verified")


def status_of(reason: DenyReason) -> int:
    """The status of a refusal before a style changes it, as in log and counters: 400, 401, 403, 429 or 503."""
    return _TOLD.get(reason, _NO_GOOD)[0]


def is_curable(reason: DenyReason) -> bool:
    """True when another token would help. A redirect to the login page after a 403 would go in circles."""
    return status_of(reason) == 401


def compile_refusals(realm: str = "lbjwt", style: RefusalStyle | None = None) -> tuple[Answer, ...]:
    """
    All responses, indexed by DenyReason; NONE has that of INTERNAL.

    Args:
        realm: Printable ASCII; quoted as needed.

    Raises:
        ConfigurationError: A realm that cannot stand in a header.
    """
    if not (realm.isascii() and realm.isprintable()):
        raise ConfigurationError("the realm contains a character that a header cannot hold")
    quoted = realm.replace("\\", "\\\\").replace('"', '\\"')
    style = style or RefusalStyle()

    def refusal(reason: DenyReason) -> Answer:
        told, error = _TOLD.get(reason, _NO_GOOD)
        status = style.statuses.get(told, told)
        lines = []
        if told in _UNJUDGED:
            lines.append(f"Retry-After: {RETRY_AFTER}")
        elif status in (told, 401):
            lines.append(f"WWW-Authenticate: {_challenge(quoted, error, reason, style)}")
        return _refusal(status, lines, *_body(status, reason, style))

    return _for_all(refusal)


def grpc_refusals(style: RefusalStyle | None = None, caller: Caller = Caller.GRPC) -> tuple[Answer, ...]:
    """The same for clients of gRPC or gRPC-Web (`auth.grpc`). A style's statuses are not used."""
    exposes = style is not None and style.expose_reason

    def refusal(reason: DenyReason) -> Answer:
        status = status_of(reason)
        return grpc_answer(OF_TOKENS[status], _name(reason) if exposes else phrase(status), caller)

    return _for_all(refusal)


def would_refuse_lines(style: RefusalStyle | None = None) -> tuple[bytes, ...]:
    """
    By DenyReason, the header line that tells a backend of a refusal that is only reported: the reason and the status that the client would have
    got, as an item of RFC 9651, such as `expired;status=401`.
    """
    statuses = {} if style is None else style.statuses
    told = [(reason, status_of(reason)) for reason in map(DenyReason, range(len(DenyReason)))]
    return tuple(
        f"{WOULD_REFUSE}: {_name(reason)};status={statuses.get(status, status)}\r\n".encode("ascii")
        for reason, status in told
    )


def _for_all(refusal: Callable[[DenyReason], Answer]) -> tuple[Answer, ...]:
    return tuple(refusal(DenyReason(number) or DenyReason.INTERNAL) for number in range(len(DenyReason)))


def _challenge(realm: str, error: str | None, reason: DenyReason, style: RefusalStyle) -> str:
    """The Bearer challenge; each parameter at most once (RFC 6750 section 3)."""
    parameters = {"realm": realm}
    if error is not None:
        parameters["error"] = error
        if style.expose_reason:
            parameters["error_description"] = _name(reason)
    if error == "insufficient_scope" and style.scopes:
        parameters["scope"] = " ".join(style.scopes)
    if style.resource_metadata is not None:
        parameters["resource_metadata"] = style.resource_metadata
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items())


def _body(status: int, reason: DenyReason, style: RefusalStyle) -> tuple[str, bytes]:
    phrase = HTTPStatus(status).phrase
    if not style.json:
        return "text/plain; charset=utf-8", phrase.lower().encode("ascii") + b"\n"
    problem: dict[str, str | int] = {"type": "about:blank", "title": phrase, "status": status}
    if style.expose_reason:
        problem["reason"] = _name(reason)
    return "application/problem+json", json.dumps(problem).encode("ascii") + b"\n"


def _name(reason: DenyReason) -> str:
    return reason.name.lower()


def _refusal(status: int, lines: list[str], media_type: str, body: bytes) -> Answer:
    lines = [*lines, f"Content-Type: {media_type}", "Cache-Control: no-store"]
    return Answer(status, "".join(f"{line}\r\n" for line in lines).encode("ascii"), body)
