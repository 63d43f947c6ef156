"""One balancer in one event loop: everything a configuration asks for, put together, started, drained and stopped.

Knows every room below and how they fit. Knows nothing of processes, signals or global logging: those belong to whoever runs the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from lbjwt.assembly.cluster import configure_clusters, forwarding_trust, new_offenders
from lbjwt.assembly.descriptors import shares
from lbjwt.assembly.issuers import issuer_instances, new_verifier
from lbjwt.assembly.keys import EmbeddedControl, wait_for_keys, worker_keys
from lbjwt.assembly.listeners import Listeners
from lbjwt.assembly.revocations import RevokedKeys, new_reader, new_store, revocation_check
from lbjwt.assembly.routes import new_admission
from lbjwt.assembly.rows import new_board, row_names
from lbjwt.config.model import Configuration
from lbjwt.errors import ConfigurationError, cause_of
from lbjwt.keys.worker import ControlLink
from lbjwt.net.sockets import bind, close
from lbjwt.net.tls import server_context
from lbjwt.observe._access_log import AccessLog
from lbjwt.observe._board import DRAINING, READY, STOPPED, Board
from lbjwt.observe._offenders import Offenders
from lbjwt.observe.rows import RowNumbers, Rows
from lbjwt.proxy._snapshot import Snapshot
from lbjwt.proxy._traffic import Traffic
from lbjwt.proxy._waiting import Waiting
from lbjwt.proxy.connect import Connector

SWEEP = 1.0
"""Seconds between two looks at streams that have outlived their token, and between two writes of logs and numbers."""

EXPIRY = (0.05, 0.25)
"""Seconds between two walks over the deadlines of all connections, at least and at most: a timeout is late by no more, and a client that goes away
while nothing is read from it is noticed by then."""

IDLE_GRACE = 1.0
"""Seconds an idle client connection lives on after a drain began, for the request that may be on its way."""

log = logging.getLogger("lbjwt.service")


class LoadBalancer:
    """
    A load balancer inside the running event loop, uvloop or asyncio's own.

    Args:
        configuration: What to do.
        sockets: For each listener, the bound sockets to accept on; None binds the configured addresses.
        board: Counters to write to, its slot set. None: this balancer is a service by itself, with counters of its own, and also opens the access
            log and the admin API of the configuration. With a board it is a worker of a service that has these.
        access_log: Where requests are logged; None: as the configuration says, when this balancer is a service by itself.
        offenders: Where refusals are counted by client address; None makes one of its own when somebody asks for them.
        rows: Where the board counts endpoints, issuers and routes; None: in the order of the configuration.
        keeper: The control process, which fetches remote keys and keeps the revocations; None: this balancer itself.

    Raises:
        ConfigurationError: `workers` asks for more than one by itself: processes are started by `lbjwt serve` alone.

    ```python
    async with LoadBalancer(configuration) as balancer:
        print(balancer.addresses)
        await asyncio.Event().wait()
    ```
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        sockets: Sequence[Sequence[socket.socket]] | None = None,
        board: Board | None = None,
        rows: RowNumbers | None = None,
        access_log: AccessLog | None = None,
        offenders: Offenders | None = None,
        keeper: ControlLink | None = None,
    ) -> None:
        if board is None and configuration.workers != 1:
            raise ConfigurationError(
                "workers: a LoadBalancer is one worker, in your process; write 1 or remove the key, or use lbjwt serve"
            )
        self.configuration = configuration
        self._whole = board is None
        self._instances = issuer_instances(configuration)
        names = row_names(configuration)
        if board is None:
            self.board = new_board(configuration, 1)
            self._rows = Rows(self.board).assign(names)
        else:
            self.board = board
            self._rows = RowNumbers.in_order(names) if rows is None else rows
        self.board.keep_issuers(self._rows.issuers.values())
        directory = configuration.state_directory if keeper is None else keeper.directory
        self._embedded: EmbeddedControl | None = None
        if keeper is None:
            keeper = self._embedded = EmbeddedControl(self._instances, self.board, directory)
        self._control = keeper
        self._store = new_store(configuration, directory) if self._whole else None
        self._revocations = new_reader(configuration, directory, self._revoked, self._store)
        self.verifier = new_verifier(configuration, self._instances, revocation_check(self._revocations))
        # every worker reads the same revocations: one of them tells
        self._revoked_keys = (
            RevokedKeys(self._instances, self.verifier, self._revocations)
            if self._revocations is not None and self.board.slot == 0
            else None
        )
        if offenders is None:
            offenders = new_offenders(configuration, 1)
        self._offenders = offenders
        self._trusts = forwarding_trust(configuration)
        self._sockets = sockets
        self._access_log = access_log
        self._admin_sockets: list[socket.socket] = []
        self._keys = worker_keys(self._instances, self.verifier, self.board, self._control)
        self._listeners: Listeners | None = None
        self._traffic: Traffic | None = None
        self._timers: dict[Callable[[], object], asyncio.TimerHandle] = {}
        self._stack = contextlib.AsyncExitStack()  # ends what was started, the last first
        self._published = {"hits": 0, "misses": 0, "evictions": 0}
        self._faults = 0

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of every socket it accepts on."""
        return self._listeners.addresses if self._listeners is not None else []

    @property
    def admin_addresses(self) -> list[tuple[str, int]]:
        """Host and port of every socket of the admin API; empty when it is not open here."""
        return [sock.getsockname()[:2] for sock in self._admin_sockets]

    async def start(self) -> None:
        """
        Get the keys, then open the listeners.

        Raises:
            ConfigurationError: The access log cannot be opened.
            RevocationError: The log or file of revocations cannot be used.
            KeySourceError: A key file cannot be read or used.
            BindError: An address cannot be listened on.
            TLSError: A certificate or its key cannot be used.
            TooFewDescriptors: The limit of open files leaves none for clients.
        """
        configuration = self.configuration
        loop = asyncio.get_running_loop()
        contexts = [
            server_context(listener.tls.certificate, listener.tls.private_key, key=f"listeners[{at}].tls")
            if listener.tls
            else None
            for at, listener in enumerate(configuration.listeners)
        ]
        sockets = self._sockets
        if sockets is None:
            sockets = []
            for at, listener in enumerate(configuration.listeners):
                sockets.append(bind(listener.address, key=f"listeners[{at}].address")[0])
                self._stack.callback(close, sockets[-1])
        if self._access_log is not None:
            self._stack.callback(self._access_log.flush)
        if self._whole:
            await self._open_service()
        if self._revocations is not None:
            self._stack.push_async_callback(self._revocations.stop)
            await self._revocations.load()
            self._revocations.start()
        self._control.listen(self._notified)
        self._stack.callback(self._control.ignore)
        if self._embedded is not None:
            self._stack.push_async_callback(self._embedded.stop)
            await self._embedded.start()
        self._stack.push_async_callback(self._keys.stop)
        await self._keys.load()
        self._keys.start()
        if self._revoked_keys is not None:
            self._revoked_keys.look()
        clusters = configure_clusters(configuration.clusters, {}, self.board, loop.call_soon, self._rows.endpoints)
        waiting = Waiting(
            self.board,
            len(self._instances),
            self._keys.request_refresh,
            most=configuration.limits.max_waiting,
            patience=wait_for_keys(self._instances),
        )
        self._keys.settled = waiting.settled
        connector = Connector(loop)
        room = shares(configuration)
        traffic = self._traffic = connector.traffic = Traffic(
            snapshot=Snapshot(
                admission=new_admission(
                    configuration,
                    self._instances,
                    self.verifier.gate,
                    self._offenders,
                    self._trusts,
                    clusters,
                    self._rows.routes,
                ),
                trusts=self._trusts,
                issuers=self._rows.issuer_names,
                limits=configuration.limits,
                timeouts=configuration.timeouts,
                allow_half_close=configuration.allow_half_close,
            ),
            clusters=clusters.values(),
            waiting=waiting,
            board=self.board,
            access_log=self._access_log,
            open_connection=connector,
            max_clients=room.clients,
        )
        traffic.max_answered = room.answered
        self._stack.push_async_callback(self._end_traffic, connector, traffic)
        self._listeners = Listeners(configuration, contexts, sockets, traffic, self.board)
        self._stack.callback(self._listeners.close)
        await self._listeners.accept()
        self._stack.callback(self._cancel_timers)
        self._every(SWEEP, self._tick)
        self._every(expiry_interval(configuration), traffic.expire)
        self.board.set_state(READY)

    async def _open_service(self) -> None:
        """What a service has once: the access log, and the admin API with the revocations made there."""
        configuration = self.configuration
        if self._access_log is None and configuration.access_log is not None:
            path = configuration.access_log.path
            try:
                self._access_log = AccessLog(path, self.board)
            except OSError as error:
                raise ConfigurationError(f"access_log.path: cannot open {path}: {cause_of(error)}") from None
            self._stack.callback(self._access_log.close)
        if self._store is not None:
            self._stack.callback(self._store.close)
            self._store.open(time.time())
        if configuration.admin is None:
            return
        from lbjwt.admin.server import AdminServer  # imports aiohttp, which is not needed without

        self._admin_sockets = bind(configuration.admin.address, key="admin.address")[0]
        self._stack.callback(close, self._admin_sockets)
        admin = AdminServer(
            configuration,
            self.board,
            self._admin_sockets,
            self._rows,
            offenders=self._offenders,
            sources=self._embedded.describe if self._embedded is not None else dict,
            revocations=self._store,
            on_revoked=lambda: self._revoked(True),
        )
        self._stack.push_async_callback(admin.stop)
        await admin.start()

    def _every(self, seconds: float, work: Callable[[], object]) -> None:
        """Do the work so often, until the stop."""
        loop = asyncio.get_running_loop()

        def turn() -> None:
            self._timers[work] = loop.call_later(seconds, turn)
            work()

        self._timers[work] = loop.call_later(seconds, turn)

    def _cancel_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    def _tick(self) -> None:
        assert self._traffic is not None and self._listeners is not None
        self._traffic.sweep()
        self._listeners.mind_descriptors()
        self._publish_cache()
        self._tell_faults()
        if self._access_log is not None:
            self._access_log.flush()

    def _notified(self) -> None:
        """The control process has something new."""
        self._keys.notified()
        if self._revocations is not None:
            self._revocations.poke()

    def _revoked(self, more: bool) -> None:
        """What is revoked has changed. When there is more of it, every known token is looked at once more, and streams under way now."""
        assert self._revocations is not None
        self.board.set("revocations", len(self._revocations))
        if more:
            self.verifier.renew()
            if self._traffic is not None:
                self._traffic.sweep()
        if self._revoked_keys is not None:
            self._revoked_keys.look()

    def _publish_cache(self) -> None:
        cache = self.verifier.gate.cache
        self.board.set("cache_entries", len(cache))
        self.board.set("cache_bytes", cache.bytes_used)
        for name in self._published:
            count = getattr(cache, name)
            self.board.add(f"cache_{name}", count - self._published[name])
            self._published[name] = count

    def _tell_faults(self) -> None:
        """Refusals that were our own fault: a report needs more than their number. Its class alone, for the text may hold a piece of a token."""
        gate = self.verifier.gate
        if gate.faults != self._faults:
            log.error(
                "%d faults of lbjwt, the last one a %s; the affected requests were refused",
                gate.faults - self._faults,
                gate.last_fault,
            )
            self._faults = gate.faults

    async def drain(self) -> None:
        """Accept no more, answer what is under way, and return when all clients are gone or `timeouts.drain` has passed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.configuration.timeouts.drain
        self.board.set_state(DRAINING)
        if self._whole:
            self.board.start_draining()
        if self._listeners is not None:
            self._listeners.close()
        if self._traffic is None:
            return
        self._traffic.drain(IDLE_GRACE)
        while self._traffic.clients and loop.time() < deadline:
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End everything now; also what a start that failed half-way left behind. Sockets that were handed in and never served stay open."""
        self.board.set_state(STOPPED)
        await self._stack.aclose()

    async def _end_traffic(self, connector: Connector, traffic: Traffic) -> None:
        await connector.close()
        traffic.close()
        await asyncio.sleep(0)
        self._publish_cache()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self.drain()
        finally:
            await self.stop()


def expiry_interval(configuration: Configuration) -> float:
    """Seconds between two walks over the deadlines, so that every timeout holds to 100 ms or a tenth of it, whichever is larger."""
    timeouts = configuration.timeouts
    least, most = EXPIRY
    shortest = min(
        min(timeouts.request_head, timeouts.keep_alive, timeouts.stream_idle, timeouts.tls_handshake),
        *(
            min(cluster.response_timeout, cluster.idle_timeout, cluster.pending_timeout)
            for cluster in configuration.clusters.values()
        ),
    )
    return min(most, max(least, shortest / 20))
