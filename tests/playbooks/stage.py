"""A stage for protocol playbooks: real client and endpoint protocols over in-memory transports, a real verifier, no sockets, no loop.

A playbook reads as traffic: what the client sends, what the endpoint must see, what it answers, what the client must see. `Stage(pieces=1)` delivers
every byte by itself, so that each playbook runs whole and byte by byte.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import orjson

from lbjwt.auth._places import TokenPlaces
from lbjwt.auth.verifier import Verifier
from lbjwt.config.ejection import Ejection
from lbjwt.config.model import Cluster as ClusterSection
from lbjwt.http1._request import RequestPolicy
from lbjwt.observe._access_log import AccessLog
from lbjwt.observe._board import Board
from lbjwt.proxy._accept import accepted
from lbjwt.proxy._admission import Admission
from lbjwt.proxy._client_connection import ClientConnection
from lbjwt.proxy._context import ProxyContext
from lbjwt.proxy._health import Health
from lbjwt.proxy._key_wait import KeyWait
from lbjwt.proxy._listener_settings import ListenerSettings
from lbjwt.proxy._route import Demand, Route
from lbjwt.proxy._snapshot import Snapshot
from lbjwt.proxy.answers import route_answers
from lbjwt.upstream._cluster import Cluster
from lbjwt.upstream._endpoint import Endpoint
from lbjwt.upstream._pending import PendingQueue
from lbjwt.upstream._retry import RetryRule

SECRET = b"a secret of thirty-two bytes ...."
VERIFIER = Verifier.from_secret(
    SECRET,
    issuer="https://issuer.test",
    audiences=["api"],
    algorithms=["HS256"],
    identity_headers=[("sub", "X-Jwt-Sub")],
)
TOKEN = jwt.encode(
    {"iss": "https://issuer.test", "aud": "api", "sub": "alice", "exp": int(time.time()) + 3600},
    SECRET,
    algorithm="HS256",
).encode()
AUTH = b"Authorization: Bearer " + TOKEN + b"\r\n"


class MemoryTransport:
    """What a protocol wrote, and what it did with its connection."""

    def __init__(self, capacity: int | None = None) -> None:
        self.sent = bytearray()
        self.capacity = capacity
        self.closed = self.aborted = self.ended = self.paused = False
        self.address: tuple[str, int] | None = ("192.0.2.7", 4711)
        self.socket: Any = None  # a real one under it
        self.queued = 0  # bytes that the far end has not taken
        self.writes = 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "socket" and self.socket is not None:
            return self.socket
        return self.address if name == "peername" else default

    def write(self, data: bytes) -> None:
        assert not self.ended, "bytes after the end of the stream"
        self.writes += 1
        if not self.closed:
            self.sent += data

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return self.queued

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True


class Peer:
    """The far end of one of the proxy's connections."""

    def __init__(self, stage: Stage, side: Any) -> None:
        self.stage = stage
        self.side = side
        self.transport = MemoryTransport()
        self.told_lost = False

    def is_paused(self) -> bool:
        """The proxy stopped reading from this peer."""
        return self.transport.paused

    def take(self) -> bytes:
        """What the proxy sent since the last look."""
        sent = bytes(self.transport.sent)
        self.transport.sent.clear()
        return sent

    def lose(self, error: Exception | None = None) -> None:
        """The connection is gone, by whoever."""
        if not self.told_lost:
            self.told_lost = True
            self.transport.closed = True
            self.side.connection_lost(error)

    def _pieces(self, data: bytes) -> list[bytes]:
        size = self.stage.pieces or max(len(data), 1)
        return [data[at : at + size] for at in range(0, len(data), size)]

    def is_gone(self) -> bool:
        """The proxy closed this connection, or was told that it is lost."""
        return self.transport.closed


class Client(Peer):
    def take(self) -> bytes:
        """What the proxy sent since the last look, without the Date and X-Request-Id that it adds to every response."""
        return re.sub(rb"(Date: [^\r]*\r\n)?X-Request-Id: [^\r]*\r\n", b"", self.take_raw())

    def take_raw(self) -> bytes:
        """What the proxy sent since the last look."""
        return super().take()

    def sends(self, data: bytes) -> None:
        for piece in self._pieces(data):
            if self.transport.closed:
                break
            self.side.data_received(bytes(bytearray(piece)))

    def ends(self) -> None:
        if not self.side.eof_received():
            self.transport.close()


