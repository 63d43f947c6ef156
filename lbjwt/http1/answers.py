"""
The responses that are our own: whole heads and bodies as bytes, never a byte of the client's.

Knows no clock and no reason for a refusal: fields such as Date, WWW-Authenticate or Retry-After come in ready-made.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

REASONS: Final = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
"""Reason phrases by status code (RFC 9110 section 15)."""

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def answer(
    status: int,
    fields: bytes = b"",
    body: bytes = b"",
    keep_alive: bool = False,
    request_id: bytes = b"",
    *,
    to_head: bool = False,
) -> bytes:
    """
    One complete response in plain text.

    Args:
        status: Three digits; a reason phrase is added where one is registered.
        fields: Ready-made lines, each with its CRLF; neither framing nor Connection.
        body: Plain text in UTF-8; empty for none. The length is announced in either case, except for 204 and 304.
        keep_alive: False writes ``Connection: close``; the caller closes.
        request_id: Written as ``X-Request-Id`` when not empty.
        to_head: The request was HEAD: the length is announced, the body left out (RFC 9110 section 9.3.2).
    """
    lines = [b"HTTP/1.1 %d %s\r\n" % (status, REASONS.get(status, b"")), fields]
    if request_id:
        lines.append(b"X-Request-Id: %s\r\n" % request_id)
    if body:
        lines.append(b"Content-Type: text/plain; charset=utf-8\r\n")
    if status not in (204, 304):
        lines.append(b"Content-Length: %d\r\n" % len(body))
    if not keep_alive:
        lines.append(b"Connection: close\r\n")
    lines.append(b"\r\n")
    if not to_head:
        lines.append(body)
    return b"".join(lines)
