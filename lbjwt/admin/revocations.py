"""
``/revocations`` of the admin door: POST takes an entry or an array of them, GET tells how many are in force and shows the first.

The door asks for no password, so whoever reaches its address may revoke, as an operator would. A web page open in the operator's browser
reaches that address too, and must not: a browser sends a body of JSON to another origin only after asking with OPTIONS, which is not
answered here, and it puts ``Origin`` on every POST of a script, also on one whose host name was pointed at this machine (DNS rebinding).
So the content type must be JSON, and what bears a browser's marks is refused. Programs send neither.

Every answer is JSON: ``{"revoked": …, "in_force": …}``, or ``{"error": "one sentence"}``.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final

import orjson
from aiohttp import web

from lbjwt.auth.revocation import Revocation, RevocationError
from lbjwt.auth.revocation_format import DEFAULT_LIFETIME, read_posted, text_of_time
from lbjwt.revocation.store import RevocationStore

__all__ = ["PATH", "RevocationPages"]

PATH: Final = "/revocations"

MAX_BODY: Final = 1024 * 1024
"""Bytes of a POST: some 5,000 entries, all applied at once or none."""

BODY_TIMEOUT: Final = 10.0
"""Seconds for a whole body to arrive."""

SHOWN: Final = 100
"""Entries that GET shows unless asked for another number."""

MOST_SHOWN: Final = 1000
"""Entries that GET shows at most: an answer of some 200 KiB, made in a few milliseconds."""


class RevocationPages:
    """The handlers, for whoever owns the store: they run in its loop and write with it."""

    def __init__(
        self,
        store: RevocationStore,
        *,
        on_revoked: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            store: Open.
            on_revoked: Called when new entries are on disk: time to wake the readers.
            clock: Seconds since the epoch.
        """
        self._store = store
        self._on_revoked = on_revoked
        self._clock = clock

    def add_to(self, application: web.Application) -> None:
        """Give the application its two routes."""
        application.router.add_post(PATH, self.post)
        application.router.add_get(PATH, self.get, allow_head=False)

    async def post(self, request: web.Request) -> web.Response:
        """Revoke: all entries of the body, or none."""
        if _is_browser(request):
            return _error(403, "a browser may not do this; use lbjwt revoke or another program")
        if request.content_type != "application/json" or "Content-Encoding" in request.headers:
            return _error(415, "the content type must be application/json, without a content coding")
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                body = await _body(request)
        except TimeoutError:
            return _error(408, f"the body did not arrive within {BODY_TIMEOUT:g} s")
        if body is None:
            return _error(413, f"at most {MAX_BODY} bytes are accepted at once")
        now = self._clock()
        try:
            entries = read_posted(body, default_expires=now + DEFAULT_LIFETIME)
            for number, entry in enumerate(entries, 1):
                if entry.expires <= now:
                    raise RevocationError(f'entry {number}: "expires" has passed already')
        except RevocationError as error:
            return _error(400, str(error))
        try:
            revoked = self._store.append(entries, now)
        except RevocationError as error:  # no room in the list or on the disk: nothing of it is in force
            return _error(507, str(error))
        if revoked:
            self._on_revoked()
        return _json(200, {"revoked": revoked, "in_force": len(self._store.entries)})

    async def get(self, request: web.Request) -> web.Response:
        """Count the entries in force and show the first ``limit`` of them."""
        if _is_browser(request):
            return _error(403, "a browser may not do this")
        limit = request.query.get("limit", str(SHOWN))
        if not (limit.isascii() and limit.isdecimal() and len(limit) <= 4 and int(limit) <= MOST_SHOWN):
            return _error(400, f"limit is a number from 0 to {MOST_SHOWN}")
        now = self._clock()
        entries = self._store.entries
        entries.prune(now)
        shown = (_described(entry) for entry in entries if entry.expires > now)
        return _json(200, {"in_force": len(entries), "entries": list(islice(shown, int(limit)))})


def _is_browser(request: web.Request) -> bool:
    return "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", "none") != "none"


async def _body(request: web.Request) -> bytes | None:
    """The body, or None for one that is too long; read here, because the limit of the application is for its other pages."""
    if request.content_length is not None and request.content_length > MAX_BODY:
        return None
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


def _described(entry: Revocation) -> dict[str, Any]:
    members: dict[str, Any] = {entry.kind: entry.value}
    if entry.issuer is not None:
        members["issuer"] = entry.issuer
    if entry.issued_before is not None:
        members["issued_before"] = text_of_time(entry.issued_before)
    return {**members, "expires": text_of_time(entry.expires)}


def _error(status: int, sentence: str) -> web.Response:
    response = _json(status, {"error": sentence})
    if status in (408, 413):  # the rest of the body may still be on its way
        response.force_close()
    return response


def _json(status: int, members: Mapping[str, object]) -> web.Response:
    return web.Response(
        status=status, body=orjson.dumps(members, option=orjson.OPT_APPEND_NEWLINE), content_type="application/json"
    )
