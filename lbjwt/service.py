"""
One balancer in one event loop: built from its configuration, started, reloaded, drained and stopped. The caller handles signals and sets up logging.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lbjwt.assembly.cluster import new_offenders
from lbjwt.assembly.health import FirstChecks, HealthChecks
from lbjwt.assembly.issuers import issuer_instances, new_verifier
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
from lbjwt.observe._board import DRAINING, READY, STOPPED, Board
from lbjwt.observe._offenders import Offenders
from lbjwt.observe.rows import RowNumbers, Rows

if TYPE_CHECKING:
    from lbjwt.admin.server import AdminServer

SWEEP = 1.0
"""Seconds between two checks for streams that outlived their token, and between two writes of logs and numbers."""

REPLACED_GRACE = 5.0
"""Seconds until an idle client connection is closed when another program took over. The next response on it usually ends it first, without a race."""

NO_EFFECT = ("watch",)
"""The key without effect here: an embedded balancer knows no file, so its program has to look for changes."""

log = logging.getLogger("lbjwt.service")


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
    ) -> None:
        if board is None and configuration.workers != 1:
            raise ConfigurationError(
                "workers: a LoadBalancer runs as a single worker in your process; set workers to 1 or remove it, or use lbjwt serve"
            )
        self.configuration = configuration
        self._sockets = sockets
        names = row_names(configuration)
        if board is None:
            self.board = new_board(configuration, 1)
            self._all_rows: Rows | None = Rows(self.board)
            self._rows = self._all_rows.assign(names)
        else:
            self.board = board
            self._all_rows = None
            self._rows = RowNumbers.in_order(names) if rows is None else rows
        self._rows.check(self.board)
        self._whole = board is None
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
        self._runtime = Runtime(self.board, self.verifier, self._control, offenders)
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

    async def start(self) -> None:
        """
        Get the keys and check the endpoints once, then open the listeners.

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
        self._stack.callback(runtime.close_log)
        if self._store is not None:
            self._stack.callback(self._store.close)
            self._store.open(time.time())
        if self._revocations is not None:
            self._stack.push_async_callback(self._revocations.stop)
            await self._revocations.load()
            self._revocations.start()
        plan = await runtime.plan(self.configuration, self._rows, self._sockets)
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
            self._use(plan)
        except BaseException:
            runtime.give_up(plan)
            raise
        runtime.keys.start()
        await runtime.listeners.accept()
        self._stack.callback(self._periodic.stop)
        self._periodic.every(SWEEP, self._tick)
        self._periodic.every(certificate.LOOK, runtime.listeners.look_at_certificates)
        self._serves = True
        self.board.set_state(READY)

    async def reload(
        self,
        configuration: Configuration,
        *,
        rows: RowNumbers | None = None,
        sockets: Sequence[Sequence[socket.socket]] | None = None,
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

        Returns:
            A sentence for each change, such as `routes: orders added`, and one that names the keys that need a restart. `watch` has no effect
            here, and a change of it is not told.

        Raises:
            LbjwtError: As `start`, or it does not serve; the old configuration stays in force.
        """
        async with self._reloading:
            try:
                told = await self._reload(configuration, rows, sockets)
            except BaseException:
                if self._whole:
                    self.board.set_reloaded(False)
                raise
            if self._whole:
                self.board.set_reloaded(True, time.time())
            return told

    async def _reload(
        self, configuration: Configuration, rows: RowNumbers | None, sockets: Sequence[Sequence[socket.socket]] | None
    ) -> list[str]:
        self._check_serves()
        configuration, kept = until_restart(self.configuration, configuration)
        told = [str(change) for change in changes(self.configuration, configuration) if change.path != NO_EFFECT]
        generation = self.board.generation(self.board.slot) + 1
        if self._all_rows is not None:
            rows = self._all_rows.assign(row_names(configuration), generation)
        elif rows is None:
            raise ConfigurationError("a reload of a balancer with a board needs rows")
        rows.check(self.board)
        runtime = self._runtime
        if self._embedded is not None:  # first, for a plan looks for its keys there
            self._embedded.make_room(issuer_instances(configuration, rows.issuers))
        plan = await runtime.plan(configuration, rows, sockets)
        try:
            if self._embedded is not None:
                await self._embedded.reload(plan.instances)
            if self._checks is not None:
                self._checks.use(plan.configuration, plan.rows)
            await runtime.keys.wait(plan.new_sources, NEW_KEYS)
            await self._first_checks.wait(plan.configuration, plan.rows)
            self._check_serves()
            self._use(plan)
        except BaseException:
            runtime.give_up(plan)
            if self._embedded is not None:
                await self._embedded.reload(runtime.instances)
            if self._checks is not None:
                self._checks.use(self.configuration, self._rows)
            raise
        if self._whole:
            self.board.set_generation(generation)
            self.board.configuration_hash = configuration.fingerprint
        try:
            await runtime.listeners.accept()
        except OSError as error:
            log.error("cannot accept on a new listener: %s; trying again every second", cause_of(error))
        return told + ([f"needs a restart: {', '.join(kept)}"] if kept else [])

    def _check_serves(self) -> None:
        if not self._serves:
            raise ConfigurationError("no reload: this balancer has not started, or it is ending")

    def _use(self, plan: Plan) -> None:
        """Put a plan into force, and tell everybody who shows or watches what is in force."""
        configuration = plan.configuration
        self._runtime.use(plan)
        self.configuration, self._rows = configuration, plan.rows
        self._periodic.every(expiry_interval(configuration), self._runtime.expire)
        if self._admin is not None:
            self._admin.use(configuration, plan.rows)
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
            configuration,
            self.board,
            self._admin_sockets,
            self._rows,
            offenders=self._offenders,
            sources=self._embedded.describe if self._embedded is not None else dict,
            revocations=self._store,
            on_revoked=lambda: self._revoked(True),
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
        while context.clients and loop.time() < deadline:
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
