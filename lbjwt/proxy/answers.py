"""The answers of our own, made ready once per configuration: to refused tokens, route by route, and the documents we serve."""

from __future__ import annotations

from dataclasses import dataclass

from lbjwt._fastverify import DenyReason
from lbjwt.auth.redirect import redirect_location, redirect_template
from lbjwt.auth.refusals import RETRY_AFTER, Refusal, RefusalStyle, compile_refusals, grpc_refusals, is_curable
from lbjwt.proxy._answer import Answer

METADATA_MAX_AGE = (
    300  # seconds; a document changes with the configuration, and no client should believe an old one for long
)


@dataclass(frozen=True, slots=True)
class RouteAnswers:
    """What one route answers, three tables indexed by `DenyReason`.

    Attributes:
        plain: To everybody: text, or a problem document.
        grpc: To gRPC callers (`auth._callers.is_grpc`): HTTP status 200 and the status in the head.
        redirects: To browsers (`auth._callers.is_browser`): the template for `redirect_answer`; None where the plain answer stands, because a
            login would not help, and everywhere when the route sends nobody away.
    """

    plain: tuple[Answer, ...]
    grpc: tuple[Answer, ...]
    redirects: tuple[bytes | None, ...]


def route_answers(realm: str, style: RefusalStyle | None = None, *, retry_after: int = RETRY_AFTER) -> RouteAnswers:
    """All answers of a route.

    Args:
        realm: The protection space named in the challenge (RFC 9110 section 11.5).
        style: How the route puts its refusals.
        retry_after: Seconds, named when there are no keys, or too many failures.

    Raises:
        ConfigurationError: Something that cannot stand in a header.
    """
    style = style or RefusalStyle()
    template = None if style.redirect is None else redirect_template(style.redirect)
    return RouteAnswers(
        tuple(_answer(refusal) for refusal in compile_refusals(realm, style, retry_after=retry_after)),
        tuple(_answer(refusal) for refusal in grpc_refusals(style)),
        tuple(template if is_curable(DenyReason(number)) else None for number in range(len(DenyReason))),
    )


def redirect_answer(template: bytes, scheme: bytes, host: bytes, target: bytes) -> Answer:
    """Send a browser to log in; made per request, which a refused browser is worth. See `redirect_location` for the arguments."""
    location = redirect_location(template, scheme, host, target)
    return Answer(302, b"Location: %b\r\nCache-Control: no-store\r\nContent-Length: 0\r\n" % location, b"")


def metadata_answer(document: bytes) -> Answer:
    """A metadata document (RFC 9728 section 3.2); clients that run in a browser may read it from any page, for all of it is public."""
    fields = b"Content-Type: application/json\r\nCache-Control: max-age=%d\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: %d\r\n"
    return Answer(200, fields % (METADATA_MAX_AGE, len(document)), document)


def _answer(refusal: Refusal) -> Answer:
    return Answer(refusal.status, refusal.fields, refusal.body)
