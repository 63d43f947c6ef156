"""
``/clusters/NAME/endpoints/ADDRESS`` of the admin API: GET tells the state of an endpoint, POST changes it.

The body of a POST has ``state`` (`in service`, `drained` or `disabled`), ``weight`` (0 to 1000, or null for that of the configuration), or both.
Status 200: the state after the change, and in ``survives_restart`` whether it is stored; 400: a body that says something else; 404: no such cluster
or endpoint, with the likely one. A slash in the address of a Unix socket may stand as it is or as ``%2F``.

Who may use it: see `lbjwt.admin.changing`.
"""

import asyncio
from dataclasses import asdict
from typing import Any, Final

import orjson
from aiohttp import web

from lbjwt.admin.changing import answer, error, is_browser, refused
from lbjwt.upstream.operations import CONFIGURED, EndpointOperations, EndpointState, UnknownEndpoint

PATH: Final = "/clusters/{cluster}/endpoints/{endpoint:.+}"
BODY_TIMEOUT: Final = 10.0
"""Seconds for a whole body to arrive."""


class OperationPages:
    """The handlers."""

    def __init__(self, operations: EndpointOperations) -> None:
        self._operations = operations

    def add_to(self, application: web.Application) -> None:
        application.router.add_get(PATH, self.get, allow_head=False)
        application.router.add_post(PATH, self.post)

    async def get(self, request: web.Request) -> web.Response:
        if is_browser(request):
            return error(403, "browsers are not allowed to do this")
        try:
            return _told(self._operations.read(request.match_info["cluster"], request.match_info["endpoint"]))
        except UnknownEndpoint as unknown:
            return error(404, str(unknown))

    async def post(self, request: web.Request) -> web.Response:
        if (no := refused(request, "lbjwt drain, enable, disable or weight")) is not None:
            return no
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                body: Any = orjson.loads(await request.read())
        except web.HTTPRequestEntityTooLarge:
            return error(413, "the body is too large")
        except TimeoutError:
            return error(408, f"the body did not arrive within {BODY_TIMEOUT:g} s")
        except orjson.JSONDecodeError:
            return error(400, "the body is not JSON")
        if not isinstance(body, dict) or not body or body.keys() - {"state", "weight"}:
            return error(400, 'the body must be an object with "state", "weight" or both')
        weight = body.get("weight", ...)
        try:
            changed = self._operations.change(
                request.match_info["cluster"],
                request.match_info["endpoint"],
                state=_text(body.get("state")),
                weight=CONFIGURED if weight is None else None if weight is ... else weight,
                by="admin API",
            )
        except UnknownEndpoint as unknown:
            return error(404, str(unknown))
        except ValueError as fault:
            return error(400, str(fault))
        return _told(changed)


def _text(state: Any) -> str | None:
    return state if state is None or isinstance(state, str) else ""


def _told(state: EndpointState) -> web.Response:
    return answer(200, asdict(state))
