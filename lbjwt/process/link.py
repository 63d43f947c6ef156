"""What a worker has of the control process: what it writes, a way to notify it, and to be notified."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from lbjwt.keys.feed import KeyFeed
from lbjwt.process.wakeups import Wakeups


class WorkerLink:
    """
    The link of one worker; see `lbjwt.keys.worker.ControlLink`.

    Args:
        slot: Of the worker.
        directory: Of state.
        feed: Of the key sets that are fetched.
    """

    def __init__(self, wakeups: Wakeups, slot: int, directory: Path | None, feed: KeyFeed) -> None:
        self.directory = directory
        self.feed = feed
        self._wakeups = wakeups
        self._fd = wakeups.worker_fd(slot)

    def notify(self) -> None:
        """Make the control process look at the board."""
        self._wakeups.notify_control()

    def listen(self, notified: Callable[[], None]) -> None:
        """Call `notified` in the running loop whenever the control process has something new."""
        self._wakeups.listen(asyncio.get_running_loop(), self._fd, notified)

    def ignore(self) -> None:
        """End that."""
        asyncio.get_running_loop().remove_reader(self._fd)
