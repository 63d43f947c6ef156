"""
The listeners of one balancer: they accept clients, pause while no file descriptor is left, follow a reload, and end with a drain.

A listener is known by its address. One that stays keeps its sockets and its clients, which read its settings anew for each request. One that leaves
accepts the clients in its queue and no more, and each client goes with the answer that is under way. When TLS is switched on or off, or the mode
changes, the clients from before go in the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from lbjwt.assembly.authorizers import new_authorizer
from lbjwt.assembly.certificates import Renewals
from lbjwt.assembly.cluster import new_policy
from lbjwt.config.model import Configuration, Listener
from lbjwt.files import Kept, ReadFile, nothing_kept, read_content
from lbjwt.http2._session import Limits as Http2Limits
from lbjwt.net.adopt import accept_waiting
from lbjwt.net.certificate import Certificate
from lbjwt.net.descriptors import available
from lbjwt.net.sockets import backlog, bind, bind_path, close, stop_listening
from lbjwt.net.unix_socket import remove_paths, set_modes
from lbjwt.observe._board import Board
from lbjwt.proxy._accept import accepted
from lbjwt.proxy._authorizer import Authorizer
from lbjwt.proxy._context import ProxyContext
from lbjwt.proxy._health import Health
from lbjwt.proxy._listener_settings import ListenerSettings
from lbjwt.proxy._original import Description

MANY_CLIENTS = 256
"""Client connections from which the queue of the listener is emptied in bursts: the loop accepts one each time it has polled all others."""

IDLE_GRACE: Final = 1.0
"""Seconds until an idle client connection is closed after its listener left or a drain began: a request may be on its way."""

log = logging.getLogger("lbjwt.service")


@dataclass(slots=True)
class _Listener:
    """One that accepts, or is about to."""

    sockets: list[socket.socket]
    settings: ListenerSettings
    certificate: Certificate | None
    servers: list[asyncio.Server] = field(default_factory=list)
    """On copies of the sockets, the first ones: closing a server stops accepting, and the queue stays."""


@dataclass(slots=True)
class ListenerPlan:
    """What the listeners of a configuration need, made and not yet in use."""

    configuration: Configuration
    certificates: dict[str, Certificate | None] = field(default_factory=dict)
    authorizers: dict[str, Authorizer | None] = field(default_factory=dict)
    sockets: dict[str, list[socket.socket]] = field(default_factory=dict)
    """Of each listener that is new."""
    spare: list[socket.socket] = field(default_factory=list)
    """Given for listeners that have theirs."""
    bound: list[socket.socket] = field(default_factory=list)
    """Not given: bound here."""

    def give_up(self) -> None:
        """Close what was bound here."""
        remove_paths(self.bound)
        close(self.bound)


class Listeners:
    """
    Accepts clients in the running loop.

    Args:
        kept: Used in place of certificates that cannot be used.
    """

    def __init__(self, board: Board, kept: Kept = nothing_kept) -> None:
        self._kept = kept
        self.context: ProxyContext | None = None
        """Set before the first `use`."""
        self._board = board
        self._max_connections = 0
        self._by_name: dict[str, _Listener] = {}
        self._one_by_one = asyncio.Lock()
        self._accepting: asyncio.Task[None] | None = None  # begins to accept again
        self._renewals = Renewals(board)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of every socket it accepts on, except Unix sockets."""
        return [
            sock.getsockname()[:2]
            for listener in self._by_name.values()
            for server in listener.servers
            for sock in server.sockets
            if sock.family != socket.AF_UNIX
        ]

    @property
    def certificates(self) -> list[Certificate]:
        """Those in use."""
        return [one.certificate for one in self._by_name.values() if one.certificate is not None]

    def plan(
        self,
        configuration: Configuration,
        sockets: Sequence[Sequence[socket.socket]] | None = None,
        read: ReadFile = read_content,
    ) -> ListenerPlan:
        """
        Make what the listeners of a configuration need, and change nothing. Reads files, so it may run in a thread.

        Args:
            sockets: Bound ones for each listener, also for those that are in use already; they belong to the caller until `use`. None: bind what
                is new.

            read: Reads the files of secrets.

        Raises:
            TLSError: A certificate or its key cannot be used.
            ConfigurationError: The secret of a listener that is asked cannot be used.
            BindError: An address cannot be listened on.
        """
        plan = ListenerPlan(configuration)
        try:
            for at, (name, listener) in enumerate(configuration.named_listeners.items()):
                plan.certificates[name] = self._certificate(name, listener, f"listeners[{at}].tls")
                plan.authorizers[name] = new_authorizer(configuration, listener, f"listeners[{at}]", read)
            for at, (name, listener) in enumerate(configuration.named_listeners.items()):
                if sockets is not None:
                    if name in self._by_name:
                        plan.spare += sockets[at]
                    else:
                        plan.sockets[name] = list(sockets[at])
                elif name not in self._by_name:
                    plan.sockets[name] = _bound(listener, f"listeners[{at}].address")
                    plan.bound += plan.sockets[name]
        except BaseException:
            plan.give_up()
            raise
        return plan

    def _certificate(self, name: str, listener: Listener, key: str) -> Certificate | None:
        """The one in use while its files are the same: TLS sessions that it began can then be resumed."""
        tls = listener.tls
        if tls is None:
            return None
        made = Certificate(tls.certificate, tls.private_key, key=key, http2=listener.http2, kept=self._kept)
        known = self._by_name.get(name)
        return known.certificate if known is not None and made == known.certificate else made

    def use(self, plan: ListenerPlan) -> None:
        """Put a plan into force. `accept` then opens the listeners that are new."""
        configuration = plan.configuration
        before, self._by_name = self._by_name, {}
        self._max_connections = configuration.limits.max_connections
        for at, (name, section) in enumerate(configuration.named_listeners.items()):
            certificate = plan.certificates[name]
            policy = new_policy(configuration, https=certificate is not None)
            listener = before.pop(name, None)
            if listener is None:
                listener = _Listener(plan.sockets[name], ListenerSettings(policy), None)
            elif (listener.certificate is None) is not (certificate is None) or (
                _kind(listener.settings.authorizer) is not _kind(plan.authorizers[name])
            ):
                self._leave(listener.settings)
                listener.settings = ListenerSettings(policy)
            self._by_name[name] = listener
            set_modes(listener.sockets, section.path_mode)
            settings = listener.settings
            settings.policy = policy
            settings.authorizer = plan.authorizers[name]
            settings.health = None if section.health is None else Health(section.health.path)
            settings.handshake_timeout = configuration.timeouts.tls_handshake
            settings.h2c = section.h2c and certificate is None
            speaks = section.http2 if certificate is not None else section.h2c
            settings.http2 = _http2_limits(configuration) if speaks else None
            listener.certificate = certificate
            if certificate is not None:
                certificate.key = f"listeners[{at}].tls"
                settings.tls = certificate.context
        for listener in before.values():
            self._remove(listener)
        close(plan.spare)

    def _leave(self, settings: ListenerSettings) -> None:
        assert self.context is not None
        self.context.drain_listener(settings, IDLE_GRACE)

    def _remove(self, listener: _Listener) -> None:
        """Take those who wait in the queue, then have the kernel refuse the next: no other worker is on these sockets."""
        loop = asyncio.get_running_loop()
        for sock in listener.sockets:
            accept_waiting(loop, sock, lambda: self._client(listener))
        _end(listener)
        remove_paths(listener.sockets)
        stop_listening(sock for sock in listener.sockets if sock.family != socket.AF_UNIX)  # which other workers share
        close(listener.sockets)
        self._leave(listener.settings)

    def _client(self, listener: _Listener) -> asyncio.Protocol:
        assert self.context is not None
        made: asyncio.Protocol = accepted(self.context, listener.settings)
        return made

    async def accept(self) -> None:
        """Accept on every socket that does not yet."""
        async with self._one_by_one:
            for listener in list(self._by_name.values()):
                for sock in listener.sockets[len(listener.servers) :]:
                    copy = sock.dup()
                    try:
                        listener.servers.append(await self._listen(listener, copy))
                    except BaseException:
                        copy.close()
                        raise

    async def _listen(self, listener: _Listener, sock: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        context = self.context
        assert context is not None

        def connection() -> asyncio.Protocol:
            if context.clients >= MANY_CLIENTS:
                accept_waiting(loop, sock, lambda: self._client(listener))
            return accepted(context, listener.settings)  # type: ignore[no-any-return]

        return await loop.create_server(connection, sock=sock, backlog=backlog())

    def look_at_certificates(self) -> None:
        """Use pairs of files that were replaced for the next handshakes."""
        self._renewals.look(self.certificates, self._use_certificate)

    def _use_certificate(self, certificate: Certificate, context: ssl.SSLContext) -> None:
        for listener in self._by_name.values():
            if listener.certificate is certificate:
                listener.settings.tls = context

    def mind_descriptors(self) -> None:
        """
        Stop accepting while no descriptor can be had, and say so at ``/readyz``. Clients wait in the kernel's queue meanwhile.

        uvloop accepts and drops them all when this process has none left, and calls accept(2) without a pause when the machine has none. The loop of
        asyncio pauses by itself.
        """
        loop = asyncio.get_running_loop()
        context = self.context
        assert context is not None
        free = available()
        cut = context.max_clients < self._max_connections
        self._board.set("no_descriptors", not free or (cut and context.clients >= context.max_clients))
        listeners = self._by_name.values()
        if not free and any(one.servers for one in listeners) and not isinstance(loop, asyncio.BaseEventLoop):
            log.error("no file descriptors left: new clients wait until some are free; raise the limit of open files")
            self._pause()
        elif free and any(len(one.servers) < len(one.sockets) for one in listeners) and _is_over(self._accepting):
            self._accepting = loop.create_task(self._accept_again())

    async def _accept_again(self) -> None:
        with contextlib.suppress(OSError):  # there are none after all: the next look tries again
            await self.accept()
            log.info("file descriptors are available again: new clients are accepted")

    def _pause(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
        for listener in self._by_name.values():
            _end(listener)

    def close(self) -> None:
        """Accept no more, and close the sockets."""
        self._pause()
        self._renewals.stop()
        for listener in self._by_name.values():
            remove_paths(listener.sockets)
            close(listener.sockets)
        self._by_name = {}


def _bound(listener: Listener, key: str) -> list[socket.socket]:
    path = listener.address.path
    return bind(listener.address, key=key)[0] if path is None else [bind_path(path, listener.path_mode, key=key)]


def _kind(authorizer: Authorizer | None) -> str:
    """What kind of connections a listener has: one that becomes another loses its clients."""
    if authorizer is None:
        return "forwarded"
    return "asked by SPOP" if authorizer.original.description == Description.SPOE else "asked by HTTP"


def _http2_limits(configuration: Configuration) -> Http2Limits:
    limits = configuration.limits
    return Http2Limits(
        max_streams=limits.http2.max_streams,
        window=limits.http2.stream_window,
        max_fields=limits.max_request_fields,
        max_field_bytes=limits.max_request_head,
        max_resets=limits.http2.max_resets,
        max_control_frames=limits.http2.max_control_frames,
        settings_timeout=limits.http2.settings_timeout,
    )


def _is_over(task: asyncio.Task[None] | None) -> bool:
    return task is None or task.done()


def _end(listener: _Listener) -> None:
    for server in listener.servers:
        server.close()
    listener.servers = []
