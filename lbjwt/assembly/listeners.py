"""The listeners of one balancer: they accept clients, pause while no file descriptor is left, and end with a drain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Sequence

from lbjwt.assembly.cluster import new_policy
from lbjwt.config.model import Configuration, Listener
from lbjwt.net.adopt import accept_waiting
from lbjwt.net.descriptors import available
from lbjwt.net.sockets import backlog, close
from lbjwt.observe._board import Board
from lbjwt.proxy._client import ClientSide
from lbjwt.proxy._health import Health
from lbjwt.proxy._listener_settings import ListenerSettings
from lbjwt.proxy._tls_client import TlsClientSide
from lbjwt.proxy._traffic import Traffic

MANY_CLIENTS = 256
"""Client connections from which the queue of the listener is emptied in bursts: the loop accepts one each time it has polled all others."""

log = logging.getLogger("lbjwt.service")


class Listeners:
    """
    Accepts clients on bound sockets in the running loop.

    Args:
        contexts: TLS of each listener of the configuration; None for plain HTTP.
        sockets: Of each listener, in the same order.
    """

    def __init__(
        self,
        configuration: Configuration,
        contexts: Sequence[ssl.SSLContext | None],
        sockets: Sequence[Sequence[socket.socket]],
        traffic: Traffic,
        board: Board,
    ) -> None:
        self._configuration = configuration
        self._traffic = traffic
        self._board = board
        self._listening = [
            (listener, context, sock)
            for listener, context, bound in zip(configuration.listeners, contexts, sockets, strict=True)
            for sock in bound
        ]
        self._servers: list[asyncio.Server] = []  # on copies of those: closing one stops accepting, and the queue stays
        self._accepting: asyncio.Task[None] | None = None  # begins to accept again

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of every socket it accepts on."""
        return [sock.getsockname()[:2] for server in self._servers for sock in server.sockets]

    async def accept(self) -> None:
        """Accept on every socket that does not yet."""
        for listener, context, sock in self._listening[len(self._servers) :]:
            copy = sock.dup()
            try:
                self._servers.append(await self._listen(listener, context, copy))
            except BaseException:
                copy.close()
                raise

    async def _listen(self, listener: Listener, context: ssl.SSLContext | None, sock: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        traffic = self._traffic
        settings = ListenerSettings(
            new_policy(self._configuration, https=context is not None),
            None if listener.health is None else Health(listener.health.path),
            context,
            self._configuration.timeouts.tls_handshake,
        )

        def client() -> ClientSide:
            return ClientSide(traffic, settings) if context is None else TlsClientSide(traffic, settings)

        def accepted() -> ClientSide:
            if traffic.clients >= MANY_CLIENTS:
                accept_waiting(loop, sock, client)
            return client()

        return await loop.create_server(accepted, sock=sock, backlog=backlog())

    def mind_descriptors(self) -> None:
        """
        Stop accepting while no descriptor can be had, and say so at ``/readyz``. Clients wait in the kernel's queue meanwhile.

        uvloop accepts and drops them all when this process has none left, and calls accept(2) without a pause when the machine has none. The loop of
        asyncio pauses by itself.
        """
        loop = asyncio.get_running_loop()
        traffic = self._traffic
        free = available()
        cut = traffic.max_clients < self._configuration.limits.max_connections
        self._board.set("no_descriptors", not free or (cut and traffic.clients >= traffic.max_clients))
        if not free and self._servers and not isinstance(loop, asyncio.BaseEventLoop):
            log.error("no file descriptors left: new clients wait until some are free; raise the limit of open files")
            self._pause()
        elif free and len(self._servers) < len(self._listening) and (self._accepting is None or self._accepting.done()):
            self._accepting = loop.create_task(self._accept_again())

    async def _accept_again(self) -> None:
        with contextlib.suppress(OSError):  # there are none after all: the next look tries again
            await self.accept()
            log.info("file descriptors are available again: new clients are accepted")

    def _pause(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
        for server in self._servers:
            server.close()
        self._servers = []

    def close(self) -> None:
        """Accept no more, and close the sockets."""
        self._pause()
        close(sock for _, _, sock in self._listening)
        self._listening = []
