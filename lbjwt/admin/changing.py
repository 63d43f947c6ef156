"""
What the pages of the admin API that change something have in common: who may use them, and what their answers look like.

The admin API has no password: every program that reaches its address may use these pages. A web page in the operator's browser also reaches the
address, and must not use them: a browser sends a body of JSON to another origin only after asking with OPTIONS, which is not
answered here, and it puts ``Origin`` on every POST and DELETE of a script, also on one whose host name was pointed at this machine (DNS rebinding).
So the content type must be JSON, and what bears a browser's marks is refused. Programs send neither.
"""

from collections.abc import Mapping

import orjson
from aiohttp import web


def refused(request: web.Request, command: str) -> web.Response | None:
    """The refusal of a request that must not change anything; None of one that may. `command`: what does the same on the command line."""
    if is_browser(request):
        return error(403, f"browsers are not allowed to do this; use {command} or another program")
    if request.content_type != "application/json" or "Content-Encoding" in request.headers:
        return error(415, "the content type must be application/json, without a content coding")
    return None


def is_browser(request: web.Request) -> bool:
    """True for a request with the marks of one that a script in a browser makes."""
    return "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", "none") != "none"


def error(status: int, sentence: str) -> web.Response:
    """Return the answer to what was not done."""
    response = answer(status, {"error": sentence})
    if status in (408, 413):  # the rest of the body may still be on its way
        response.force_close()
    return response


def answer(status: int, members: Mapping[str, object]) -> web.Response:
    """Return an answer in JSON."""
    return web.Response(
        status=status, body=orjson.dumps(members, option=orjson.OPT_APPEND_NEWLINE), content_type="application/json"
    )
