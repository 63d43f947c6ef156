"""
One worker process: a uvloop loop with a `LoadBalancer` in it, the admin door, and the signals of the supervisor.

SIGTERM drains, however often it comes: an init system signals the whole group, and the supervisor passes the signal on. SIGUSR2 ends at once,
SIGUSR1 reopens the access log. When the supervisor dies, the worker drains too: nobody would replace it or pass a signal on.
"""

import asyncio
import contextlib
import gc
import importlib
import logging
import os
import signal
from collections.abc import Coroutine
from typing import Any, Final

import uvloop

from lbjwt.config.model import Configuration
from lbjwt.errors import LbjwtError
from lbjwt.observe._access_log import AccessLog
from lbjwt.observe._board import Board
from lbjwt.process.bindings import Bindings
from lbjwt.process.exits import FAILED, OK, WRONG_CONFIGURATION
from lbjwt.service import LoadBalancer

__all__ = ["main", "preload"]

PARENT_CHECK: Final = 0.5
"""Seconds between two looks whether the supervisor still lives; the kernel's signal normally tells at once."""

COLLECT_AFTER: Final = 50_000
"""New container objects before the collector looks for cycles. Connections break theirs when they close, so there is next to nothing to find."""

log = logging.getLogger("lbjwt.worker")


def preload(configuration: Configuration) -> None:
    """Import what a worker of this configuration needs, in the supervisor: workers then share that memory and start in a fraction of the time."""
    if configuration.admin is not None:
        importlib.import_module("lbjwt.admin.server")
    if any(issuer.remote_jwks is not None for issuer in configuration.issuers.values()):
        importlib.import_module("lbjwt.jwks.fetch")


def main(configuration: Configuration, slot: int, bindings: Bindings, board: Board) -> int:
    """Serve on the sockets of `slot` until told to stop; return the exit code."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Worker(configuration, slot, bindings, board).run())


class _Worker:
    def __init__(self, configuration: Configuration, slot: int, bindings: Bindings, board: Board) -> None:
        self._configuration = configuration
        self._slot = slot
        self._bindings = bindings
        self._board = board
        self._access_log: AccessLog | None = None
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGUSR2, self._end_now)
        loop.add_signal_handler(signal.SIGUSR1, self._reopen)
        watch = loop.create_task(self._watch_parent(os.getppid()))
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(watch.cancel)
            if self._configuration.admin is not None:
                from lbjwt.admin.server import AdminServer  # aiohttp's server is imported only when the door is wanted

                # Before the balancer: while the keys are being fetched, /livez answers and /readyz says no.
                admin = AdminServer(self._configuration, self._board, self._bindings.admin)
                await admin.start()
                stack.push_async_callback(admin.stop)
            try:
                if self._configuration.access_log is not None:
                    self._access_log = AccessLog(self._configuration.access_log.path, self._board)
                    stack.callback(self._access_log.close)
                balancer = LoadBalancer(
                    self._configuration,
                    sockets=self._bindings.slots[self._slot],
                    board=self._board,
                    access_log=self._access_log,
                )
                stack.push_async_callback(balancer.stop)
                started = await self._unless_stopped(balancer.start(), self._stop)
            except LbjwtError as error:
                log.error("%s", error)
                return WRONG_CONFIGURATION
            except OSError as error:
                log.error(
                    "cannot start: %s", f"{error.filename}: {error.strerror}" if error.filename else error.strerror
                )
                return FAILED
            if started:
                gc.collect()
                gc.freeze()  # what the start made lives for ever: the collector need not walk it
                gc.set_threshold(COLLECT_AFTER, 20, 100)
                await self._stop.wait()
                await self._unless_stopped(balancer.drain(), self._hurry)
        return OK

    async def _unless_stopped(self, work: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
        """Await `work`, or give it up when `stop` is set. True when it was done."""
        task = asyncio.ensure_future(work)
        waiter = asyncio.ensure_future(stop.wait())
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            return False
        task.result()
        return True

    def _end_now(self) -> None:
        self._stop.set()
        self._hurry.set()

    def _reopen(self) -> None:
        if self._access_log is None:
            return
        try:
            self._access_log.reopen()
        except OSError as error:
            log.error("the access log cannot be reopened, the old file stays in use: %s", error.strerror)

    async def _watch_parent(self, parent: int) -> None:
        while os.getppid() == parent:
            await asyncio.sleep(PARENT_CHECK)
        log.error("the supervisor is gone: draining")
        self._stop.set()
