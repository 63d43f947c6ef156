"""
One worker process: a uvloop loop with a `LoadBalancer` in it, the signals of the supervisor, and the configurations that it sends.

SIGTERM starts the drain; a second one changes nothing, because an init system signals the whole group and the supervisor passes the signal on.
SIGUSR2 ends at once, SIGUSR1 reopens the access log. When the supervisor dies, the worker drains.
"""

import asyncio
import contextlib
import logging
import os
import signal

from lbjwt.assembly.kept_files import KeptFiles
from lbjwt.process.applying import Applier
from lbjwt.process.channel import Channel
from lbjwt.process.files import LOOK, FileReports, kept_files
from lbjwt.process.generation import Generation
from lbjwt.process.loop import Process, unless_stopped
from lbjwt.process.shared import Shared
from lbjwt.process.wakeups import WorkerLink
from lbjwt.service import REPLACED_GRACE, LoadBalancer


def main(shared: Shared, slot: int) -> int:
    """Serve on the sockets of `slot` until told to stop; return the exit code."""
    return _Worker(shared, slot).run()


class _Worker(Process):
    log = logging.getLogger("lbjwt.worker")
    orphaned = "draining"

    def __init__(self, shared: Shared, slot: int) -> None:
        super().__init__()
        self._shared = shared
        self._slot = slot
        self._supervisor = os.getppid()
        self._balancer: LoadBalancer | None = None
        self._hurry = asyncio.Event()

    def prepare(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGUSR2, self._end_now)
        loop.add_signal_handler(signal.SIGUSR1, self._reopen)

    async def start(self, stack: contextlib.AsyncExitStack) -> None:
        shared = self._shared
        keeper = None
        if shared.wakeups is not None and shared.feed is not None:
            keeper = WorkerLink(shared.wakeups, self._slot, shared.directory, shared.feed)
        kept = kept_files(shared.files)
        balancer = self._balancer = LoadBalancer(
            shared.configuration,
            sockets=shared.bindings.accepting(self._slot),
            board=shared.board,
            rows=shared.rows,
            offenders=shared.offenders,
            keeper=keeper,
            discovered=shared.discovered,
            kept_files=kept,
        )
        stack.push_async_callback(balancer.stop)
        if shared.channel is None:
            await balancer.start()
            stack.push_async_callback(self._drain, balancer)
            return
        applier = Applier(shared.channel, shared.board, shared.feed, self._apply, self.log)
        try:
            await balancer.start(before_accept=applier.catch_up)
        except BaseException:
            await applier.stop()
            raise
        stack.push_async_callback(self._drain, balancer)
        stack.push_async_callback(applier.stop)
        reporting = asyncio.create_task(self._report_files(kept, shared.channel), name="files in force")
        stack.callback(reporting.cancel)

    async def _report_files(self, kept: KeptFiles, channel: Channel) -> None:
        """Hand what the files in force hold to the supervisor, for a worker that takes the place of one that died."""
        reports = FileReports(channel, self._supervisor)
        while True:
            reports.report(kept.in_force())
            await asyncio.sleep(LOOK)

    async def _apply(self, generation: Generation) -> None:
        """Put a configuration into force, or other members of its clusters."""
        balancer = self._balancer
        assert balancer is not None
        if generation.configuration is None:
            assert generation.discovered is not None
            await balancer.discover(generation.discovered, generation.rows)
            return
        await balancer.reload(
            generation.configuration,
            rows=generation.rows,
            sockets=generation.sockets,
            discovered=generation.discovered,
        )
        generation.sockets = []  # the balancer has those that it needs, and closed the others

    async def _drain(self, balancer: LoadBalancer) -> None:
        if self._shared.board.handed_over:
            drain = balancer.drain(lame_duck=False, idle_grace=REPLACED_GRACE)
        else:
            drain = balancer.drain(lame_duck=not self.orphan)  # of an orphan the next supervisor may want the port
        await unless_stopped(drain, self._hurry)

    def _end_now(self) -> None:
        self._stop.set()
        self._hurry.set()

    def _reopen(self) -> None:
        if self._balancer is None:
            return
        try:
            self._balancer.reopen_access_log()
        except OSError as error:
            self.log.error("cannot reopen the access log, the old file stays in use: %s", error.strerror)
