"""
``/revocations`` of the admin API: POST adds entries, DELETE removes them, GET counts and shows them.

DELETE has a body like POST (RFC 9110 section 9.3.5 leaves its meaning to the server), because an identifier may be too long for a URL.

Who may use it: see `lbjwt.admin.changing`.

Each change is one line in the log: the client's address and how many entries of which kind. Whom they concern stands in the revocation log only.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from aiohttp import web

from lbjwt.admin.changing import answer, error, is_browser, refused
from lbjwt.auth.revocation import Revocation, RevocationError, Undo
from lbjwt.auth.revocation_format import (
    DEFAULT_LIFETIME,
    read_entry,
    read_posted,
    read_undo,
    text_of_time,
)
from lbjwt.revocation.store import RevocationStore

PATH: Final = "/revocations"

BODY_TIMEOUT: Final = 10.0
"""Seconds for a whole body to arrive."""

SHOWN: Final = 100
"""Entries that GET shows unless asked for another number."""

MOST_SHOWN: Final = 1000
"""Entries that GET shows at most: an answer of some 200 KiB, made in a few milliseconds."""

T = TypeVar("T", Revocation, Undo)

log = logging.getLogger("lbjwt.admin")


class RevocationPages:
    """The handlers, in the process that owns the store. They call `on_change` when a change is on disk."""

    def __init__(
        self, store: RevocationStore, *, on_change: Callable[[], None], clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._on_change = on_change
        self._clock = clock

    def add_to(self, application: web.Application) -> None:
        application.router.add_post(PATH, self.post)
        application.router.add_delete(PATH, self.delete)
        application.router.add_get(PATH, self.get, allow_head=False)

    async def post(self, request: web.Request) -> web.Response:
        """Add all entries of the body, or none."""

        def read(members: Mapping[str, Any]) -> Revocation:
            entry = read_entry(members, default_expires=self._clock() + DEFAULT_LIFETIME)
            if entry.expires <= self._clock():
                raise RevocationError('"expires" is in the past')
            return entry

        return await self._change(request, read, self._store.append, "revoked")

    async def delete(self, request: web.Request) -> web.Response:
        """Remove all entries that the body names, or none. One that is not in force is no error."""
        return await self._change(request, read_undo, self._store.undo, "undone")

    async def _change(
        self,
        request: web.Request,
        read: Callable[[Mapping[str, Any]], T],
        commit: Callable[[Sequence[T], float], int],
        verb: str,
    ) -> web.Response:
        if (no := refused(request, "lbjwt revoke")) is not None:
            return no
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return error(
                413, f"the body is larger than {request.client_max_size} bytes; send the entries in several requests"
            )
        except TimeoutError:
            return error(408, f"the body did not arrive within {BODY_TIMEOUT:g} s")
        try:
            changes = read_posted(body, read)
        except RevocationError as fault:
            return error(400, str(fault))
        try:
            count = commit(changes, self._clock())
        except RevocationError as fault:  # no room in the list or on the disk: nothing of it is in force
            return error(507, str(fault))
        if count:
            self._on_change()
            kinds = Counter(change.kind for change in changes)
            told = ", ".join(f"{number} by {kind}" for kind, number in sorted(kinds.items()))
            log.info("%s over the admin API by %s: %s", verb, request.remote, told)
        return answer(200, {verb: count, "in_force": len(self._store.entries)})

    async def get(self, request: web.Request) -> web.Response:
        if is_browser(request):
            return error(403, "browsers are not allowed to do this")
        limit = request.query.get("limit", str(SHOWN))
        if not (limit.isascii() and limit.isdecimal() and len(limit) <= 4 and int(limit) <= MOST_SHOWN):
            return error(400, f"limit must be a number from 0 to {MOST_SHOWN}")
        now = self._clock()
        entries = self._store.entries
        entries.prune(now)
        shown = (_described(entry) for entry in entries if entry.expires > now)
        return answer(200, {"in_force": len(entries), "entries": list(islice(shown, int(limit)))})


def _described(entry: Revocation) -> dict[str, Any]:
    members: dict[str, Any] = {entry.kind: entry.value}
    if entry.issuer is not None:
        members["issuer"] = entry.issuer
    if entry.issued_before is not None:
        members["issued_before"] = text_of_time(entry.issued_before)
    return {**members, "expires": text_of_time(entry.expires)}
