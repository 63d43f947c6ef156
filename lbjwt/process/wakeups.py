"""
How processes notify each other: one eventfd(2) for each worker and one for the control process, made before the fork.

A notification does not say what is new: the receiver checks files, feed and board. Several may become one, none is lost while a process is
replaced, and sending never blocks.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from lbjwt.keys.feed import KeyFeed


class Wakeups:
    """The eventfds of a service."""

    def __init__(self, workers: int) -> None:
        self._fds = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(workers + 1)]

    @property
    def control_fd(self) -> int:
        return self._fds[-1]

    def worker_fd(self, slot: int) -> int:
        return self._fds[:-1][slot]

    def notify_control(self) -> None:
        _notify(self._fds[-1])

    def notify_workers(self) -> None:
        for fd in self._fds[:-1]:
            _notify(fd)

    @staticmethod
    def take(fd: int) -> bool:
        """Return whether there was a notification since the last call."""
        try:
            return os.eventfd_read(fd) > 0
        except BlockingIOError:
            return False

    def listen(self, loop: asyncio.AbstractEventLoop, fd: int, notified: Callable[[], None]) -> None:
        """Call `notified` in the loop after every notification, earlier ones included. `loop.remove_reader(fd)` ends it."""

        def look() -> None:
            if self.take(fd):
                notified()

        loop.add_reader(fd, look)

    def close(self) -> None:
        fds, self._fds = self._fds, []
        for fd in fds:
            os.close(fd)


class WorkerLink:
    """The `lbjwt.keys.source.ControlLink` of one worker."""

    def __init__(self, wakeups: Wakeups, slot: int, directory: Path | None, feed: KeyFeed) -> None:
        self.directory = directory
        self.feed = feed
        self._wakeups = wakeups
        self._fd = wakeups.worker_fd(slot)

    def notify(self) -> None:
        self._wakeups.notify_control()

    def listen(self, notified: Callable[[], None]) -> None:
        self._wakeups.listen(asyncio.get_running_loop(), self._fd, notified)

    def ignore(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)


def _notify(fd: int) -> None:
    with contextlib.suppress(BlockingIOError):  # the counter is full: it is readable already
        os.eventfd_write(fd, 1)
