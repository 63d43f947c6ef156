"""
The control process, called keeper in logs and process lists: everything a service has once, not once a worker: fetching remote keys, the
revocations, the admin API.

It is forked like a worker and replaced like one, and its death loses nothing: what it knows is in the feed, on the board and on disk, and clients of
the admin API wait on a socket of the supervisor. It runs `Service`s and knows nothing of what they do. aiohttp is imported here and in no worker.

SIGUSR2 ends it; the supervisor sends that when the workers are gone, so that the admin API answers during a drain. SIGTERM is not meant for it:
an init system signals the whole group. When the supervisor dies, it ends at once: nobody would tell it when the workers are gone.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import uvloop

from lbjwt.errors import LbjwtError
from lbjwt.observe._board import READY
from lbjwt.process.exits import FAILED, OK, WRONG_CONFIGURATION
from lbjwt.process.loop import freeze, parent_gone, unless_stopped
from lbjwt.process.services import Service, services
from lbjwt.process.shared import Shared, issuer_names

if TYPE_CHECKING:
    from lbjwt.admin.server import AdminServer

log = logging.getLogger("lbjwt.keeper")


def main(shared: Shared, services: Callable[[Shared], list[Service]] = services) -> int:
    """Keep until told to stop; return the exit code."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Keeper(shared, services).run())


class _Keeper:
    def __init__(self, shared: Shared, make: Callable[[Shared], list[Service]]) -> None:
        self._shared = shared
        self._make = make
        self._services: list[Service] = []
        self._admin: AdminServer | None = None
        self._stop = asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as stack:
            try:
                # Imports take their time. Nothing is open yet, so until there is a handler the signal may end the process at once.
                self._prepare()
                loop.add_signal_handler(signal.SIGUSR2, self._stop.set)
                watch = loop.create_task(self._watch_parent(os.getppid()))
                stack.callback(watch.cancel)
                started = await unless_stopped(self._start(loop, stack), self._stop)
            except LbjwtError as error:
                log.error("%s", error)
                return WRONG_CONFIGURATION
            except OSError as error:
                log.error(
                    "cannot start: %s", f"{error.filename}: {error.strerror}" if error.filename else error.strerror
                )
                return FAILED
            if started:
                freeze()
                await self._stop.wait()
        return OK

    def _prepare(self) -> None:
        """Make services and admin API."""
        shared = self._shared
        self._services = self._make(shared)
        if shared.configuration.admin is not None:
            from lbjwt.admin.server import AdminServer, application

            app = application(
                shared.configuration,
                shared.board,
                issuers=issuer_names(shared.configuration),
                offenders=shared.offenders,
                sources=self._describe,
                extensions=[service.extend for service in self._services],
            )
            self._admin = AdminServer(app, shared.bindings.admin)

    async def _start(self, loop: asyncio.AbstractEventLoop, stack: contextlib.AsyncExitStack) -> None:
        wakeups = self._shared.wakeups
        assert wakeups is not None
        for service in self._services:
            stack.push_async_callback(service.stop)
            await service.start()
        # Only now: a notification that came meanwhile, or while there was no control process, is still there.
        wakeups.listen(loop, wakeups.control_fd, self._notified)
        stack.callback(loop.remove_reader, wakeups.control_fd)
        if self._admin is not None:
            stack.push_async_callback(self._admin.stop)
            await self._admin.start()
        self._shared.board.set_state(READY)

    def _describe(self) -> dict[str, Mapping[str, object]]:
        return {name: words for service in self._services for name, words in service.describe().items()}

    def _notified(self) -> None:
        for service in self._services:
            try:
                service.notified()
            except Exception:  # the others have to look, too
                log.exception("%s failed after a notification", type(service).__name__)

    async def _watch_parent(self, parent: int) -> None:
        await parent_gone(parent)
        log.error("the supervisor is gone: ending")
        self._stop.set()
