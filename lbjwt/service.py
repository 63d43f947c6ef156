"""One balancer in one event loop: everything a configuration asks for, put together, started, drained and stopped.

Knows every room below and how they fit. Knows nothing of processes, signals or global logging: those belong to whoever runs the loop.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from lbjwt.assembly.cluster import forwarding_trust, new_cluster, new_policy
from lbjwt.assembly.issuers import issuer_instances, new_verifier
from lbjwt.assembly.keys import KeeperLink, OwnKeys, SharedKeys, wait_for_keys
from lbjwt.assembly.revocations import new_reader, revocation_check
from lbjwt.assembly.routes import new_admission
from lbjwt.config.model import Configuration, Listener
from lbjwt.net.sockets import backlog, bind, close
from lbjwt.net.tls import server_context
from lbjwt.observe._access_log import AccessLog
from lbjwt.observe._board import DRAINING, READY, STOPPED, Board
from lbjwt.observe._offenders import Offenders
from lbjwt.proxy._client import ClientSide
from lbjwt.proxy._health import Health
from lbjwt.proxy._tls_client import TlsClientSide
from lbjwt.proxy._traffic import Traffic
from lbjwt.proxy._waiting import Waiting
from lbjwt.proxy.connect import Connector

__all__ = ["LoadBalancer"]

SWEEP = 1.0
"""Seconds between two walks over the open connections: the grain of every timeout."""

IDLE_GRACE = 1.0
"""Seconds an idle client connection lives on after a drain began, for the request that may be on its way."""

log = logging.getLogger("lbjwt.service")


class LoadBalancer:
    """
    A load balancer inside the running event loop, uvloop or asyncio's own.

    Args:
        configuration: What to do.
        sockets: For each listener, the bound sockets to accept on; None binds the configured addresses.
        board: Counters to write to, its slot set; None makes one of its own.
        access_log: Where requests are logged; None logs none, whatever the configuration says.
        offenders: Where refusals are counted by client address; None makes one of its own when the configuration limits them.
        keeper: Who fetches remote keys and keeps the revocations; None: this balancer itself.

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
        access_log: AccessLog | None = None,
        offenders: Offenders | None = None,
        keeper: KeeperLink | None = None,
    ) -> None:
        self.configuration = configuration
        (self._cluster_configuration,) = configuration.clusters.values()
        self._instances = issuer_instances(configuration)
        self.board = (
            board if board is not None else Board(1, len(self._cluster_configuration.endpoints), len(self._instances))
        )
        self._keeper = keeper
        directory = configuration.state_directory if keeper is None else keeper.directory
        self._revocations = new_reader(configuration, directory, self._revoked)
        self.verifier = new_verifier(configuration, self._instances, revocation_check(self._revocations))
        limit = configuration.fail_limit
        if offenders is None and limit is not None:
            offenders = Offenders(1, limit=limit.failures, window=limit.window)
        self._trusts = forwarding_trust(configuration)
        self._admission = new_admission(configuration, self._instances, self.verifier.gate, offenders, self._trusts)
        self._sockets = sockets
        self._access_log = access_log
        self._keys: OwnKeys | SharedKeys = (
            OwnKeys(self._instances, self.verifier, self.board, directory)
            if keeper is None
            else SharedKeys(self._instances, self.verifier, self.board, keeper)
        )
        self._bound: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._connector: Connector | None = None
        self._traffic: Traffic | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._published = {"hits": 0, "misses": 0, "evictions": 0}
        self._faults = 0

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of every socket it accepts on."""
        return [sock.getsockname()[:2] for server in self._servers for sock in server.sockets]

    async def start(self) -> None:
        """
        Get the keys, then open the listeners.

        Raises:
            KeySourceError: A key file cannot be read or used.
            BindError: An address cannot be listened on.
            TLSError: A certificate or its key cannot be used.
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
                self._bound += sockets[-1]
        if self._revocations is not None:
            await self._revocations.load()
            self._revocations.start()
        if self._keeper is not None:
            self._keeper.listen(self._poked)
        await self._keys.load()
        self._keys.start()
        cluster = self._cluster_configuration
        waiting = Waiting(
            self.board,
            len(self._instances),
            self._keys.ask,
            most=configuration.limits.max_waiting,
            patience=wait_for_keys(self._instances),
        )
        self._keys.settled = waiting.settled
        self._connector = Connector(loop, cluster.connect_timeout)
        self._traffic = self._connector.traffic = Traffic(
            admission=self._admission,
            waiting=waiting,
            cluster=new_cluster(cluster, self.board),
            board=self.board,
            access_log=self._access_log,
            open_connection=self._connector,
            trusts=self._trusts,
            issuers=[instance.name for instance in self._instances],
            limits=configuration.limits,
            timeouts=configuration.timeouts,
        )
        for listener, context, bound in zip(configuration.listeners, contexts, sockets, strict=True):
            for sock in bound:
                self._servers.append(await self._listen(loop, listener, context, sock))
        self._sweep = loop.call_later(SWEEP, self._tick)
        self.board.set_state(READY)

    async def _listen(
        self, loop: asyncio.AbstractEventLoop, listener: Listener, context: ssl.SSLContext | None, sock: socket.socket
    ) -> asyncio.Server:
        traffic = self._traffic
        assert traffic is not None
        policy = new_policy(self.configuration, https=context is not None)
        handshake = self.configuration.timeouts.tls_handshake
        health = None if listener.health is None else Health(listener.health.path)

        def client() -> ClientSide:
            return (
                ClientSide(traffic, policy, health)
                if context is None
                else TlsClientSide(traffic, policy, context, handshake, health)
            )

        return await loop.create_server(client, sock=sock, backlog=backlog())  # type: ignore[arg-type]

    def _tick(self) -> None:
        assert self._traffic is not None
        self._sweep = asyncio.get_running_loop().call_later(SWEEP, self._tick)
        self._traffic.sweep()
        self._publish_cache()
        self._tell_faults()
        if self._access_log is not None:
            self._access_log.flush()

    def _poked(self) -> None:
        """The keeper has something new."""
        assert isinstance(self._keys, SharedKeys)
        self._keys.poked()
        if self._revocations is not None:
            self._revocations.poke()

    def _revoked(self, more: bool) -> None:
        """What is revoked has changed. When there is more of it, every known token is looked at once more, and streams under way now."""
        assert self._revocations is not None
        self.board.set_revocations(len(self._revocations))
        if more:
            self.verifier.renew()
            if self._traffic is not None:
                self._traffic.sweep()

    def _publish_cache(self) -> None:
        cache = self.verifier.gate.cache
        self.board.set_cache(len(cache), cache.bytes_used)
        for name in self._published:
            count = getattr(cache, name)
            self.board.add(f"cache_{name}", count - self._published[name])
            self._published[name] = count

    def _tell_faults(self) -> None:
        """Refusals that were our own fault: a report needs more than their number. Its class alone, for the text may hold a piece of a token."""
        gate = self.verifier.gate
        if gate.faults != self._faults:
            log.error(
                "%d faults of lbjwt, the last one a %s: what met them was refused",
                gate.faults - self._faults,
                gate.last_fault,
            )
            self._faults = gate.faults

    async def drain(self) -> None:
        """Accept no more, answer what is under way, and return when all clients are gone or `timeouts.drain` has passed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.configuration.timeouts.drain
        self.board.set_state(DRAINING)
        for server in self._servers:
            server.close()
        if self._traffic is None:
            return
        self._traffic.drain(IDLE_GRACE)
        while self._traffic.clients and loop.time() < deadline:
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End everything now; also what a start that failed half-way left behind. Sockets that were handed in and never served stay open."""
        self.board.set_state(STOPPED)
        if self._sweep is not None:
            self._sweep.cancel()
        for server in self._servers:
            server.close()
        close(self._bound)
        if self._connector is not None:
            await self._connector.close()
        if self._traffic is not None:
            self._traffic.close()
            await asyncio.sleep(0)
            self._publish_cache()
        if self._keeper is not None:
            self._keeper.ignore()
        await self._keys.stop()
        if self._revocations is not None:
            await self._revocations.stop()
        if self._access_log is not None:
            self._access_log.flush()

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
