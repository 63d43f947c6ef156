"""
The admin API: ``/livez``, ``/readyz``, ``/metrics``, ``/status``, from the board and the configuration.

It has no password, so it shows nothing secret: no key, no token, no file name. One process answers for all workers, and that process may be alive
when no worker is: readiness comes from the board.
"""

import asyncio
import logging
import re
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Final

import aiohttp
import orjson
from aiohttp import web
from aiohttp.typedefs import Middleware

from lbjwt.admin.endpoints import EndpointPages, Members
from lbjwt.admin.operations import OperationPages
from lbjwt.admin.reload import Reload, ReloadPage
from lbjwt.admin.revocations import RevocationPages
from lbjwt.config.cluster_choice import ClusterChoice
from lbjwt.config.model import Admin, Configuration, Endpoint
from lbjwt.config.route import Route
from lbjwt.net.sockets import backlog
from lbjwt.observe._board import READY, STATE_NAMES, Board
from lbjwt.observe._endpoint_states import CAUSE_NAMES, CHECK_NAMES, SERVICE_NAMES
from lbjwt.observe._offenders import Offenders
from lbjwt.observe.metrics import REASONS, BoardCollector, exposition
from lbjwt.observe.rows import RowNumbers
from lbjwt.revocation.store import RevocationStore
from lbjwt.upstream._availability import weight_now
from lbjwt.upstream.operations import EndpointOperations
from lbjwt.upstream.stored_settings import StoredSettings
from lbjwt.version import package_version

MAX_FIELD: Final = 4096
"""Bytes of a request line or field."""
KEEP_ALIVE: Final = 15.0
"""Seconds until an idle connection is closed."""

MAX_CONNECTIONS: Final = 100
"""Each takes a file descriptor of the process that fetches keys."""

