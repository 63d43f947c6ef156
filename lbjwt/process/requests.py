"""
How the control process asks for a reload: it counts the request on the shared stats, sends SIGHUP to the supervisor and waits for an answer to this
or a later request in its channel. Requests that come together are answered together.
"""

import asyncio
import json
import os
import signal
from typing import Any, Final

from lbjwt.observe._board import Board
from lbjwt.process.generation import RELOADED

LIMIT: Final = 30.0
"""Seconds to wait for an answer: reading may take 10, applying 5, and another reload may have to end first."""


class ReloadRequests:
    """
    The requests of one control process.

    Args:
        supervisor: Its process id.
    """

    def __init__(self, board: Board, supervisor: int) -> None:
        self._board = board
        self._supervisor = supervisor
        self._waiting: dict[asyncio.Future[dict[str, Any]], int] = {}

    async def reload(self) -> dict[str, Any]:
        """
        Have the configuration read again; return what became of it, as `lbjwt.process.reload.Outcome` has it, with `ok`.

        Raises:
            TimeoutError: No answer came, or the supervisor is gone.
        """
        if os.getppid() != self._supervisor:
            raise TimeoutError
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[future] = self._board.request_reload()
        try:
            os.kill(self._supervisor, signal.SIGHUP)
            async with asyncio.timeout(LIMIT):
                return await future
        finally:
            del self._waiting[future]

    def answered(self, kind: str, body: bytes) -> None:
        """A message came out of the channel."""
        if kind != RELOADED or not body:
            return
        answer = json.loads(body)
        for future, number in self._waiting.items():
            if number <= answer["reload"] and not future.done():
                future.set_result(answer)
