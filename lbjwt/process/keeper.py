"""
The control process, called keeper in process lists and metrics: it fetches remote keys, discovers and checks endpoints, writes
revocations and serves the admin API.

It is forked and replaced like a worker. Its death loses nothing: its state is in the feed, on the board and on disk, and clients of the admin API
wait on a socket of the supervisor. Only this process imports aiohttp.

SIGUSR2 ends it. The supervisor sends that signal after the last worker ended, so the admin API answers during a drain. SIGTERM is ignored, because
an init system sends it to the whole group. When the supervisor dies, the control process ends at once.
"""

import asyncio
import contextlib
import logging
import os
import signal
import time
from typing import TYPE_CHECKING

from lbjwt.assembly.discovered import Discovered
from lbjwt.assembly.discovery import Discovery
from lbjwt.assembly.health import HealthChecks
from lbjwt.assembly.issuers import issuer_instances
from lbjwt.assembly.keys import FetchedKeys
from lbjwt.assembly.revocations import new_store
from lbjwt.observe._board import READY
from lbjwt.process.applying import Applier
from lbjwt.process.generation import Generation
from lbjwt.process.loop import Process
from lbjwt.process.members import MemberUpdates
from lbjwt.process.requests import ReloadRequests
from lbjwt.process.shared import Shared
from lbjwt.upstream.stored_settings import StoredSettings

if TYPE_CHECKING:
    from lbjwt.admin.server import AdminServer
    from lbjwt.revocation.store import RevocationStore


def main(shared: Shared) -> int:
    """Run until told to stop; return the exit code."""
    return _Keeper(shared).run()


class _Keeper(Process):
    log = logging.getLogger("lbjwt.keeper")
    orphaned = "ending"

    def __init__(self, shared: Shared) -> None:
        super().__init__()
        assert shared.wakeups is not None
        self._shared = shared
        self._wakeups = shared.wakeups
        self._requests = ReloadRequests(shared.board, os.getppid())
        self._store: RevocationStore | None = None
        self._admin: AdminServer | None = None
        self._updates: MemberUpdates | None = None
        if shared.channel is not None:
            self._updates = MemberUpdates(shared.channel, shared.board, os.getppid())

    def prepare(self, loop: asyncio.AbstractEventLoop) -> None:
        shared, configuration = self._shared, self._shared.configuration
        assert shared.feed is not None
        kept = shared.directory if configuration.state_directory is not None else None
        instances = issuer_instances(configuration, shared.rows.issuers)
        self._keys = FetchedKeys(instances, shared.board, shared.feed, kept, self._wakeups.notify_workers)
        self._checks = HealthChecks(shared.board, self._wakeups.notify_workers)
        self._store = new_store(configuration, shared.directory)
        self._discovery = Discovery(configuration, shared.discovered or Discovered(), self._publish, kept)
        if configuration.admin is not None:
            from lbjwt.admin.server import AdminServer

            stored = StoredSettings(shared.board.endpoint_states)
            stored.open(kept)
            self._admin = AdminServer(
                shared.in_force,
                shared.board,
                shared.bindings.admin,
                shared.rows,
                offenders=shared.offenders,
                sources=self._keys.describe,
                revocations=self._store,
                on_revoked=self._wakeups.notify_workers,
                reload=self._requests.reload,
                discovery=self._discovery,
                on_endpoint_change=self._endpoint_changed,
                stored=stored,
                check_failure=self._checks.failure,
            )
        if shared.files >= 0:
            os.close(shared.files)  # private keys, which only workers need
        loop.add_signal_handler(signal.SIGUSR2, self._stop.set)

    async def start(self, stack: contextlib.AsyncExitStack) -> None:
        stack.push_async_callback(self._keys.stop)
        await self._keys.start()
        stack.push_async_callback(self._checks.stop)
        self._checks.use(self._shared.in_force, self._shared.rows, at_start=True)
        if self._store is not None:
            stack.callback(self._store.close)
            self._store.open(time.time())
        # A notification from before is still there.
        loop = asyncio.get_running_loop()
        self._wakeups.listen(loop, self._wakeups.control_fd, self._keys.notified)
        stack.callback(loop.remove_reader, self._wakeups.control_fd)
        if self._admin is not None:
            stack.push_async_callback(self._admin.stop)
            await self._admin.start()
        shared = self._shared
        if shared.channel is not None:
            applier = Applier(shared.channel, shared.board, shared.feed, self._apply, self.log, self._answered)
            stack.push_async_callback(applier.stop)
            applier.start()
        stack.push_async_callback(self._discovery.stop)
        await self._discovery.start()
        self._shared.board.set_state(READY)

    def _endpoint_changed(self) -> None:
        """An endpoint was taken out of service or came back: readiness and the workers follow."""
        self._checks.look()
        self._wakeups.notify_workers()

    async def _apply(self, generation: Generation) -> None:
        """Fetch the keys of another configuration from now on, discover and check its endpoints, and show it at the admin API."""
        shared, configuration = self._shared, generation.configuration
        if configuration is not None:
            await self._keys.reload(issuer_instances(configuration, generation.rows.issuers))
            shared.configuration = configuration
        shared.discovered, shared.rows = generation.discovered, generation.rows
        if configuration is not None:
            self._discovery.use(configuration)
        self._checks.use(shared.in_force, shared.rows)
        if self._admin is not None:
            self._admin.use(shared.in_force, shared.rows)

    async def _publish(self, discovered: Discovered) -> None:
        if self._updates is not None:
            await self._updates.publish(discovered)

    def _answered(self, kind: str, body: bytes) -> None:
        self._requests.answered(kind, body)
        if self._updates is not None:
            self._updates.answered(kind, body)
