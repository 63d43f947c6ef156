"""
Open sockets that the loop takes over at once.

libuv runs what was put off (tasks, callbacks, timers) only after it has polled up to 48 times for 1,024 events each, and it accepts one connection
each time it polls. With some thousand busy connections such a turn takes half a second and more: a task that connects needs four turns, and
clients are accepted at some 20 a second. A coroutine of the loop that takes over a socket is therefore driven by hand here: it waits for one
future, and one turn is enough.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

BURST = 1024
"""Connections accepted in one go at most, so that open ones do not wait long."""


def take_over(coroutine: Coroutine[Any, Any, Any], done: Callable[[Exception | None], None]) -> None:
    """
    Run `create_connection` or `connect_accepted_socket` with an open socket.

    Args:
        coroutine: What the loop returned.
        done: Called once the protocol knows its transport, or with the error that prevented it.
    """

    def go_on(_: object) -> None:
        try:
            waiter: asyncio.Future[Any] = coroutine.send(None)
        except StopIteration:
            done(None)
        except Exception as error:
            done(error)
        else:
            waiter.add_done_callback(go_on)

    go_on(None)


def accept_waiting(
    loop: asyncio.AbstractEventLoop, listener: socket.socket, protocol: Callable[[], asyncio.BaseProtocol]
) -> None:
    """Accept the connections that wait at a non-blocking listener, beside the one that the loop accepts itself."""
    for _ in range(BURST):
        try:
            connection, _ = listener.accept()
        except OSError:  # none is left, or no descriptor; the loop meets the same error and deals with it
            return
        take_over(loop.connect_accepted_socket(protocol, connection), lambda error: None)
