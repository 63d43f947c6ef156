"""What a worker has of its keeper: the directory it writes, a way to wake it, and to be woken."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from lbjwt.process.wakeups import Wakeups

__all__ = ["WorkerLink"]


class WorkerLink:
    """
    The link of one worker; see `lbjwt.assembly.keys.KeeperLink`.

    Args:
        slot: Of the worker.
        directory: Of state.
    """

    def __init__(self, wakeups: Wakeups, slot: int, directory: Path) -> None:
        self.directory = directory
        self._wakeups = wakeups
        self._fd = wakeups.worker_fd(slot)

    def poke(self) -> None:
        """Make the keeper look at the board."""
        self._wakeups.poke_keeper()

    def listen(self, poked: Callable[[], None]) -> None:
        """Call `poked` in the running loop whenever the keeper has something new."""
        self._wakeups.listen(asyncio.get_running_loop(), self._fd, poked)

    def ignore(self) -> None:
        """End that."""
        asyncio.get_running_loop().remove_reader(self._fd)
