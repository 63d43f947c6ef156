"""
The web server of issuers that can be told to misbehave: discovery documents and key sets on loopback, every fetch counted.

Written on bare sockets, so that it can do what no web server offers: a byte a second, a length that is a lie, a reset in the middle.
What it serves is made by `publisher.Issuer`.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from types import TracebackType
from typing import Self

from tests.harness.ports import free_port

DISCOVERY = "/.well-known/openid-configuration"


@dataclass(frozen=True)
class Answer:
    """What one path answers; the default is a good answer with the document of the moment."""

    status: int = 200
    body: bytes | None = None  # None: the document itself
    fields: tuple[str, ...] = ()
    content_type: str = "application/json"
    length: int | None = None  # a Content-Length that differs from the truth
    chunked: bool = False
    wait: float = 0.0  # seconds before the first byte
    pace: float = 0.0  # seconds between two bytes; 0 sends all at once
    hang: bool = False  # never a byte
    reset_at: int | None = None  # RST after so many bytes
    endless: bool = False  # the body is repeated for ever
    use_etag: bool = False  # answer 304 to who has it already
    times: int | None = None  # then the path is good again


@dataclass
class Fetch:
    """One request that came. Times are seconds on the monotonic clock."""

    path: str
    at: float
    fields: dict[str, str] = field(default_factory=dict)
    status: int = 0  # as answered; 0: nothing was
    ended_at: float | None = None  # the answer was given to the kernel whole, or the connection is gone


class KeyServer:
    """
    `with KeyServer() as server: server.documents["/jwks"] = issuer.document`.

    Args:
        idle_close: Close a kept connection after so many seconds (a random time between the two); None keeps it.
    """

    def __init__(self, idle_close: tuple[float, float] | None = None) -> None:
        self.port = free_port()
        self.documents: dict[str, Callable[[], bytes]] = {}
        self.answers: dict[str, Answer] = {}  # by path; "*" for all others
        self.fetches: list[Fetch] = []
        self.connections = 0
        self.idle_close = idle_close
        self.clock: float | None = None  # seconds by which its Date is off; None: it sends none
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="key server", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"http://127.0.0.1:{self.port}"

    def count(self, path: str = "") -> int:
        """Requests so far, for one path or for all."""
        return sum(fetch.path == path for fetch in self.fetches) if path else len(self.fetches)

    def times(self, path: str) -> list[float]:
        """When the requests for a path came."""
        return [fetch.at for fetch in self.fetches if fetch.path == path]

    def close_door(self) -> None:
        """Refuse connections from now on, and reset those that are open."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(30.0)

    def open_door(self) -> None:
        """Accept again, on the same port."""
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(30.0)

    def __enter__(self) -> Self:
        self._thread.start()
        self.open_door()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_door()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30.0)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _turns()

    async def _listen(self) -> None:
        # Not asyncio's own server: up to Python 3.11 it loses a connection that it has accepted when it is closed in that moment.
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=1024)
            self._listener.setblocking(False)
            self._loop.add_reader(self._listener, self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError):
            while True:
                task = self._loop.create_task(self._serve(listener.accept()[0]))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _close(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        await _turns()
        for writer in list(self._open):
            _reset(writer)
        await _turns()

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        self.connections += 1
        self._open.add(writer)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
                patience: float | None = None  # the first request may be late, however short a kept connection lives
                while await self._one(reader, writer, patience):
                    patience = random.uniform(*self.idle_close) if self.idle_close else None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        finally:
            self._open.discard(writer)
            _reset(writer)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience: float | None) -> bool:
        """Answer one request, which must come within so many seconds; whether the connection lives on."""
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), patience)
        lines = head.decode("latin-1").split("\r\n")
        fetch = Fetch(lines[0].split(" ")[1], time.monotonic())
        for line in lines[1:-2]:
            name, _, value = line.partition(":")
            fetch.fields[name.lower()] = value.strip()
        self.fetches.append(fetch)
        answer = self._answer_to(fetch.path)
        work = asyncio.ensure_future(self._answer(fetch, answer, writer))
        try:
            # Looking now and then for the client's end, rather than reading: the next request may be on its way.
            while not work.done():
                if reader.at_eof() or reader.exception() is not None:
                    return False
                await asyncio.wait({work}, timeout=0.01)
            return work.result() and fetch.fields.get("connection", "").lower() != "close"
        finally:
            fetch.ended_at = time.monotonic()
            work.cancel()

    def _answer_to(self, path: str) -> Answer:
        for key in (path, "*"):
            answer = self.answers.get(key)
            if answer is not None:
                if answer.times is not None:
                    left = answer.times - 1
                    if left > 0:
                        self.answers[key] = Answer(**{**answer.__dict__, "times": left})
                    else:
                        del self.answers[key]
                return answer
        return Answer()

    async def _answer(self, fetch: Fetch, answer: Answer, writer: asyncio.StreamWriter) -> bool:
        if answer.hang:
            await asyncio.Event().wait()
        await asyncio.sleep(answer.wait)
        document = self.documents.get(fetch.path)
        status, fields = answer.status, list(answer.fields)
        if self.clock is not None:
            fields.append(f"Date: {formatdate(time.time() + self.clock, usegmt=True)}")
        if answer.body is None and document is None and status == 200:
            status = 404
        body = answer.body if answer.body is not None else document() if document is not None else b""
        if answer.use_etag:
            etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            fields.append(f"ETag: {etag}")
            if fetch.fields.get("if-none-match") == etag:
                status, body = 304, b""
        fetch.status = status
        lines = [f"HTTP/1.1 {status} As Told", f"Content-Type: {answer.content_type}", *fields]
        if answer.chunked or answer.endless:
            lines.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body += b"" if answer.endless else b"0\r\n\r\n"
        elif status != 304:
            lines.append(f"Content-Length: {len(body) if answer.length is None else answer.length}")
        data = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        if answer.reset_at is not None:
            writer.write(data[: answer.reset_at])
            await writer.drain()
            _reset(writer)
            return False
        if answer.pace:
            for at in range(len(data)):
                writer.write(data[at : at + 1])
                await writer.drain()
                await asyncio.sleep(answer.pace)
        else:
            writer.write(data)
            await writer.drain()
        while answer.endless:
            writer.write(body)
            await writer.drain()
        return answer.length is None or answer.length == len(body)


async def _turns() -> None:
    """Let the loop run what is ready: it takes four turns from accept to the handler."""
    for _ in range(5):
        await asyncio.sleep(0)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Canary:
    """A port that nobody has any reason to connect to, and that knows when somebody did."""

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        return self

    def take(self) -> int:
        """Connections since the last call."""
        count = 0
        with suppress(BlockingIOError):
            while True:
                self._socket.accept()[0].close()
                count += 1
        return count

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()


class Blackhole:
    """A port on which connecting hangs: its queue is full and nobody accepts."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        listener = self._stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        self.port: int = listener.getsockname()[1]
        for _ in range(8):
            filler = self._stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
