"""
What gRPC callers get in place of an HTTP status. The one table of statuses, and the forms they are sent in.

An answer of our own is "Trailers-Only": HTTP 200 without a body, `grpc-status` in the head. gRPC-Web clients understand the same in the head, if the
content type is theirs. A response that breaks off after its head ends with trailers.

Source: the gRPC protocol over HTTP/2, "HTTP to gRPC Status Code Mapping" and the gRPC-Web protocol of the gRPC documentation.
"""

import functools
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from lbjwt.auth._callers import Caller
from lbjwt.http1._answer import Answer

UNKNOWN: Final = 2
UNAUTHENTICATED: Final = 16

STATUS: Final[Mapping[int, int]] = MappingProxyType(
    {
        400: 13,  # INTERNAL: malformed HTTP is a fault of a library, not of an argument
        401: UNAUTHENTICATED,
        403: 7,  # PERMISSION_DENIED
        404: 12,  # UNIMPLEMENTED: no route is no such method
        405: 12,
        408: 4,  # DEADLINE_EXCEEDED
        413: 8,  # RESOURCE_EXHAUSTED, as when a message is larger than a server takes
        414: 8,
        417: 13,
        429: 8,
        431: 8,
        501: 12,
        502: 14,  # UNAVAILABLE
        503: 14,
        504: 4,
        505: 13,
    }
)
"""gRPC status by the HTTP status that other callers get."""

OF_TOKENS: Final[Mapping[int, int]] = MappingProxyType({**STATUS, 400: 3})
"""The same for refusals of a token. INVALID_ARGUMENT: two tokens, or one that is malformed, come from the caller."""

CONTENT_TYPES: Final[Mapping[Caller, str]] = MappingProxyType(
    {
        Caller.GRPC: "application/grpc",
        Caller.GRPC_WEB: "application/grpc-web",
        Caller.GRPC_WEB_TEXT: "application/grpc-web-text",
    }
)


def phrase(status: int) -> str:
    """`grpc-message` for an HTTP status. It needs no percent-encoding."""
    return HTTPStatus(status).phrase.lower()


def grpc_error_answer(status: int, detail: str, caller: Caller) -> Answer:
    """The answer to a request that failed. status: of HTTP, for other callers. detail: added to the message; "" for nothing."""
    return grpc_answer(STATUS.get(status, UNKNOWN), _message(status, detail), caller)


def grpc_error_trailers(status: int, detail: str) -> list[tuple[bytes, bytes]]:
    """The end of a response that breaks off. Arguments as of `grpc_error_answer`; status 0: there is none."""
    return [
        (b"grpc-status", b"%d" % STATUS.get(status, UNKNOWN)),
        (b"grpc-message", _message(status, detail).encode("ascii")),
    ]


def _message(status: int, detail: str) -> str:
    text = phrase(status) if status else "ended"
    return f"{text}: {detail}" if detail else text


@functools.cache
def grpc_answer(status: int, message: str, caller: Caller) -> Answer:
    """
    An answer of our own.

    Args:
        status: Of gRPC.
        message: Printable ASCII without `%`.
        caller: Of gRPC or gRPC-Web.
    """
    lines = f"grpc-status: {status}", f"grpc-message: {message}", f"Content-Type: {CONTENT_TYPES[caller]}"
    fields = "".join(f"{line}\r\n" for line in (*lines, "Cache-Control: no-store")).encode("ascii")
    return Answer(200, fields, b"", grpc_status=status)
