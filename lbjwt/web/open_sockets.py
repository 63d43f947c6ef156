"""
WebSockets of an application, which end when their token does: expired, revoked, or its key withdrawn. The balancer ends its streams by the same rule.

One task looks at all of them. The server tells the application that its WebSocket is closed, as if the client had left.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from lbjwt._grants import Grant
    from lbjwt.auth.verifier import Verifier

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LOOK: Final = 1.0
"""Seconds between two looks at the tokens: one lookup in the token cache for each WebSocket."""

POLICY_VIOLATION: Final = 1008
"""Close code (RFC 6455 section 7.4.1)."""


class OpenSocket:
    """
    One WebSocket that was let through.

    Args:
        grace: Seconds for which it outlives the expiry of its token.
    """

    def __init__(self, receive: Receive, send: Send, grant: Grant, grace: float) -> None:
        self.grant = grant
        self.grace = grace
        self._receive = receive
        self._send = send
        self._is_ended = False

    async def receive(self) -> Message:
        """What the application calls. Once the WebSocket was ended, what its client still sends does not reach the application."""
        message = await self._receive()
        if self._is_ended and message["type"] == "websocket.receive":
            return {"type": "websocket.disconnect", "code": POLICY_VIOLATION, "reason": ""}
        return message

    async def send(self, message: Message) -> None:
        """What the application calls. OSError once the WebSocket was ended, as the ASGI specification asks for one that the client left."""
        if self._is_ended:
            raise OSError("the token of this WebSocket is no longer valid")
        await self._send(message)

    async def end(self) -> None:
        self._is_ended = True
        with contextlib.suppress(Exception):  # it is closed already, or was never accepted: then nothing is left to end
            await self._send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""})


class OpenSockets:
    """The WebSockets of one middleware."""

    def __init__(self, verifier: Verifier, look: float = LOOK, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._gate = verifier.gate
        self._look = look
        self._open: set[OpenSocket] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def entered(self, socket: OpenSocket) -> Iterator[None]:
        """Look after a WebSocket in this block."""
        self._open.add(socket)
        if self._task is None or self._task.done() or self._task.get_loop() is not asyncio.get_running_loop():
            self._task = asyncio.create_task(self._watch(), name="tokens of WebSockets")
        try:
            yield
        finally:
            self._open.discard(socket)

    async def _watch(self) -> None:
        while self._open:
            await asyncio.sleep(self._look)
            now = self._clock()
            ended = [one for one in self._open if not self._stands(one, now)]
            self._open.difference_update(ended)
            for one in ended:  # each by itself: a client that reads slowly must not hold up the others
                task = asyncio.create_task(one.end())
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)

    def _stands(self, socket: OpenSocket, now: float) -> bool:
        grant = socket.grant
        at = now if now < grant.valid_until else max(now - socket.grace, grant.valid_from)
        return self._gate.verify(grant.token, at)[0] is not None