class Server(Peer):
    """The far end of a connection to an endpoint."""

    endpoint: Endpoint

    def __init__(self, stage: Stage, stream: ClientConnection) -> None:
        super().__init__(stage, stream.protocol())
        self.stream = stream

    def connects(self) -> Server:
        self.side.connection_made(self.transport)
        return self

    def refuses(self) -> None:
        self.stream.connect_failed("cannot be reached: Connection refused")

    def sends(self, data: bytes) -> None:
        for piece in self._pieces(data):
            if self.transport.closed:
                break
            buffer = self.side.get_buffer(-1)
            for at in range(0, len(piece), len(buffer)):
                part = piece[at : at + len(buffer)]
                buffer[: len(part)] = part
                self.side.buffer_updated(len(part))

    def ends(self) -> None:
        if not self.side.eof_received():
            self.transport.close()
        self.lose()


def endpoint(number: int, weight: int = 1, *, backup: bool = False) -> Endpoint:
    """An endpoint, not yet of a cluster; the same number is the same address."""
    return Endpoint(number, f"10.0.0.{number}:80", f"10.0.0.{number}", 80, "", weight, backup=backup)


class Stage:
    """
    One worker's traffic with `endpoints` backends, ready for clients.

    Args:
        endpoints: How many, or the endpoints themselves.
        weights: Of the endpoints, instead of how many; None: all 1.
        board: Counters that several workers share, and `slot`, which of them this one is; None: it is alone.
        max_idle: Idle connections kept, per endpoint.
        max_connections: Per endpoint.
        max_pending: Requests that wait for an endpoint with room.
        pending_timeout: Seconds they wait; with 0 the next walk over the deadlines ends it.
        response_timeout: Seconds an endpoint has; with 0 likewise.
        retry: When the requests of the one route are sent again; None: by the default.
        allow_half_close: As for `ProxyContext`.
        admission: Lets requests pass; None: every one with a token of `VERIFIER`.
        issuers: Their names, by index.
        ask: As for `KeyWait`; None: nobody ever waits for keys.
        max_waiting: Requests that wait for one issuer at once.
        max_wait: Seconds a request waits; with 0 the next sweep ends it.
        heads: What is accepted as a head; None: made of `policy`.
        log: File of the access log; None: there is none.
        trusts: As for `ProxyContext`.
        health: The path of health checks.
    """

    def __init__(
        self,
        pieces: int | None = None,
        endpoints: int | Sequence[Endpoint] = 1,
        *,
        weights: Sequence[int] | None = None,
        board: Board | None = None,
        slot: int = 0,
        retries: int = 1,
        retry_budget: float = 0.2,
        retry: RetryRule | None = None,
        max_idle: int = 8,
        max_connections: int = 16,
        max_pending: int = 4,
        pending_timeout: float = 60.0,
        connect_timeout: float = 2.0,
        response_timeout: float = 15.0,
        allow_half_close: bool = False,
        max_request_body: int | None = None,
        stream_idle: float = 300.0,
        request_head: float = 10.0,
        admission: Callable[[Cluster], Admission] | None = None,
        issuers: Sequence[str] = ("main",),
        ask: Callable[[int], bool] | None = None,
        max_waiting: int = 100,
        max_wait: float = 60.0,
        heads: RequestPolicy | None = None,
        log: Path | None = None,
        trusts: Callable[[str], bool] | None = None,
        health: str | None = None,
        **policy: Any,
    ) -> None:
        self.pieces = pieces
        if isinstance(endpoints, int):
            endpoints = [endpoint(at, weight) for at, weight in enumerate(weights or [1] * endpoints)]
        self.endpoints = endpoints
        self.board = board or Board(1, len(endpoints), len(issuers), 1000)
        self.board.attach(slot)
        self.opened: list[Server] = []
        self.connects_at_once = True
        self.callbacks: list[Callable[[], None]] = []
        self.pending = PendingQueue(self.board, self.callbacks.append)
        self.cluster = cluster = Cluster("main", self.board, self.pending)
        self._limits: dict[str, Any] = {
            "connect_timeout": connect_timeout,
            "response_timeout": response_timeout,
            "idle_timeout": 30.0,
            "max_idle": max_idle,
            "max_connections": max_connections,
            "max_pending": max_pending,
            "pending_timeout": pending_timeout,
            "retries": retries,
            "retry_budget": retry_budget,
            "ejection": Ejection().rules,
            "panic_threshold": ClusterSection.model_fields["panic_threshold"].default,
        }
        cluster.configure(self.endpoints, **self._limits)
        places = TokenPlaces(headers=[("Authorization", "Bearer", True)])
        route = Route([Demand([places], [None])], route_answers("lbjwt"), cluster=cluster, retry=retry)
        self.key_wait = KeyWait(self.board, ask or (lambda issuer: False), max_waiting=max_waiting, max_wait=max_wait)
        self.access_log = None if log is None else AccessLog(str(log), self.board)
        self._snapshot: dict[str, Any] = {
            "admission": Admission(VERIFIER.gate, [route]) if admission is None else admission(cluster),
            "trusts": trusts,
            "issuers": issuers,
            "limits": SimpleNamespace(
                max_request_body=max_request_body,
                max_response_head=65536,
                max_response_fields=200,
                max_requests_per_connection=0,
            ),
            "timeouts": SimpleNamespace(request_head=request_head, keep_alive=60.0, stream_idle=stream_idle),
            "allow_half_close": allow_half_close,
        }
        self.context = ProxyContext(
            snapshot=Snapshot(**self._snapshot),
            clusters=[cluster],
            key_wait=self.key_wait,
            board=self.board,
            access_log=self.access_log,
            open_connection=self._open,
            max_clients=100,
        )
        self.listener = ListenerSettings(
            heads or RequestPolicy(identity_headers=["X-Jwt-Sub"], **policy), None if health is None else Health(health)
        )

    def reload(self, **changed: Any) -> None:
        """Put another snapshot in force: the one before with these values in place of its own."""
        self._snapshot |= changed
        self.context.snapshot = Snapshot(**self._snapshot)

    def use_endpoints(self, *members: int | Endpoint, **limits: Any) -> None:
        """A reload: from now on the cluster has these endpoints, and these limits in place of those before."""
        self._limits |= limits
        self.cluster.configure([endpoint(one) if isinstance(one, int) else one for one in members], **self._limits)

    def turn(self) -> None:
        """One turn of the event loop: what was put off to it runs."""
        callbacks, self.callbacks[:] = list(self.callbacks), []
        for callback in callbacks:
            callback()

    def _open(self, endpoint: Endpoint) -> ClientConnection:
        stream = ClientConnection(self.context, endpoint)
        server = self.new_server(stream)
        server.endpoint = endpoint
        self.opened.append(server)
        return stream

    def new_server(self, stream: ClientConnection) -> Server:
        """The far end of a connection that is being opened."""
        return Server(self, stream)

    def client(self) -> Client:
        client = Client(self, accepted(self.context, self.listener))
        client.side.connection_made(client.transport)
        return client

    def server(self, number: int = -1) -> Server:
        """The connection opened last (or the one of that number), connected if it was not yet."""
        server = self.opened[number]
        if server.side is not None and not getattr(server, "is_connected", False):
            server.is_connected = True  # type: ignore[attr-defined]
            server.connects()
        return server

    def records(self) -> list[dict[str, Any]]:
        """What the access log says so far."""
        assert self.access_log is not None
        self.access_log.flush()
        return [orjson.loads(line) for line in Path(self.access_log.path).read_bytes().splitlines()]

    @property
    def totals(self) -> dict[str, Any]:
        return self.board.totals()


def request(
    method: str = "GET", target: str = "/", *fields: str, body: bytes = b"", auth: bytes = AUTH, version: str = "1.1"
) -> bytes:
    """A request head with Host and token, and its body."""
    lines = "".join(f"{field}\r\n" for field in fields).encode()
    return f"{method} {target} HTTP/{version}\r\nHost: api.test\r\n".encode() + auth + lines + b"\r\n" + body


def response(status: str = "200 OK", *fields: str, body: bytes = b"") -> bytes:
    """A response head and its body; Content-Length is given by the caller where it is wanted."""
    return f"HTTP/1.1 {status}\r\n".encode() + "".join(f"{field}\r\n" for field in fields).encode() + b"\r\n" + body
