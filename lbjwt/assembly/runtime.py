"""
The parts of a balancer that follow its configuration: keys, verifier, clusters, listeners, and what is asked of requests.

A configuration comes in two steps, the first one like every later one. `plan` builds everything that can fail or takes time, and changes nothing.
`use` puts it into force at once, within one turn of the event loop. Connections, pools, requests under way, key rings, counters and verified tokens
outlive it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbjwt.assembly.cluster import Clusters, forwarding_trust
from lbjwt.assembly.decryption_files import DecryptionFiles
from lbjwt.assembly.descriptors import Shares, shares
from lbjwt.assembly.issuers import issuer_instances, trusted_issuers
from lbjwt.assembly.kept_files import Contents, FilesReadOnce, KeptFiles, names_of
from lbjwt.assembly.keys import worker_sources
from lbjwt.assembly.listeners import Listeners
from lbjwt.assembly.snapshot import new_snapshot
from lbjwt.assembly.sources import wait_for_keys
from lbjwt.errors import ConfigurationError, cause_of
from lbjwt.keys.source import LocalKeys
from lbjwt.keys.worker import ControlLink, WorkerKeys
from lbjwt.net.threads import in_thread
from lbjwt.observe._access_log import AccessLog
from lbjwt.proxy._context import ProxyContext
from lbjwt.proxy._key_wait import KeyWait
from lbjwt.proxy.connect import Connector

if TYPE_CHECKING:
    import socket

    from lbjwt.assembly.issuers import IssuerInstance
    from lbjwt.assembly.listeners import ListenerPlan
    from lbjwt.auth.trusted_issuer import TrustedIssuer
    from lbjwt.auth.verifier import Verifier
    from lbjwt.config.model import Configuration
    from lbjwt.keys.worker import Source
    from lbjwt.net.certificate import BackendTls
    from lbjwt.observe._board import Board
    from lbjwt.observe._offenders import Offenders
    from lbjwt.observe.rows import RowNumbers
    from lbjwt.proxy._snapshot import Snapshot
    from lbjwt.upstream._cluster import Cluster


@dataclass(slots=True)
class Plan:
    """Everything of a configuration, built and not yet in force."""

    configuration: Configuration
    rows: RowNumbers
    instances: list[IssuerInstance]
    trusted: dict[int, TrustedIssuer]
    listeners: ListenerPlan
    sources: dict[int, Source]
    new_sources: list[Source]
    clusters: dict[str, Cluster]
    backend_tls: dict[str, BackendTls]
    snapshot: Snapshot
    shares: Shares
    access_log: AccessLog | None
    read_once: Contents
    """Files that were read, and are not watched."""


class Runtime:
    """
    The parts of one balancer in the running loop.

    Args:
        verifier: Of the first configuration, without keys.
        link: To the process that fetches keys.
        is_alone: As for `shares`.
        kept: What files held in the process whose place this one takes, and what they hold here.
    """

    def __init__(
        self,
        board: Board,
        verifier: Verifier,
        link: ControlLink,
        offenders: Offenders | None,
        *,
        is_alone: bool = False,
        kept: KeptFiles | None = None,
    ) -> None:
        self._kept = kept or KeptFiles()
        self._kept.in_force = self._files_in_force
        self._read_once: Contents = {}
        self.keys = WorkerKeys(board, link)
        self.listeners = Listeners(board, self._kept.of)
        self.context: ProxyContext | None = None
        self.access_log: AccessLog | None = None
        self.instances: list[IssuerInstance] = []
        self._board = board
        self._verifier = verifier
        self._link = link
        self._offenders = offenders
        self._is_alone = is_alone
        self._clusters = Clusters(
            board,
            lambda callback: asyncio.get_running_loop().call_soon(callback),
            lambda seconds, callback: asyncio.get_running_loop().call_later(seconds, callback),
            self._kept.of,
        )
        self._connector: Connector | None = None
        self._decryption = DecryptionFiles((), verifier.use_decryption)

    async def plan(
        self, configuration: Configuration, rows: RowNumbers, sockets: Sequence[Sequence[socket.socket]] | None = None
    ) -> Plan:
        """
        Build what a configuration needs, in a thread where it takes time. Keys behind a URL are not waited for.

        Args:
            rows: Where the board counts what the configuration names.
            sockets: As for `Listeners.plan`.

        Raises:
            LbjwtError: As `LoadBalancer.start`; nothing has changed.
        """
        instances = issuer_instances(configuration, rows.issuers)
        read = FilesReadOnce(self._kept)
        sources = worker_sources(
            instances, self.keys.sources, self._verifier, self._board, self._link.feed, self._kept.of
        )
        new_sources = [source for index, source in sources.items() if self.keys.sources.get(index) is not source]
        clusters = self._clusters.named(configuration.clusters)
        backend_tls = await in_thread(self._clusters.plan_tls, configuration.clusters)
        trusts = forwarding_trust(configuration)
        trusted = await in_thread(trusted_issuers, configuration, instances, read)
        listeners = await in_thread(self.listeners.plan, configuration, sockets, read)
        access_log = None
        try:
            access_log = self._log_of(configuration)
            await self.keys.load(new_sources)
            snapshot = await in_thread(
                new_snapshot,
                configuration,
                instances,
                self._verifier.gate,
                clusters,
                rows,
                offenders=self._offenders,
                trusts=trusts,
            )
            connections = 0 if self.context is None else len(self.context.watched)
            return Plan(
                configuration,
                rows,
                instances,
                trusted,
                listeners,
                sources,
                new_sources,
                clusters,
                backend_tls,
                snapshot,
                shares(configuration, connections=connections, is_alone=self._is_alone),
                access_log,
                read.contents,
            )
        except BaseException:
            listeners.give_up()
            self._close_unused(access_log)
            raise

    def give_up(self, plan: Plan) -> None:
        """Close what was opened for a plan that will not be in force."""
        plan.listeners.give_up()
        self._close_unused(plan.access_log)

    def _log_of(self, configuration: Configuration) -> AccessLog | None:
        """The access log of a configuration: the one in use, if it goes to the same place."""
        if configuration.access_log is None:
            return None
        path = configuration.access_log.path
        if self.access_log is not None and self.access_log.path == path:
            return self.access_log
        try:
            return AccessLog(path, self._board)
        except OSError as error:
            raise ConfigurationError(f"access_log.path: cannot open {path}: {cause_of(error)}") from None

    def _close_unused(self, access_log: AccessLog | None) -> None:
        if access_log is not None and access_log is not self.access_log:
            access_log.close()

    def use(self, plan: Plan) -> None:
        """Put a plan into force. `Listeners.accept` then opens the listeners that are new."""
        without_keys = {index: None for index, source in plan.sources.items() if source.ring is None}
        self._verifier.reload(plan.trusted, keys=without_keys)
        self._decryption.stop()
        self._decryption = DecryptionFiles(plan.instances, self._verifier.use_decryption, logs=self._board.slot == 0)
        self._board.keep_issuers(plan.rows.issuers.values())
        self._kept.forget()
        self._read_once = plan.read_once
        self.instances = plan.instances
        self.keys.use(plan.sources)
        context = self.context or self._set_up(plan)
        context.snapshot = plan.snapshot
        self._clusters.use(plan.configuration.clusters, plan.clusters, plan.backend_tls, plan.rows.endpoints)
        context.clusters = self._clusters.all
        context.max_clients, context.max_answered = plan.shares.clients, plan.shares.answered
        before, self.access_log = self.access_log, plan.access_log
        context.access_log = plan.access_log
        if before is not None and before is not plan.access_log:
            before.close()
        self.listeners.use(plan.listeners)
        context.key_wait.reload(
            max_waiting=plan.configuration.limits.max_waiting, max_wait=wait_for_keys(plan.instances)
        )

    async def use_members(self, configuration: Configuration, rows: RowNumbers) -> None:
        """
        Give the clusters of the configuration in force other members, within one turn of the event loop. TLS for clusters that
        have none yet is made in a thread.

        Args:
            configuration: The one in force, with these members.

        Raises:
            TooFewDescriptors: The limit of open files leaves none for clients; nothing changed.
            TLSError: TLS cannot be made where there was none; nothing changed.
        """
        context = self.context
        assert context is not None
        tls = await in_thread(self._clusters.plan_members_tls, configuration.clusters)
        found = shares(configuration, connections=len(context.watched), is_alone=self._is_alone)
        self._clusters.use_members(configuration.clusters, tls, rows.endpoints)
        context.max_clients, context.max_answered = found.clients, found.answered

    def _set_up(self, plan: Plan) -> ProxyContext:
        """The parts that every configuration shares."""
        loop = asyncio.get_running_loop()
        key_wait = KeyWait(self._board, self.keys.request_refresh, max_waiting=0, max_wait=0.0)
        self.keys.settled = key_wait.fetch_done
        self._connector = Connector(loop)
        self.context = self.listeners.context = self._connector.context = ProxyContext(
            snapshot=plan.snapshot,
            clusters=[],
            key_wait=key_wait,
            board=self._board,
            access_log=None,
            open_connection=self._connector,
            max_clients=plan.shares.clients,
        )
        return self.context

    def expire(self) -> None:
        """End what has waited too long."""
        assert self.context is not None
        self.context.expire()

    def follow_endpoint_states(self) -> None:
        """Close the idle connections to endpoints that were taken out of service, and serve requests that wait for one that came back."""
        for cluster in self._clusters.all:
            cluster.follow_states()

    def sweep(self) -> None:
        """
        End streams whose token has expired; forget clusters that left, take or refuse new clients by the descriptors that are left, and read keys for
        decryption that were replaced.
        """
        assert self.context is not None
        self.follow_endpoint_states()  # a notification may be lost
        self.context.sweep()
        self._clusters.compare_success_rates(time.monotonic())
        if self._clusters.forget():
            self.context.clusters = self._clusters.all
        self.listeners.mind_descriptors()
        self._decryption.look()
        if self.access_log is not None:
            self.access_log.flush()

    def _files_in_force(self) -> Contents:
        found = {**self._read_once, **self._decryption.contents}
        for files in (*self.listeners.certificates, *self._clusters.tls_files):
            if files.contents:
                found[names_of(files.paths)] = files.contents
        for source in self.keys.sources.values():
            if isinstance(source, LocalKeys) and source.paths:
                found[names_of(source.paths)] = source.contents
        return found

    def look_at_certificates(self) -> None:
        """Use certificates, keys and authorities that were replaced on disk."""
        self.listeners.look_at_certificates()
        self._clusters.look_at_certificates()

    async def close(self) -> None:
        """End every connection."""
        self._decryption.stop()
        self._clusters.close()
        if self._connector is not None:
            await self._connector.close()
        if self.context is not None:
            self.context.close()
        await asyncio.sleep(0)

    def close_log(self) -> None:
        """Write what is pending, and close."""
        if self.access_log is not None:
            self.access_log.close()
