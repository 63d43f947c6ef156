"""
A child's side of a reload: takes configurations out of its channel and applies them, one at a time, of several only the last.

Whether that went well is on the shared stats, where the supervisor looks: the number of the configuration in force, or that of the last one that
could not be applied. Such a one changes nothing, and the log of the process says why.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from lbjwt.errors import LbjwtError, cause_of
from lbjwt.keys.feed import KeyFeed
from lbjwt.net.threads import in_thread
from lbjwt.observe._board import Board
from lbjwt.process.channel import Channel, Message, read_memory
from lbjwt.process.generation import GENERATION, MEMBERS, Delivery, Generation

TURN: Final = 0.0001
"""
Seconds for which a thread that builds a configuration keeps the interpreter while the event loop waits. Each callback of the loop waits for it once,
and a request takes several. Python's own value is 5 ms.
"""


class Applier:
    """
    Applies what comes, in the running loop, until `stop`.

    Args:
        apply: Makes a configuration the one in force, or raises and changes nothing. It takes the sockets that it keeps out of the generation.
        other: Called with the kind and the body of every other message.
    """

    def __init__(
        self,
        channel: Channel,
        board: Board,
        feed: KeyFeed | None,
        apply: Callable[[Generation], Awaitable[object]],
        log: logging.Logger,
        other: Callable[[str, bytes], object] = lambda kind, body: None,
    ) -> None:
        self._channel = channel
        self._board = board
        self._feed = feed
        self._apply = apply
        self._log = log
        self._other = other
        self._next: Delivery | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin with what came since the fork."""
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._readable)

    async def catch_up(self) -> None:
        """`start`, and return when what came since the fork is in force, or could not be applied."""
        self.start()
        self._readable()
        if self._task is not None:
            await asyncio.wait({self._task})

    async def stop(self) -> None:
        """Take no more; what is being applied is given up."""
        asyncio.get_running_loop().remove_reader(self._channel.fileno())
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._next is not None:
            self._next.close()

    def _readable(self) -> None:
        try:
            while (message := self._channel.receive()) is not None:
                self._take(message)
        except EOFError:  # the supervisor is gone, and who watches for that will say so
            asyncio.get_running_loop().remove_reader(self._channel.fileno())

    def _take(self, message: Message) -> None:
        if message.kind not in (GENERATION, MEMBERS):
            body = read_memory(message.body) if message.whole and message.body >= 0 else b""
            message.close()
            self._other(message.kind, body)
            return
        if self._next is not None:
            self._next.close()
        self._next = Delivery.take(message, self._feed)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work(), name="reload")

    async def _work(self) -> None:
        while (delivery := self._next) is not None:
            self._next = None
            number = delivery.number
            try:
                await self._try(delivery)
            except LbjwtError as error:
                self._failed(number, str(error))
            except OSError as error:
                self._failed(number, cause_of(error))
            except Exception:  # a fault of ours: the process goes on with the configuration it has, and says so
                self._log.exception("the new configuration is not applied, the old one stays in force")
                self._board.set_failed_generation(number)
            else:
                self._board.set_generation(number)

    async def _try(self, delivery: Delivery) -> None:
        with contextlib.closing(delivery):
            if not delivery.whole:
                raise LbjwtError("this process cannot open more files; raise the limit (LimitNOFILE=, ulimit -Hn)")
            with _short_turns():
                generation = await in_thread(delivery.unpacked)
        with contextlib.closing(generation), _short_turns():
            await self._apply(generation)

    def _failed(self, number: int, cause: str) -> None:
        self._log.error("the new configuration is not applied, the old one stays in force: %s", cause)
        self._board.set_failed_generation(number)


@contextlib.contextmanager
def _short_turns() -> Iterator[None]:
    """Let a thread that builds a configuration hold the interpreter for `TURN` at a time, so that requests hardly wait for it."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
