"""
``POST /reload`` of the admin API: have the configuration read again, and tell what became of it.

The answer has ``changes``, ``restart`` (keys whose new values need one), ``problems``, ``warnings`` and ``failed``, each a list of sentences.
Status 200: applied; 422: the configuration has problems and nothing changed; 500: it was not applied, or not everywhere, for another reason;
503: the service is stopping and reloads no more; 504: no answer within half a minute. File names and key paths of the configuration are in the
sentences, values are not.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from lbjwt.admin.changing import answer, error, refused
from lbjwt.observe._board import Board

PATH: Final = "/reload"

Reload = Callable[[], Awaitable[dict[str, Any]]]
"""Reloads, and returns the answer with its ``ok``; TimeoutError when none came."""

log = logging.getLogger("lbjwt.admin")


class ReloadPage:
    """
    The handler.

    Args:
        board: Says whether the service is stopping.
    """

    def __init__(self, reload: Reload, board: Board) -> None:
        self._reload = reload
        self._board = board

    def add_to(self, application: web.Application) -> None:
        application.router.add_post(PATH, self.post)

    async def post(self, request: web.Request) -> web.Response:
        """Reload once; requests that come meanwhile are answered by the next one together."""
        if (no := refused(request, "lbjwt reload")) is not None:
            return no
        if self._board.draining:
            return error(503, "the service is stopping")
        log.info("reload asked for over the admin API by %s", request.remote)
        try:
            found = await self._reload()
        except TimeoutError:
            return error(504, "the supervisor did not answer; its log says what became of the reload")
        status = 200 if found["ok"] else 422 if found["problems"] else 500
        return answer(status, {name: value for name, value in found.items() if name not in ("reload", "ok")})
