"""
One balancer in one event loop: built from its configuration, started, reloaded, drained and stopped. The caller handles signals and sets up logging.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lbjwt.assembly.cluster import new_offenders
from lbjwt.assembly.discovered import Discovered, in_force, initial, keeping
from lbjwt.assembly.discovery import Discovery
from lbjwt.assembly.health import FirstChecks, HealthChecks
from lbjwt.assembly.issuers import issuer_instances, new_verifier
from lbjwt.assembly.kept_files import KeptFiles
from lbjwt.assembly.keys import NEW_KEYS, EmbeddedControl, first_fetch
from lbjwt.assembly.listeners import IDLE_GRACE
from lbjwt.assembly.periodic import Periodic, expiry_interval
from lbjwt.assembly.revocations import RevokedKeys, new_reader, new_store, revocation_check
from lbjwt.assembly.rows import new_board, row_names
from lbjwt.assembly.runtime import Plan, Runtime
from lbjwt.assembly.state import StateDirectory, state_needed
from lbjwt.assembly.verifier_stats import VerifierStats
from lbjwt.config.changes import changes, until_restart
from lbjwt.config.model import Configuration
from lbjwt.errors import ConfigurationError, cause_of
from lbjwt.keys.worker import ControlLink
from lbjwt.net import certificate
from lbjwt.net.sockets import bind, close
from lbjwt.net.threads import in_thread
from lbjwt.observe._board import DRAINING, READY, STOPPED, Board
from lbjwt.observe._offenders import Offenders
from lbjwt.observe.rows import RowNumbers, Rows
from lbjwt.upstream.operations import EndpointOperations, EndpointState
from lbjwt.upstream.stored_settings import StoredSettings

if TYPE_CHECKING:
    from lbjwt.admin.server import AdminServer

SWEEP = 1.0
"""Seconds between two checks for streams that outlived their token, and between two writes of logs and numbers."""

REPLACED_GRACE = 5.0
"""Seconds until an idle client connection is closed when another program took over. The next response on it usually ends it first, without a race."""

NO_EFFECT = ("watch",)
"""The key without effect here: an embedded balancer knows no file, so its program has to look for changes."""

log = logging.getLogger("lbjwt.service")


def _described(before: Configuration, after: Configuration) -> tuple[list[str], str]:
    """What changes, in sentences, and the fingerprint of the new configuration. Takes milliseconds: not for an event loop."""
    return [str(change) for change in changes(before, after) if change.path != NO_EFFECT], after.fingerprint


class LoadBalancer:
    """
    A load balancer inside the running event loop, uvloop or asyncio's own.

    Args:
        configuration: What to do.
        sockets: For each listener, the bound sockets to accept on; None binds the configured addresses.
        board: Counters to write to, its slot set. None: this balancer is a service by itself, with counters of its own, and also opens the admin API
            of the configuration. With a board it is a worker of a service that has these.
        rows: Where the board counts endpoints, issuers and routes; None: in the order of the configuration.
        offenders: Where refusals are counted by client address; None makes one of its own when somebody asks for them.
        keeper: The control process, which fetches remote keys and keeps the revocations; None: this balancer itself.
        discovered: Members of clusters that the control process discovered; None without one: then names are resolved when a connection is opened,
            except in a balancer that is a service by itself, which discovers them.
        kept_files: What its files held in the worker whose place this one takes, used where they cannot be used now; None: it takes nobody's place.

    Raises:
        ValueError: The board is too small for the configuration.
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
        offenders: Offenders | None = None,
        keeper: ControlLink | None = None,
        discovered: Discovered | None = None,
        kept_files: KeptFiles | None = None,
    ) -> None:
        if board is None and configuration.workers != 1:
            raise ConfigurationError(
                "workers: a LoadBalancer runs as a single worker in your process; set workers to 1 or remove it, or use lbjwt serve"
            )
        self.configuration = configuration
        self._sockets = sockets
        self._whole = board is None
        self._discovered = Discovered() if self._whole else discovered
        self._discovery: Discovery | None = None
        names = row_names(self._in_force)
        self.board = new_board(configuration, 1) if board is None else board
        self._stored = StoredSettings(self.board.endpoint_states)
        self._all_rows = Rows(self.board, self._stored.restore) if self._whole else None
        if self._all_rows is not None:
            self._rows = self._all_rows.assign(names)
        else:
            self._rows = RowNumbers.in_order(names) if rows is None else rows
        self._rows.check(self.board)
        instances = issuer_instances(configuration, self._rows.issuers)
        directory = configuration.state_directory if keeper is None else keeper.directory
        self._embedded: EmbeddedControl | None = None
        if keeper is None:
            keeper = self._embedded = EmbeddedControl(instances, self.board, directory)
        self._control = keeper
        self._checks = HealthChecks(self.board, self._checked) if self._embedded is not None else None
        self._first_checks = FirstChecks(self.board.endpoint_states)
        self._store = new_store(configuration, directory) if self._whole else None
        self._revocations = new_reader(configuration, directory, self._revoked, self._store)
        self.verifier = new_verifier(configuration, instances, revocation_check(self._revocations))
        # every worker reads the same revocations: one of them logs
        self._revoked_keys = (
            RevokedKeys(instances, self.verifier, self._revocations)
            if self._revocations is not None and self.board.slot == 0
            else None
        )
        if offenders is None:
            offenders = new_offenders(configuration, 1)
        self._offenders = offenders
        self._runtime = Runtime(
            self.board, self.verifier, self._control, offenders, is_alone=self._embedded is not None, kept=kept_files
        )
        self._operations = EndpointOperations(self.board, self._rows.endpoints, self._endpoint_changed, self._stored)
        self._stats = VerifierStats(self.verifier, self.board)
        self._periodic = Periodic()
        self._admin: AdminServer | None = None
        self._admin_sockets: list[socket.socket] = []
        self._stack = contextlib.AsyncExitStack()  # ends what was started, the last first
        self._reloading = asyncio.Lock()
        self._serves = False
        """From the end of the start to the beginning of the end."""

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of every socket it accepts on."""
        return self._runtime.listeners.addresses

    @property
    def admin_addresses(self) -> list[tuple[str, int]]:
        """Host and port of every socket of the admin API; empty when it is not open here."""
        return [sock.getsockname()[:2] for sock in self._admin_sockets]

    @property
    def _in_force(self) -> Configuration:
        """The configuration with the members of its clusters."""
        return in_force(self.configuration, self._discovered)

    async def start(self, *, before_accept: Callable[[], Awaitable[object]] | None = None) -> None:
        """
        Get the keys and check the endpoints once, then open the listeners.

        Args:
            before_accept: Awaited when all is there, before the first client is accepted. It may `reload`: then no client meets the configuration
                of the start.

        Raises:
            ConfigurationError: The access log cannot be opened.
            RevocationError: The log or file of revocations cannot be used.
            StateDirectoryError: The state directory cannot be used, somebody else can write it, or another lbjwt has it.
            KeySourceError: A key file cannot be read or used.
            BindError: An address cannot be listened on.
            TLSError: A certificate or its key cannot be used.
            TooFewDescriptors: The limit of open files leaves none for clients.
        """
        runtime = self._runtime
        directory = self.configuration.state_directory
        if self._embedded is not None and directory is not None and state_needed(self.configuration):
            self._stack.enter_context(StateDirectory(directory))
            self._stored.open(directory)
            for endpoint, row in self._rows.endpoints.items():
                self._stored.restore(endpoint, row)
        self._stack.callback(runtime.close_log)
        if self._store is not None:
            self._stack.callback(self._store.close)
            self._store.open(time.time())
        if self._revocations is not None:
            self._stack.push_async_callback(self._revocations.stop)
            await self._revocations.load()
            self._revocations.start()
        if self._whole:
            await self._start_discovery()
        plan = await runtime.plan(self._in_force, self._rows, self._sockets)
        try:
            if self._whole:
                await self._open_admin()
            self._control.listen(self._notified)
            self._stack.callback(self._control.ignore)
            if self._embedded is not None:
                self._stack.push_async_callback(self._embedded.stop)
                await self._embedded.start()
            if self._checks is not None:
                self._stack.push_async_callback(self._checks.stop)
                self._checks.use(plan.configuration, plan.rows, at_start=True)
            await runtime.keys.wait(plan.new_sources, first_fetch(plan.instances))
            await self._first_checks.wait(plan.configuration, plan.rows)
            self._stack.push_async_callback(runtime.keys.stop)
            self._stack.push_async_callback(self._end_traffic)
            self._stack.callback(runtime.listeners.close)
            self._use(plan, self.configuration, self._discovered)
        except BaseException:
            runtime.give_up(plan)
            raise
        runtime.keys.start()
        if before_accept is not None:
            self._serves = True
            await before_accept()
        await runtime.listeners.accept()
        self._stack.callback(self._periodic.stop)
        self._periodic.every(SWEEP, self._tick)
        self._periodic.every(certificate.LOOK, runtime.look_at_certificates)
        self._serves = True
        self.board.set_state(READY)

    async def reload(
        self,
        configuration: Configuration,
        *,
        rows: RowNumbers | None = None,
        sockets: Sequence[Sequence[socket.socket]] | None = None,
        discovered: Discovered | None = None,
    ) -> list[str]:
        """
        Put another configuration into force while requests are served: all of it, or nothing when it raises.

        The next request meets it, also on a connection that is open; a request under way ends as it began. Connections, pools, keys, revocations,
        counters and the verified tokens of unchanged issuers stay. What only a restart can change (`workers`, `admin`, `state_directory`,
        `token_cache`, `revocation`, `fail_limit`) keeps its old value, and the rest must go with that.

        Args:
            rows: The rows of the configuration in the board; given together with the board.
            sockets: For each listener its bound sockets, also for those that are open already; None binds new ones. Unless it raises, they are the
                balancer's.
            discovered: As for the balancer; given together with the board.

        Returns:
            A sentence for each change, such as `routes: orders added`, and one that names the keys that need a restart. `watch` has no effect
            here, and a change of it is not told. With a board, only the sentence about the restart is returned: the process that made the rows
            tells the changes.

        Raises:
            LbjwtError: As `start`, or it does not serve; the old configuration stays in force.
        """
        async with self._reloading:
            try:
                told = await self._reload(configuration, rows, sockets, discovered)
            except BaseException:
                if self._whole:
                    self.board.set_reloaded(False)
                raise
            if self._whole:
                self.board.set_reloaded(True, time.time())
            return told

    async def _reload(
        self,
        configuration: Configuration,
        rows: RowNumbers | None,
        sockets: Sequence[Sequence[socket.socket]] | None,
        discovered: Discovered | None,
    ) -> list[str]:
        self._check_serves()
        configuration, kept = until_restart(self.configuration, configuration)
        told, fingerprint = await in_thread(_described, self.configuration, configuration) if self._whole else ([], "")
        generation = self.board.generation(self.board.slot) + 1
        if self._all_rows is not None:
            assert self._discovered is not None
            discovered = keeping(configuration, self._discovered, self._in_force)
            rows = self._all_rows.assign(row_names(in_force(configuration, discovered)), generation)
        elif rows is None:
            raise ConfigurationError("a reload of a balancer with a board needs rows")
        rows.check(self.board)
        runtime = self._runtime
        if self._embedded is not None:  # first, for a plan looks for its keys there
            self._embedded.make_room(issuer_instances(configuration, rows.issuers))
        plan = await runtime.plan(in_force(configuration, discovered), rows, sockets)
        try:
            if self._embedded is not None:
                await self._embedded.reload(plan.instances)
            if self._checks is not None:
                self._checks.use(plan.configuration, plan.rows)
            await runtime.keys.wait(plan.new_sources, NEW_KEYS)
            await self._first_checks.wait(plan.configuration, plan.rows)
            self._check_serves()
            self._use(plan, configuration, discovered)
        except BaseException:
            runtime.give_up(plan)
            if self._embedded is not None:
                await self._embedded.reload(runtime.instances)
            if self._checks is not None:
                self._checks.use(self._in_force, self._rows)
            raise
        if self._whole:
            self.board.set_generation(generation)
            self.board.configuration_hash = fingerprint
        try:
            await runtime.listeners.accept()
        except OSError as error:
            log.error("cannot accept on a new listener: %s; trying again every second", cause_of(error))
        return told + ([f"needs a restart: {', '.join(kept)}"] if kept else [])

    def _check_serves(self) -> None:
        if not self._serves:
            raise ConfigurationError("no reload: this balancer has not started, or it is ending")

    async def discover(self, discovered: Discovered, rows: RowNumbers | None = None) -> None:
        """
        Give clusters the members that were discovered. An endpoint that stays keeps its connections and counters; one that leaves is drained.

        Args:
            rows: As for `reload`.

        Raises:
            LbjwtError: There is no room for them; nothing changed.
        """
        async with self._reloading:
            generation = self.board.generation(self.board.slot) + 1
            if self._all_rows is None:
                assert rows is not None
                configuration = await in_thread(in_force, self.configuration, discovered)
            else:
                before = self._in_force
                discovered = keeping(self.configuration, discovered, before)
                configuration = in_force(self.configuration, discovered)
                if configuration.clusters == before.clusters:
                    self._discovered = discovered
                    return
                rows = self._all_rows.assign(row_names(configuration), generation)
            rows.check(self.board)
            if self._runtime.context is not None:
                if self._checks is not None:
                    self._checks.use(configuration, rows)
                await self._first_checks.wait(configuration, rows)
                await self._runtime.use_members(configuration, rows)
            self._discovered, self._rows = discovered, rows
            self._operations.use(rows.endpoints)
            if self._whole:
                self.board.set_generation(generation)
            if self._admin is not None:
                self._admin.use(configuration, rows)

    async def _start_discovery(self) -> None:
        """Begin to discover, in this loop."""
        configuration = self.configuration
        directory = configuration.state_directory if state_needed(configuration) else None
        known = await in_thread(initial, configuration, directory)
        await self.discover(known)
        self._discovery = Discovery(configuration, known, self.discover, directory)
        self._stack.push_async_callback(self._discovery.stop)
        await self._discovery.start()

    def _use(self, plan: Plan, configuration: Configuration, discovered: Discovered | None) -> None:
        """Put a plan into force, and tell everybody who shows or watches what is in force."""
        self._runtime.use(plan)
        self.configuration, self._discovered, self._rows = configuration, discovered, plan.rows
        self._operations.use(plan.rows.endpoints)
        if self._discovery is not None:
            self._discovery.use(configuration)
        self._periodic.every(expiry_interval(configuration), self._runtime.expire)
        if self._admin is not None:
            self._admin.use(plan.configuration, plan.rows)
        if self._revoked_keys is not None:
            self._revoked_keys.use(plan.instances)

    async def _open_admin(self) -> None:
        """The admin API, with the revocations made there."""
        configuration = self.configuration
        if configuration.admin is None:
            return
        from lbjwt.admin.server import AdminServer  # imports aiohttp, which is not needed without

        self._admin_sockets = bind(configuration.admin.address, key="admin.address")[0]
        self._stack.callback(close, self._admin_sockets)
        self._admin = AdminServer(
            self._in_force,
            self.board,
            self._admin_sockets,
            self._rows,
            offenders=self._offenders,
            sources=self._embedded.describe if self._embedded is not None else dict,
            revocations=self._store,
            on_revoked=lambda: self._revoked(True),
            discovery=self._discovery,
            on_endpoint_change=self._endpoint_changed,
            stored=self._stored,
            check_failure=self._checks.failure if self._checks is not None else lambda row: "",
        )
        self._stack.push_async_callback(self._admin.stop)
        await self._admin.start()

    def _tick(self) -> None:
        self._runtime.sweep()
        self._stats.publish()
        self._stats.log_faults()

    def _notified(self) -> None:
        """The control process has something new."""
        self._runtime.follow_endpoint_states()
        self._runtime.keys.notified()
        self._first_checks.notified()
        if self._revocations is not None:
            self._revocations.poke()

    def _checked(self) -> None:
        """An endpoint was checked for the first time, or its health changed."""
        self._first_checks.notified()

    def _revoked(self, more: bool) -> None:
        """The revocations changed. If `more` are in force, check every cached token again on its next use, and open streams now."""
        assert self._revocations is not None
        self.board.set("revocations", len(self._revocations))
        if more:
            self.verifier.renew()
            if self._runtime.context is not None:
                self._runtime.context.sweep()
        if self._revoked_keys is not None:
            self._revoked_keys.look()

    def set_endpoint(
        self, cluster: str, endpoint: str, *, state: str | None = None, weight: int | str | None = None
    ) -> EndpointState:
        """Drain, disable, enable or weight an endpoint, from the next request on; see `EndpointOperations.change`."""
        return self._operations.change(cluster, endpoint, state=state, weight=weight, by="this program")

    async def wait_until_quiet(self, cluster: str, endpoint: str, *, timeout: float = 60.0) -> bool:
        """Wait until nothing is in flight to a drained endpoint; see `EndpointOperations.wait_until_quiet`."""
        return await self._operations.wait_until_quiet(cluster, endpoint, timeout=timeout)

    def _endpoint_changed(self) -> None:
        if self._checks is not None:
            self._checks.look()
        self._runtime.follow_endpoint_states()

    def reopen_access_log(self) -> None:
        """
        Write what is pending to the old file and open the path anew, for log rotation. Without an access log nothing happens.

        Raises:
            OSError: The path cannot be opened; the old file stays in use.
        """
        if self._runtime.access_log is not None:
            self._runtime.access_log.reopen()

    async def drain(self, *, lame_duck: bool = True, idle_grace: float = IDLE_GRACE) -> None:
        """
        Say that the service is not ready, and serve on for `timeouts.lame_duck`. Then accept no more, answer what is under way, and return when all
        clients are gone or `timeouts.drain` has passed.

        Args:
            lame_duck: False: accept no more from now on, for another program serves already.
            idle_grace: Seconds until idle client connections are closed.
        """
        loop = asyncio.get_running_loop()
        timeouts = self.configuration.timeouts
        self._serves = False
        if self._whole:
            self.board.start_draining()
        if lame_duck and timeouts.lame_duck:
            await asyncio.sleep(timeouts.lame_duck)
        deadline = loop.time() + timeouts.drain
        self.board.set_state(DRAINING)
        self._runtime.listeners.close()
        await asyncio.sleep(0)  # the loop may have accepted a client in this turn, which nobody has met yet
        context = self._runtime.context
        if context is None:
            return
        context.drain(idle_grace)
        after_answers = loop.time() + idle_grace
        finishing = False
        while context.clients and loop.time() < deadline:
            if not finishing and not context.takes_requests(loop.time() < after_answers):
                finishing = True
                self.board.set("finishing", 1)
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End everything now, also after a start that failed. Sockets that were passed in and never accepted on stay open."""
        self._serves = False
        self.board.set_state(STOPPED)
        await self._stack.aclose()

    async def _end_traffic(self) -> None:
        await self._runtime.close()
        self._stats.publish()

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
