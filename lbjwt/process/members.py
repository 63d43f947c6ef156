"""
How the control process hands what it discovered to the supervisor, which hands it to all children: a message in the channel of the control process,
and SIGURG, which wakes the supervisor and does nothing to a process that does not expect it. The supervisor answers in the same channel with the
generation that it made of it.
"""

import asyncio
import json
import logging
import os
import signal
from collections.abc import Callable
from typing import Final

from lbjwt.assembly.discovered import Discovered
from lbjwt.assembly.discovery import NotHandedOut
from lbjwt.errors import ConfigurationError, cause_of
from lbjwt.observe._board import READY, Board
from lbjwt.process.channel import Channel, read_memory, sealed_memory

DISCOVERED: Final = "discovered"
"""Kind of the message of the control process, and of the answer."""

WAKE: Final = signal.SIGURG

ANSWER_LIMIT: Final = 10.0
"""Seconds for the supervisor to answer; it does within a millisecond, unless the machine is out of breath."""

APPLY_LIMIT: Final = 5.0
"""Seconds for the workers to apply new members. One that hangs applies them when it can."""

LOOK: Final = 0.01
"""Seconds between two looks at the shared stats meanwhile."""

log = logging.getLogger("lbjwt.supervisor")


class MemberUpdates:
    """The side of the control process."""

    def __init__(self, channel: Channel, board: Board, supervisor: int) -> None:
        self._channel = channel
        self._board = board
        self._supervisor = supervisor
        self._sent = 0
        self._waiting: dict[int, asyncio.Future[int]] = {}

    async def publish(self, discovered: Discovered) -> None:
        """
        Hand it over, and wait until the workers have applied it.

        Raises:
            NotHandedOut: The supervisor did not answer or has no room for it, or a process could not apply it.
        """
        self._sent += 1
        future = self._waiting[self._sent] = asyncio.get_running_loop().create_future()
        try:
            self._send(self._sent, discovered)
            async with asyncio.timeout(ANSWER_LIMIT):
                generation = await future
        except TimeoutError:
            raise NotHandedOut("the supervisor did not answer") from None
        finally:
            self._waiting.clear()
        await self._applied(generation)

    def _send(self, number: int, discovered: Discovered) -> None:
        if os.getppid() != self._supervisor:
            raise NotHandedOut("the supervisor is gone")
        try:
            body = sealed_memory(discovered.encoded())
        except OSError as error:
            raise NotHandedOut(cause_of(error)) from None
        try:
            if not self._channel.send(DISCOVERED, {"version": number}, body=body):
                raise NotHandedOut("the supervisor takes nothing at the moment")
        finally:
            os.close(body)
        os.kill(self._supervisor, WAKE)

    async def _applied(self, generation: int) -> None:
        board = self._board
        until = asyncio.get_running_loop().time() + APPLY_LIMIT
        while asyncio.get_running_loop().time() < until:
            living = [board.keeper, *(slot for slot in range(board.workers) if board.state(slot) == READY)]
            if all(max(board.generation(slot), board.failed_generation(slot)) >= generation for slot in living):
                if any(board.generation(slot) < generation for slot in living):
                    raise NotHandedOut("a process could not apply them; its log says why")
                return
            await asyncio.sleep(LOOK)

    def answered(self, kind: str, body: bytes) -> None:
        """A message came out of the channel."""
        if kind != DISCOVERED or not body:
            return
        answer = json.loads(body)
        future = self._waiting.get(answer["version"])
        if future is None or future.done():
            return
        if answer["problem"]:
            future.set_exception(NotHandedOut(answer["problem"]))
        else:
            future.set_result(answer["generation"])


def take(channel: Channel, discover: Callable[[Discovered], int]) -> bool:
    """
    In the supervisor: take what the control process sent, put it into force and answer. True when there was something.

    Args:
        discover: Puts it into force and returns the generation, see `Deliveries.discover`.
    """
    came = False
    while True:
        try:
            message = channel.receive()
        except EOFError:
            return came
        if message is None:
            return came
        try:
            if message.kind == DISCOVERED and message.whole and message.body >= 0:
                came = True
                _answer(channel, message.facts["version"], *_put_into_force(read_memory(message.body), discover))
        finally:
            message.close()


def _put_into_force(text: bytes, discover: Callable[[Discovered], int]) -> tuple[int, str]:
    """The generation that it has become, and why it has not become one."""
    try:
        return discover(Discovered.decoded(text)), ""
    except ConfigurationError as error:
        return 0, str(error)
    except OSError as error:
        return 0, cause_of(error)
    except ValueError:
        return 0, "the supervisor could not read it, which is a fault of lbjwt worth reporting"


def _answer(channel: Channel, version: int, generation: int, problem: str) -> None:
    try:
        body = sealed_memory(json.dumps({"version": version, "generation": generation, "problem": problem}).encode())
    except OSError:
        return  # the control process tries again
    channel.send(DISCOVERED, {}, body=body)
    os.close(body)
