"""httptools as an independent reader of what was written: its events, gathered."""

import contextlib
from typing import Any

import httptools

from lbjwt._error_reason import ErrorReason

Fields = list[tuple[bytes, bytes]]


def named(problem: ErrorReason) -> str | None:
    """A problem as log and metrics call it; None when there is none."""
    return problem.name.lower() if problem else None


class Sink:
    """Target or reason phrase, and the fields with names in lower case."""

    def __init__(self) -> None:
        self.text = b""
        self.fields: Fields = []

    def on_url(self, piece: bytes) -> None:
        self.text += piece

    def on_status(self, piece: bytes) -> None:
        self.text += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value.rstrip(b" \t")))


def request_by_httptools(wire: bytes) -> tuple[bytes, bytes, Fields]:
    """Method, target and fields of a request head."""
    sink = Sink()
    parser = httptools.HttpRequestParser(sink)
    _feed(parser, wire)
    return parser.get_method(), sink.text, sink.fields


def response_by_httptools(wire: bytes) -> tuple[int, bytes, Fields]:
    """Status, reason phrase and fields of a response head."""
    sink = Sink()
    parser = httptools.HttpResponseParser(sink)
    _feed(parser, wire)
    return parser.get_status_code(), sink.text, sink.fields


def _feed(parser: Any, wire: bytes) -> None:
    with contextlib.suppress(httptools.HttpParserUpgrade):
        parser.feed_data(wire)
