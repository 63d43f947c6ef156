"""An issuer's key server in the running event loop: what it answers on each path is the test's to arrange, byte by byte if need be."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def http(body: bytes | str | Mapping[str, Any] = b"", status: int = 200, **fields: str) -> bytes:
    """A whole response; a mapping becomes JSON, an underscore in a field's name a hyphen."""
    if isinstance(body, Mapping):
        body = json.dumps(body)
    content = body.encode() if isinstance(body, str) else body
    length = {} if "transfer_encoding" in fields or status == 304 else {"content_length": str(len(content))}
    lines = [f"HTTP/1.1 {status} X"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in {**length, **fields}.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


class Issuer:
    """
    `async with Issuer() as issuer: issuer.answers["/jwks"] = http({"keys": []})`.

    Attributes:
        answers: Path to what is sent: bytes, or a function that is given the connection. Other paths are 404.
        requests: Path and fields (lower case) of every request, in order.
        down: Connections are reset before anything is read.
        linger: Connections stay open after the answer, until the client closes them.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.down = False
        self.linger = True
        self.uri = ""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def count(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(asked == path for asked, _ in self.requests)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.uri = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        # Up to Python 3.11, asyncio loses a connection that was accepted, and whose transport it makes after the server was closed.
        for _ in range(5):
            await asyncio.sleep(0)
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if not self.down:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *rest = head.strip().split("\r\n")
                path = line.split(" ")[1]
                fields = {name.lower(): value for name, _, value in (field.partition(": ") for field in rest)}
                self.requests.append((path, fields))
                answer = self.answers.get(path, http(status=404))
                if callable(answer):
                    await answer(writer)
                else:
                    writer.write(answer)
                    await writer.drain()
                if self.linger:
                    await reader.read()
        writer.transport.abort() if self.down else writer.close()
