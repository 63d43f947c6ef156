"""Small HTTP backends for the demo: each answers every request with who it is and what reached it."""

import asyncio
import json

from aiohttp import web

IDENTITY_HEADER = "X-Jwt-Sub"


class Backend:
    """Answers JSON: its name, the method, the path and the identity the balancer vouches for."""

    def __init__(self, name: str, delay: float = 0.0) -> None:
        """`delay`: seconds each answer takes; a slow backend has more requests in flight, hence is picked less often."""
        self.name = name
        self.delay = delay
        self.in_flight = 0
        self.answered = 0

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        return application

    async def _answer(self, request: web.Request) -> web.Response:
        self.in_flight += 1
        try:
            await asyncio.sleep(self.delay)
        finally:
            self.in_flight -= 1
        self.answered += 1
        text = {
            "backend": self.name,
            "method": request.method,
            "path": request.path,
            "subject": request.headers.get(IDENTITY_HEADER),
        }
        return web.json_response(text, dumps=_one_line)


def _one_line(answer: object) -> str:
    return json.dumps(answer) + "\n"
