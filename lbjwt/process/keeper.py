"""
The control process, called keeper in logs and process lists: everything a service has once, not once a worker: fetching remote keys, the
revocations, the admin API.

It is forked like a worker and replaced like one, and its death loses nothing: what it knows is in the feed, on the board and on disk, and clients of
the admin API wait on a socket of the supervisor. aiohttp is imported here and in no worker.

SIGUSR2 ends it; the supervisor sends that when the workers are gone, so that the admin API answers during a drain. SIGTERM is not meant for it:
an init system signals the whole group. When the supervisor dies, it ends at once: nobody would tell it when the workers are gone.
"""

import asyncio
import contextlib
import logging
import signal
import time
from typing import TYPE_CHECKING

from lbjwt.assembly.fetched_keys import FetchedKeys
from lbjwt.assembly.issuers import issuer_instances
from lbjwt.observe._board import READY
from lbjwt.process.loop import Process
from lbjwt.process.shared import Shared
from lbjwt.revocation.store import RevocationStore

if TYPE_CHECKING:
    from lbjwt.admin.server import AdminServer


def main(shared: Shared) -> int:
    """Keep until told to stop; return the exit code."""
    return _Keeper(shared).run()


class _Keeper(Process):
    log = logging.getLogger("lbjwt.keeper")
    orphaned = "ending"

    def __init__(self, shared: Shared) -> None:
        super().__init__()
        assert shared.wakeups is not None
        self._shared = shared
        self._wakeups = shared.wakeups
        self._store: RevocationStore | None = None
        self._admin: AdminServer | None = None

    def prepare(self, loop: asyncio.AbstractEventLoop) -> None:
        # Imports take their time. Nothing is open yet, so until there is a handler the signal may end the process at once.
        shared, configuration = self._shared, self._shared.configuration
        assert shared.feed is not None
        kept = shared.directory if configuration.state_directory is not None else None
        instances = issuer_instances(configuration)
        self._keys = FetchedKeys(instances, shared.board, shared.feed, kept, self._wakeups.notify_workers)
        if configuration.revocation is not None:
            assert shared.directory is not None
            self._store = RevocationStore(shared.directory, max_entries=configuration.revocation.max_entries)
        if configuration.admin is not None:
            from lbjwt.admin.server import AdminServer

            self._admin = AdminServer(
                configuration,
                shared.board,
                shared.bindings.admin,
                shared.rows,
                offenders=shared.offenders,
                sources=self._keys.describe,
                revocations=self._store,
                on_revoked=self._wakeups.notify_workers,
            )
        loop.add_signal_handler(signal.SIGUSR2, self._stop.set)

    async def start(self, stack: contextlib.AsyncExitStack) -> None:
        stack.push_async_callback(self._keys.stop)
        await self._keys.start()
        if self._store is not None:
            stack.callback(self._store.close)
            self._store.open(time.time())
        # Only now: a notification that came meanwhile, or while there was no control process, is still there.
        loop = asyncio.get_running_loop()
        self._wakeups.listen(loop, self._wakeups.control_fd, self._keys.notified)
        stack.callback(loop.remove_reader, self._wakeups.control_fd)
        if self._admin is not None:
            stack.push_async_callback(self._admin.stop)
            await self._admin.start()
        self._shared.board.set_state(READY)
