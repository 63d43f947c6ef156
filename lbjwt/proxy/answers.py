"""Responses of our own that are made once per configuration: to refused tokens, for each route, and the documents we serve."""

from __future__ import annotations

from lbjwt._fastverify import DenyReason
from lbjwt.auth._callers import Caller
from lbjwt.auth.redirect import redirect_location, redirect_template
from lbjwt.auth.refusals import RefusalStyle, compile_refusals, grpc_refusals, is_curable, would_refuse_lines
from lbjwt.http1._answer import Answer

METADATA_MAX_AGE = 300  # seconds; short, because a new configuration may change the document

RouteAnswers = tuple[tuple[Answer, ...], tuple[tuple[Answer, ...], ...], tuple[bytes | None, ...], tuple[bytes, ...]]


def route_answers(realm: str, style: RefusalStyle | None = None) -> RouteAnswers:
    """
    All answers of a route, tables indexed by `DenyReason`: to everybody; to gRPC callers, one table for each `Caller` from GRPC on; for browsers
    the template of where they are sent to log in, None where a login would not help; and what a backend is told of a refusal that is only reported.

    Args:
        realm: The protection space named in the challenge (RFC 9110 section 11.5).
        style: How the route puts its refusals.

    Raises:
        ConfigurationError: Something that cannot stand in a header.
    """
    style = style or RefusalStyle()
    template = None if style.redirect is None else redirect_template(style.redirect)
    return (
        compile_refusals(realm, style),
        tuple(grpc_refusals(style, caller) for caller in (Caller.GRPC, Caller.GRPC_WEB, Caller.GRPC_WEB_TEXT)),
        tuple(template if is_curable(DenyReason(number)) else None for number in range(len(DenyReason))),
        would_refuse_lines(style),
    )


def redirect_answer(template: bytes, scheme: bytes, host: bytes, target: bytes) -> Answer:
    """Send a browser to log in. See `redirect_location` for the arguments."""
    location = redirect_location(template, scheme, host, target)
    return Answer(302, b"Location: %b\r\nCache-Control: no-store\r\n" % location, b"")


def metadata_answer(document: bytes) -> Answer:
    """A metadata document (RFC 9728 section 3.2); clients that run in a browser may read it from any page, for all of it is public."""
    fields = b"Content-Type: application/json\r\nCache-Control: max-age=%d\r\nAccess-Control-Allow-Origin: *\r\n"
    return Answer(200, fields % METADATA_MAX_AGE, document)
