"""
The admin door: ``/livez``, ``/readyz``, ``/metrics``, ``/status``. Reads the board and the configuration, changes nothing.

It asks for no password, so it listens where the configuration says (loopback unless told otherwise) and holds nothing secret: no key,
no token, no file name, no URL. Every worker accepts on the one shared socket, and each can answer for all of them.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Sequence
from typing import Final

import orjson
from aiohttp import web

from lbjwt.config.model import Configuration
from lbjwt.observe._board import STATE_NAMES, Board
from lbjwt.observe.metrics import BoardCollector, exposition
from lbjwt.version import package_version

__all__ = ["AdminServer", "application"]

MAX_FIELD: Final = 4096
"""Bytes of a request line or field."""
KEEP_ALIVE: Final = 15.0
"""Seconds a scraper's connection is kept; Prometheus opens another for a longer interval."""

SHUTDOWN: Final = 1.0
"""Seconds that answers under way get when the door closes."""
DRESS: Final = {"Server": "lbjwt", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Nobody caches an answer, no browser guesses its type, and nobody learns our versions."""

log = logging.getLogger("lbjwt.admin")


def application(configuration: Configuration, board: Board) -> web.Application:
    """Return the web application of the admin door."""
    pages = _Pages(configuration, board)
    app = web.Application(client_max_size=1024)
    app.router.add_get("/livez", pages.livez)
    app.router.add_get("/readyz", pages.readyz)
    app.router.add_get("/metrics", pages.metrics)
    app.router.add_get("/status", pages.status)
    app.on_response_prepare.append(_dress)
    return app


class AdminServer:
    """
    Serves the admin application in the running loop.

    Args:
        sockets: Bound and listening; shared with the other workers.
    """

    def __init__(self, configuration: Configuration, board: Board, sockets: Sequence[socket.socket]) -> None:
        self._sockets = sockets
        self._runner = web.AppRunner(application(configuration, board), handle_signals=False, shutdown_timeout=SHUTDOWN)
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        """Answer from now on."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            self._servers.append(await loop.create_server(self._connection, sock=sock))

    async def stop(self) -> None:
        """Close the door."""
        for server in self._servers:
            server.close()
        await self._runner.cleanup()

    def _connection(self) -> "_Connection":
        server = self._runner.server
        if server is None:
            raise RuntimeError("a connection before the start or after the stop")
        return _Connection(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=KEEP_ALIVE,
            max_line_size=MAX_FIELD,
            max_field_size=MAX_FIELD,
            logger=log,
        )


class _Connection(web.RequestHandler):
    """Answers what is no proper request without an echo of it, without our versions, and without a traceback in the log for each."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to a malformed request (4xx) or to one that a fault of ours ended (5xx)."""
        if status >= 500:
            self.log_exception("an admin request failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        response = web.Response(
            status=status, text="bad request\n" if status < 500 else "internal error\n", headers=DRESS
        )
        response.force_close()
        return response


class _Pages:
    def __init__(self, configuration: Configuration, board: Board) -> None:
        self._configuration = configuration
        self._board = board
        self._endpoints = [
            (label, endpoint) for label, cluster in configuration.clusters.items() for endpoint in cluster.endpoints
        ]
        self._version = package_version()
        self._collector = BoardCollector(
            board, [str(endpoint.address) for _, endpoint in self._endpoints], self._version
        )

    async def livez(self, request: web.Request) -> web.Response:
        """A worker is alive enough to answer."""
        return web.Response(text="alive\n")

    async def readyz(self, request: web.Request) -> web.Response:
        """200 when at least one worker serves with keys and the service does not drain, else 503 with the cause."""
        board = self._board
        if board.ready:
            return web.Response(text="ready\n")
        cause = "draining" if board.draining else "no keys" if self._serving() else "starting"
        return web.Response(status=503, text=f"{cause}\n", headers={"Retry-After": "1"})

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus text format, or OpenMetrics when the Accept field asks for it."""
        body, content_type = exposition(self._collector, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def status(self, request: web.Request) -> web.Response:
        """The state of everything as JSON."""
        return web.Response(
            body=orjson.dumps(self._status(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE),
            content_type="application/json",
        )

    def _serving(self) -> bool:
        board = self._board
        return any(STATE_NAMES[board.state(slot)] == "ready" for slot in range(board.workers))

    def _status(self) -> dict[str, object]:
        board = self._board
        totals = board.totals()
        fetched_at = totals["keys_fetched_at"]
        now = time.time()
        return {
            "version": self._version,
            "ready": board.ready,
            "draining": board.draining,
            "uptime_seconds": round(now - board.started_at, 3),
            "workers": [{"slot": slot, "state": STATE_NAMES[board.state(slot)]} for slot in range(board.workers)],
            "worker_restarts": board.restarts,
            "connections": totals["connections"],
            "requests_in_flight": totals["in_flight"],
            "requests": sum(totals["requests"]),
            "refusals": sum(totals["refusals"]),
            "listeners": [
                {"address": str(listener.address), "tls": listener.tls is not None}
                for listener in self._configuration.listeners
            ],
            "endpoints": [self._endpoint(index) for index in range(len(self._endpoints))],
            "issuers": [
                {
                    "label": label,
                    "keys": totals["keys"],
                    "keys_age_seconds": round(max(0.0, now - fetched_at), 3) if fetched_at > 0 else None,
                    "key_fetches": totals["key_fetches"],
                    "key_fetch_failures": totals["key_fetch_failures"],
                }
                for label in self._configuration.issuers
            ],
        }

    def _endpoint(self, index: int) -> dict[str, object]:
        label, endpoint = self._endpoints[index]
        totals = self._board.endpoint_totals(index)
        return {
            "cluster": label,
            "address": str(endpoint.address),
            "weight": endpoint.weight,
            "requests_in_flight": totals["in_flight"],
            "idle_connections": totals["idle_connections"],
            "requests": totals["requests"],
            "failures": totals["failures"],
        }


async def _dress(request: web.BaseRequest, response: web.StreamResponse) -> None:
    response.headers.update(DRESS)