SHUTDOWN: Final = 0.1
"""Seconds that responses in progress get at the stop (aiohttp waits twice); a drain waits for this process."""
MAX_BODY: Final = 1024 * 1024
"""Bytes of a request body: some 5,000 revocations."""
SUSPICIOUS: Final = 20
"""Addresses in the top list of `/status`."""
LOOPBACK: Final = re.compile(r"(localhost\.?|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]*)?", re.IGNORECASE)
"""A Host field that names this machine, with any port: a tunnel may have another."""
FOR_OTHERS: Final = frozenset({"/livez", "/readyz", "/metrics"})
"""Pages that other machines get with `remote_access: metrics`."""
DRESS: Final = {"Server": "lbjwt", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Fields of every response; `Server` hides the versions that aiohttp would tell."""

log = logging.getLogger("lbjwt.admin")


class AdminServer:
    """
    Serves the pages in the running loop.

    Args:
        sockets: Bound and listening.
        rows: Where the board counts endpoints, issuers and routes of the configuration.
        offenders: None when failures by address are not counted.
        sources: By issuer label, what `/status` tells about the source of its keys; nothing secret.
        revocations: Where `/revocations` writes; without a store there is no such page.
        on_revoked: Called when a change made there is on disk.
        on_endpoint_change: Called when an endpoint was drained, disabled, enabled or weighted.
        stored: Where that is stored; None: nowhere.
        reload: What `/reload` does; None: there is no such page.
        discovery: What `/clusters/NAME/endpoints` changes; None: there is no such page.
        check_failure: Why the last health check of the endpoint in a row failed; "" when it passed, or there was none.
    """

    def __init__(
        self,
        configuration: Configuration,
        board: Board,
        sockets: Sequence[socket.socket],
        rows: RowNumbers,
        *,
        offenders: Offenders | None = None,
        sources: Callable[[], Mapping[str, Mapping[str, object]]] = dict,
        revocations: RevocationStore | None = None,
        on_revoked: Callable[[], None] = lambda: None,
        reload: Reload | None = None,
        discovery: Members | None = None,
        on_endpoint_change: Callable[[], None] = lambda: None,
        stored: StoredSettings | None = None,
        check_failure: Callable[[int], str] = lambda row: "",
    ) -> None:
        self._configuration = configuration
        self._board = board
        self._sockets = sockets
        self._rows = rows
        self._offenders = offenders
        self._sources = sources
        self._discovery = discovery
        discovered = discovery.describe if discovery is not None else list
        self._collector = BoardCollector(board, rows, offenders=offenders, discovered=discovered)
        self._collector.use(rows, _resolved_names(configuration))
        self._check_failure = check_failure
        self._servers: list[asyncio.Server] = []
        self._open: set[_Connection] = set()
        self.app = web.Application(client_max_size=MAX_BODY, middlewares=_guards(configuration.admin))
        for page in (self.livez, self.readyz, self.metrics, self.status):
            self.app.router.add_get(f"/{page.__name__}", page)
        if revocations is not None:
            RevocationPages(revocations, on_change=on_revoked).add_to(self.app)
        self._operations = EndpointOperations(board, rows.endpoints, on_endpoint_change, stored)
        OperationPages(self._operations).add_to(self.app)
        if reload is not None:
            ReloadPage(reload, board).add_to(self.app)
        if discovery is not None:
            EndpointPages(discovery, lambda: self._configuration).add_to(self.app)
        self.app.on_response_prepare.append(_dress)
        self._runner = web.AppRunner(self.app, handle_signals=False, shutdown_timeout=SHUTDOWN)

    def use(self, configuration: Configuration, rows: RowNumbers) -> None:
        """Show another configuration from now on. The address of the admin API stays that of the start."""
        self._configuration = configuration
        self._rows = rows
        self._collector.use(rows, _resolved_names(configuration))
        self._operations.use(rows.endpoints)

    async def start(self) -> None:
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            self._servers.append(await loop.create_server(self._connection, sock=sock, backlog=backlog()))

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        await self._runner.cleanup()

    def _connection(self) -> "_Connection":
        server = self._runner.server
        if server is None:
            raise RuntimeError("a connection before the start or after the stop")
        return _Connection(
            self._open,
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=KEEP_ALIVE,
            max_line_size=MAX_FIELD,
            max_field_size=MAX_FIELD,
            logger=log,
        )

    async def livez(self, request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(self, request: web.Request) -> web.Response:
        """
        200 when at least one worker serves, has keys and room for a client, some cluster has a usable endpoint, and the service does not drain;
        else 503 with the cause.
        """
        board = self._board
        if board.ready:
            return web.Response(text="ready\n")
        if board.draining:
            cause = "draining"
        elif READY not in map(board.state, range(board.workers)):
            cause = "starting"
        elif not board.usable:
            cause = "no usable endpoint"
        else:
            cause = "no file descriptors" if board.totals()["no_descriptors"] else "no keys"
        return web.Response(status=503, text=f"{cause}\n", headers={"Retry-After": "1"})

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus text format, or OpenMetrics when the Accept field asks for it."""
        body, content_type = exposition(self._collector, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def status(self, request: web.Request) -> web.Response:
        return web.Response(
            body=orjson.dumps(self._status(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE),
            content_type="application/json",
        )

    def _status(self) -> dict[str, object]:
        board = self._board
        totals = board.totals()
        sources = self._sources()
        return {
            "version": package_version(),
            "ready": board.ready,
            "draining": board.draining,
            "uptime_seconds": round(time.time() - board.started_at, 3),
            "workers": [
                {"slot": slot, "state": STATE_NAMES[board.state(slot)], "generation": board.generation(slot)}
                for slot in range(board.workers)
            ],
            "configuration": {
                "hash": board.configuration_hash,
                "last_reload_successful": board.reload_ok,
                "last_success_seconds_ago": _age(board.reload_success_at),
            },
            "upgrade_failures": board.upgrade_failed,
            "worker_restarts": board.restarts,
            "keeper_restarts": board.keeper_restarts,
            "connections": totals["connections"],
            "requests_in_flight": totals["in_flight"],
            "requests_waiting": totals["waiting"],
            "requests_pending": totals["pending"],
            "requests": sum(totals["requests"]),
            "refusals": sum(totals["refusals"]),
            "reported_refusals": sum(totals["reported"]),
            "revocations": totals["revocations"],
            "cache": {name: totals[f"cache_{name}"] for name in ("entries", "bytes", "hits", "misses", "evictions")},
            "listeners": [
                {"address": str(listener.address), "tls": listener.tls is not None}
                for listener in self._configuration.listeners
            ],
            "clusters": [
                {"name": label, "endpoints": len(cluster.endpoints)}
                for label, cluster in self._configuration.clusters.items()
            ],
            "endpoints": [
                self._endpoint(label, endpoint)
                for label, cluster in self._configuration.clusters.items()
                for endpoint in cluster.endpoints
            ],
            "discovery": self._discovery.describe() if self._discovery is not None else [],
            "routes": [self._route(route) for route in self._configuration.routes],
            "issuers": [
                self._issuer(row, label) | ({"source": sources[label]} if label in sources else {})
                for label, row in self._rows.issuers.items()
            ],
            "unknown_issuer": _judgements(board.issuer_totals(-1)),
            "suspicious_addresses": self._offenders.top(SUSPICIOUS, time.monotonic()) if self._offenders else [],
        }

    def _issuer(self, row: int, label: str) -> dict[str, object]:
        totals = self._board.issuer_totals(row)
        return {
            "label": label,
            "accepted": totals["accepted"],
            **_judgements(totals),
            "keys": totals["keys"],
            "keys_age_seconds": _age(totals["keys_fetched_at"]),
            "last_success_seconds_ago": _age(totals["last_success"]),
            "key_fetches": totals["key_fetches"],
            "key_fetch_failures": totals["key_fetch_failures"],
        }

    def _route(self, route: Route) -> dict[str, object]:
        weights = route.cluster.split if isinstance(route.cluster, ClusterChoice) else None
        return {
            "name": route.name,
            "clusters": list(route.clusters or self._configuration.clusters),
            **({"split": weights} if weights is not None else {}),
            "requests": sum(self._board.route_totals(self._rows.routes[route.name])),
        }

    def _endpoint(self, cluster: str, endpoint: Endpoint) -> dict[str, object]:
        address = str(endpoint.address)
        row = self._rows.endpoints[cluster, address]
        totals, state = self._board.endpoint_totals(row), self._board.endpoint_states.read(row)
        return {
            "cluster": cluster,
            "address": address,
            "name": endpoint.address.resolved_from or None,
            "state": SERVICE_NAMES[state["service"]],
            "health": _health(state, used=totals["requests"] > 0),
            "weight": weight_now(self._board.endpoint_states, row, endpoint.weight),
            "configured_weight": endpoint.weight,
            "set_at_run_time": [name for name, word in (("state", "service"), ("weight", "weight")) if state[word]],
            "requests_in_flight": totals["in_flight"],
            "connections": totals["connections"],
            "idle_connections": totals["idle_connections"],
            "requests": totals["requests"],
            "failures": totals["failures"],
            "health_check": {
                "state": CHECK_NAMES[state["check"]],
                "seconds_ago": _age(state["checked_at"]),
                "failure": self._check_failure(row) or None,
                "transitions": state["transitions"],
            },
            "ejection": self._ejection(state),
            "panic": bool(state["panic"]),
        }

    @staticmethod
    def _ejection(state: Mapping[str, Any]) -> dict[str, object]:
        """Why an endpoint is ejected and for how many more seconds; with 0, the next request tries it."""
        counts = {name: count for name, count in zip(CAUSE_NAMES, state["ejections"], strict=True) if count}
        if not state["on_trial"]:
            return {"ejected": False, "ejections": counts}
        return {
            "ejected": True,
            "cause": CAUSE_NAMES[state["on_trial"] - 1],
            "seconds_left": round(max(0.0, state["ejected_until"] - time.monotonic()), 3),
            "ejections": counts,
        }


class _Connection(web.RequestHandler):
    """Answers malformed requests without an echo, without our versions, and without a traceback in the log."""

    __slots__ = ("_others",)

    def __init__(self, others: "set[_Connection]", *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._others = others

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close a connection above the limit at once, so that clients of the admin API cannot take every file descriptor."""
        super().connection_made(transport)
        if len(self._others) >= MAX_CONNECTIONS:
            self.force_close()
            return
        self._others.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._others.discard(self)
        super().connection_lost(exc)

    def log_exception(self, *arguments: Any, **options: Any) -> None:
        """Log one line for a fault of the client, such as a truncated body, and the traceback for a fault of ours."""
        error = options.get("exc_info")
        if isinstance(
            error,
            web.RequestPayloadError
            | web.PayloadAccessError
            | aiohttp.ClientError
            | OSError
            | aiohttp.http_exceptions.HttpProcessingError,
        ):
            log.warning("an admin request was aborted (%s)", type(error).__name__)
        else:
            super().log_exception(*arguments, **options)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= 500:
            self.log_exception("an admin request failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the response has already begun")
        response = web.Response(
            status=status, text="bad request\n" if status < 500 else "internal error\n", headers=DRESS
        )
        response.force_close()
        return response


def _resolved_names(configuration: Configuration) -> dict[tuple[str, str], str]:
    """Of each endpoint of a cluster the name that it was resolved from, "" for none."""
    return {
        (name, str(endpoint.address)): endpoint.address.resolved_from
        for name, cluster in configuration.clusters.items()
        for endpoint in cluster.endpoints
    }


def _judgements(totals: Mapping[str, Sequence[int]]) -> dict[str, object]:
    """Refusals by reason, without the zeros."""
    return {
        name: {reason: totals[field][index] for reason, index in REASONS.items() if totals[field][index]}
        for name, field in (("refusals", "refusals"), ("reported_refusals", "reported"))
    }


def _health(words: Mapping[str, Any], *, used: bool) -> str:
    """
    `disabled`, `failing checks`, `ejected`, `unchecked` or `healthy`.

    Args:
        used: Some request was sent there; without one and without a check, nothing is known.
    """
    if words["service"] == SERVICE_NAMES.index("disabled"):
        return "disabled"
    if words["check"] == CHECK_NAMES.index("failing"):
        return "failing checks"
    if words["on_trial"]:
        return "ejected"
    return "healthy" if used or words["check"] else CHECK_NAMES[0]


def _age(moment: float) -> float | None:
    """Seconds since that time of the epoch; None for 0, which is never."""
    return round(max(0.0, time.time() - moment), 3) if moment > 0 else None


def _guards(admin: Admin | None) -> list[Middleware]:
    """Who gets what; by default, on an address that is not loopback everybody gets everything, as any host name may be right there."""
    if admin is None:
        return []
    if admin.address.is_loopback:
        return [_by_its_own_name]
    return [_metrics_for_others] if admin.remote_access == "metrics" else []


@web.middleware
async def _metrics_for_others(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Other machines read metrics and readiness. So does a web page on this one, whose host name was pointed at it (DNS rebinding)."""
    local = request.remote is not None and ip_address(request.remote).is_loopback
    if request.path in FOR_OTHERS or (local and LOOPBACK.fullmatch(request.headers.get("Host", ""))):
        return await handler(request)
    return web.json_response({"error": "other machines get metrics only (admin.remote_access)"}, status=403)


@web.middleware
async def _by_its_own_name(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse a Host that is not loopback: by DNS rebinding, a web page could share our origin and read the responses."""
    asked = request.headers.get("Host")  # a browser always sends one
    if asked and not LOOPBACK.fullmatch(asked):
        return web.json_response({"error": "the admin API serves localhost only"}, status=421)
    return await handler(request)


async def _dress(request: web.BaseRequest, response: web.StreamResponse) -> None:
    response.headers.update(DRESS)
