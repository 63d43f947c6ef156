"""
One worker process: a uvloop loop with a `LoadBalancer` in it, and the signals of the supervisor.

SIGTERM drains, however often it comes: an init system signals the whole group, and the supervisor passes the signal on. SIGUSR2 ends at once,
SIGUSR1 reopens the access log. When the supervisor dies, the worker drains too: nobody would replace it or pass a signal on.
"""

import asyncio
import contextlib
import logging
import os
import signal

import uvloop

from lbjwt.errors import LbjwtError
from lbjwt.observe._access_log import AccessLog
from lbjwt.process.exits import FAILED, OK, WRONG_CONFIGURATION
from lbjwt.process.loop import freeze, parent_gone, unless_stopped
from lbjwt.process.shared import Shared
from lbjwt.process.wakeups import WorkerLink
from lbjwt.service import LoadBalancer

log = logging.getLogger("lbjwt.worker")


def main(shared: Shared, slot: int) -> int:
    """Serve on the sockets of `slot` until told to stop; return the exit code."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Worker(shared, slot).run())


class _Worker:
    def __init__(self, shared: Shared, slot: int) -> None:
        self._shared = shared
        self._slot = slot
        self._access_log: AccessLog | None = None
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGUSR2, self._end_now)
        loop.add_signal_handler(signal.SIGUSR1, self._reopen)
        watch = loop.create_task(self._watch_parent(os.getppid()))
        configuration = self._shared.configuration
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(watch.cancel)
            try:
                if configuration.access_log is not None:
                    self._access_log = AccessLog(configuration.access_log.path, self._shared.board)
                    stack.callback(self._access_log.close)
                shared = self._shared
                keeper = None
                if shared.wakeups is not None and shared.feed is not None:
                    keeper = WorkerLink(shared.wakeups, self._slot, shared.directory, shared.feed)
                balancer = LoadBalancer(
                    configuration,
                    sockets=shared.bindings.slots[self._slot],
                    board=shared.board,
                    access_log=self._access_log,
                    offenders=shared.offenders,
                    keeper=keeper,
                )
                stack.push_async_callback(balancer.stop)
                started = await unless_stopped(balancer.start(), self._stop)
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
                await unless_stopped(balancer.drain(), self._hurry)
        return OK

    def _end_now(self) -> None:
        self._stop.set()
        self._hurry.set()

    def _reopen(self) -> None:
        if self._access_log is None:
            return
        try:
            self._access_log.reopen()
        except OSError as error:
            log.error("cannot reopen the access log, the old file stays in use: %s", error.strerror)

    async def _watch_parent(self, parent: int) -> None:
        await parent_gone(parent)
        log.error("the supervisor is gone: draining")
        self._stop.set()
