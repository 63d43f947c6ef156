"""Signals as bytes in a pipe, so that one poll waits for all of them."""

import os
import select
import signal
from collections.abc import Iterable
from types import FrameType

__all__ = ["SignalPipe"]


class SignalPipe:
    """
    A context manager that catches signals. Python's handlers do nothing; the C level writes the number.

    Args:
        numbers: What to catch; when the context ends, each is handled as before.
    """

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._numbers = tuple(numbers)
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> "SignalPipe":
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in self._numbers:
            self._before[number] = signal.signal(number, _nothing)
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()
        self.leave()

    def _restore(self) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)  # type: ignore[arg-type]

    def wait(self, seconds: float) -> bytes:
        """Return the numbers of the signals that came, at the latest after `seconds`."""
        if self._poll.poll(None if seconds == float("inf") else int(seconds * 1000) + 1):
            return os.read(self._reader, 4096)
        return b""

    def leave(self) -> None:
        """Close the pipe; in a child, whose signals are its own."""
        os.close(self._reader)
        os.close(self._writer)


def _nothing(number: int, frame: FrameType | None) -> None:
    """The wakeup descriptor tells what came."""
