"""
The part of an application's request that decides about its token, written as the HTTP/1 head that the balancer's own code reads.

So token locations, doubled fields, quoted values and paths mean the same in an application and in the balancer. Only fields that may hold a token or
choose a route are written: the server that called the application has read the others, and judged the message.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from lbjwt.http1._request import RequestPolicy

MAX_HEAD: Final = 1 << 20
"""Bytes. Servers have lower limits of their own; this one only bounds what is copied."""
MAX_FIELDS: Final = 1000

POLICY: Final = RequestPolicy(max_request_line=MAX_HEAD - 3, max_head=MAX_HEAD, max_fields=MAX_FIELDS)

_PATH: Final = (
    "/:@!$&'()*+,;=~-._*"  # what RFC 3986 section 3.3 allows in a path unescaped, and the target of OPTIONS *
)
_NO_HOST: Final = b"Host: none.invalid\r\n"  # RFC 2606 section 2; no route has it


class HeadWriter:
    """
    Args:
        fields: Names of the fields that count, in lower case.
        routed: Method, host and path count, too.
        query: The query counts.
    """

    def __init__(self, fields: Iterable[bytes], *, routed: bool, query: bool) -> None:
        self.fields = frozenset(fields) | ({b"host", b"accept", b"authorization"} if routed else frozenset())
        self._routed = routed
        self._query = query

    def write(
        self, method: str, path: str | bytes, query: bytes, fields: Iterable[tuple[bytes, bytes]]
    ) -> bytes | None:
        """
        The head; None for a request that must not be judged by one: a value with a line of its own in it.

        Args:
            path: Decoded, as the application routes by it.
            fields: Names in any case.
        """
        wanted = self.fields
        lines = [b"%b: %b\r\n" % pair for pair in fields if pair[0].lower() in wanted]
        target = b"/"
        word = b"GET"
        host = _NO_HOST
        if self._routed:
            try:
                target = quote(path or "/", safe=_PATH).encode("ascii")
            except UnicodeEncodeError:
                return None
            word = method.encode("latin-1", "replace")
            if any(line[:5].lower() == b"host:" for line in lines):
                host = b""
        if self._query and query:
            target += b"?" + query
        head = b"%b %b HTTP/1.1\r\n%b%b\r\n" % (word, target, host, b"".join(lines))
        return head if head.count(b"\n") == len(lines) + 2 + (host != b"") else None
