"""
How processes wake each other: one eventfd(2) for each worker and one for the keeper, made before the fork.

A poke says "look", never what at: who is woken looks at its files and at the board, and reads again what moved. Pokes that come before somebody
looks are one poke, none is lost while a process is being replaced, and one to a process that does not look blocks nobody.
"""

import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

__all__ = ["Wakeups"]


class Wakeups:
    """
    The eventfds of a service.

    Args:
        workers: Slots.
    """

    def __init__(self, workers: int) -> None:
        self._fds = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(workers + 1)]

    @property
    def keeper_fd(self) -> int:
        """Readable when the keeper was poked."""
        return self._fds[-1]

    def worker_fd(self, slot: int) -> int:
        """Readable when the worker of that slot was poked."""
        return self._fds[:-1][slot]

    def poke_keeper(self) -> None:
        """Make the keeper look at the board."""
        _poke(self._fds[-1])

    def poke_workers(self) -> None:
        """Make all workers look at the board."""
        for fd in self._fds[:-1]:
            _poke(fd)

    @staticmethod
    def take(fd: int) -> bool:
        """Return whether there was a poke since the last look, and forget it."""
        try:
            return os.eventfd_read(fd) > 0
        except BlockingIOError:
            return False

    def listen(self, loop: "asyncio.AbstractEventLoop", fd: int, poked: Callable[[], None]) -> None:
        """Call `poked` in the loop after every poke, also after one that came before. `loop.remove_reader(fd)` ends it."""

        def look() -> None:
            if self.take(fd):
                poked()

        loop.add_reader(fd, look)

    def close(self) -> None:
        """Give the descriptors of this process back."""
        fds, self._fds = self._fds, []
        for fd in fds:
            os.close(fd)


def _poke(fd: int) -> None:
    with contextlib.suppress(BlockingIOError):  # 2^64 pokes that nobody looked at: one more changes nothing
        os.eventfd_write(fd, 1)
