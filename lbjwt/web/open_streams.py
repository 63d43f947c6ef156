"""
WebSockets and responses of an application that last longer than a moment. They end when their token does: expired, revoked, or its key withdrawn. The
balancer ends its streams by the same rule.

One task looks at all of them. A WebSocket is closed with a code, and the server tells the application that it is, as if the client had left. The
application of a response is cancelled. A stream of events then ends as one that is complete, for its last event is: the client asks again, and is
refused. Any other response is broken off, so that nobody takes the half of it for the whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from lbjwt._grants import Grant
    from lbjwt.auth.verifier import Verifier

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LOOK: Final = 1.0
"""Seconds between two looks at the tokens: one lookup in the token cache for each stream."""

POLICY_VIOLATION: Final = 1008
"""Close code (RFC 6455 section 7.4.1)."""

ENDED: Final = "the token of this request is no longer valid"


class OpenStream(Protocol):
    """What was let through and goes on."""

    grant: Grant
    grace: float
    """Seconds for which it outlives the expiry of its token."""

    async def end(self) -> None:
        """Its token is no longer valid."""


class OpenSocket:
    """One WebSocket that was let through."""

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


class OpenStreams:
    """The streams of one middleware."""

    def __init__(self, verifier: Verifier, look: float = LOOK, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._verifier = verifier
        self._look = look
        self._open: set[OpenStream] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def entered(self, stream: OpenStream) -> Iterator[None]:
        """Look after a stream in this block."""
        self.add(stream)
        try:
            yield
        finally:
            self.discard(stream)

    def add(self, stream: OpenStream) -> None:
        """Look after a stream from now on."""
        self._open.add(stream)
        if self._task is None or self._task.done() or self._task.get_loop() is not asyncio.get_running_loop():
            self._task = asyncio.create_task(self._watch(), name="tokens of open streams")

    def discard(self, stream: OpenStream) -> None:
        """It has ended."""
        self._open.discard(stream)

    async def _watch(self) -> None:
        while self._open:
            await asyncio.sleep(self._look)
            now = self._clock()
            ended = [one for one in self._open if not stands(self._verifier, one.grant, one.grace, now)]
            self._open.difference_update(ended)
            for one in ended:  # each by itself: a client that reads slowly must not hold up the others
                task = asyncio.create_task(one.end())
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)


def stands(verifier: Verifier, grant: Grant, grace: float, now: float) -> bool:
    """Whether a stream may go on that was let through with this token. now: seconds since the epoch."""
    at = now if now < grant.valid_until else max(now - grace, grant.valid_from)
    return verifier.gate.verify(grant.token, at)[0] is not None


def has_events(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a response is a stream of events (text/event-stream), whose client reads each by itself and asks again at the end."""
    return any(
        name.lower() == b"content-type" and value.split(b";")[0].strip().lower() == b"text/event-stream"
        for name, value in headers
    )
