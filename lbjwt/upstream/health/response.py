"""
The check of one HTTP/1.1 response, piece by piece as it comes. Decides as early as it can and reads a bounded number of bytes.

Nothing that the endpoint sent is in the result but its status: a log must not show what a backend chooses.
"""

from typing import Final

import httptools

from lbjwt.upstream.health.settings import HealthCheck

MAX_HEAD: Final = 64 * 1024
"""Bytes of the heads, interim ones included, as for responses to clients (`limits.max_response_head`)."""

MAX_BODY: Final = 64 * 1024
"""Bytes of the body in which the text is looked for. A longer body is cut off: an endless one costs no more."""

MAX_WIRE: Final = MAX_HEAD + 8 * MAX_BODY
"""Bytes altogether, chunk extensions and trailers included; a body in chunks of one byte has six for each."""

MISSING: Final = "the text of `body` is not in the response"


class ResponseCheck:
    """
    What a response to a check says of the endpoint.

    Attributes:
        failure: None: not decided yet; "": it passes; else why it fails.
    """

    def __init__(self, check: HealthCheck) -> None:
        self.failure: str | None = None
        self._statuses = check.statuses
        self._text = None if check.body is None else check.body.encode()
        self._parser = httptools.HttpResponseParser(self)
        self._in_body = False
        self._head_bytes = 0
        self._bytes = 0
        self._body = bytearray()

    def feed(self, data: bytes) -> None:
        """Take in what came from the endpoint."""
        if self.failure is not None:
            return
        self._bytes += len(data)
        if not self._in_body:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._decide("status 101")
        except httptools.HttpParserError:
            self._decide("the response is not valid HTTP/1.1")
        if not self._in_body and self._head_bytes > MAX_HEAD:
            self._decide(f"the head of the response is longer than {MAX_HEAD >> 10} KiB")
        if self._bytes > MAX_WIRE:
            self._decide(MISSING)

    def ended(self) -> None:
        """The endpoint closed the connection."""
        if self._in_body:
            self._decide(MISSING)
        else:
            self._decide("the connection was closed without a whole response head")

    # --- called by the parser

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            if status == 101:
                self._decide("status 101")
            return
        self._in_body = True
        if status not in self._statuses:
            self._decide(f"status {status}")
        elif self._text is None:
            self._decide("")

    def on_body(self, data: bytes) -> None:
        if self.failure is not None or self._text is None:
            return
        self._body += data[: MAX_BODY - len(self._body)]
        if self._text in self._body:
            self._decide("")
        elif len(self._body) >= MAX_BODY:
            self._decide(f"the text of `body` is not in the first {MAX_BODY >> 10} KiB of the response")

    def on_message_complete(self) -> None:
        if self._in_body:
            self._decide(MISSING)

    def _decide(self, failure: str) -> None:
        if self.failure is None:
            self.failure = failure


def judged(check: HealthCheck, status: int, body: bytes) -> str:
    """As `ResponseCheck.failure`, of a response that was read to its end, or to the limit of its body."""
    if status not in check.statuses:
        return f"status {status}"
    if check.body is None or check.body.encode() in body[:MAX_BODY]:
        return ""
    if len(body) >= MAX_BODY:
        return f"the text of `body` is not in the first {MAX_BODY >> 10} KiB of the response"
    return MISSING


def decided(check: HealthCheck, status: int, body: bytes) -> bool:
    """Whether the rest of the body changes nothing."""
    return judged(check, status, body) != MISSING
