"""
The recording backend: reads every request strictly, judges its token with the shadow verifier, remembers it, and answers as told.

It runs on raw asyncio transports (so that exact bytes and exact ends are in its hands) in a thread of the test (`Backend`) or in a process of
its own (`processes.BackendProcess`). What it answers comes from a `Behaviour`: bytes for the ordinary answer, a `Script` for anything else.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import random
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from tests.harness.closing import close_server
from tests.harness.record import MemoryRecorder, Seen
from tests.harness.script import PATTERN, Close, Drip, Hang, Idle, Reset, Script, Send, Stray, Stream, Tunnel, Wait
from tests.harness.tokens import ShadowVerifier
from tests.harness.wire import DATA, END, HEAD, Head, RequestReader, WireError

Behaviour = Callable[[Seen], "bytes | Script"]
Recorder = Any  # MemoryRecorder or FileRecorder

CROSSING = 0.001  # seconds


class Site:
    """What all connections of one backend share."""

    def __init__(
        self,
        name: str,
        recorder: Recorder,
        behaviour: Behaviour,
        shadow: ShadowVerifier | None,
        idle_close: tuple[float, float] | None = None,
        keep_heads: bool = True,
    ) -> None:
        self.name = name
        self.recorder = recorder
        self.behaviour = behaviour
        self.shadow = shadow
        self.idle_close = idle_close  # close an idle connection after a random time in this range, seconds
        self.keep_heads = keep_heads
        self.faults: list[str] = []  # bytes from the proxy that are not HTTP
        self.connections: set[Connection] = set()
        self._numbers = itertools.count(1)

    def broken(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A fault of the backend itself must fail the run as well: it would prove nothing."""
        problem = f"fault of the harness: {context.get('message')}: {context.get('exception')!r}"
        self.faults.append(problem)
        self.recorder.add(Seen(self.name, f"{self.name}.fault", len(self.faults), "", "", "", problem, ""))
        self.recorder.flush()

    def connection_name(self) -> str:
        """Unique over backends, restarts included."""
        return f"{self.name}.{os.getpid()}.{next(self._numbers)}"


class Connection(asyncio.Protocol):
    """One connection from the proxy."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.name = site.connection_name()
        self.reader = RequestReader()
        self.ordinal = 0
        self.current: Seen | None = None  # the request being read
        self.answer: bytes | Script = b""  # to it
        self.waiting: deque[tuple[Seen, bytes | Script]] = deque()
        self.player: asyncio.Task[None] | None = None
        self.digest: Any = None
        self.crossed = False
        self.finished = False  # our direction is closed already
        self.tunnel = False
        self.writable = asyncio.Event()
        self.writable.set()
        self.idle_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self.site.connections.add(self)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Else the kernel takes megabytes for a reader that stands still, and hides whether the proxy holds us back.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 131072)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self.site.connections.discard(self)
        self.writable.set()
        if self.player is not None:
            self.player.cancel()

    def pause_writing(self) -> None:
        """Called by asyncio."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """Called by asyncio."""
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        if self.tunnel:
            self.transport.write(data)
            return
        if self.idle_timer is not None:
            self.idle_timer.cancel()
            self.idle_timer = None
        try:
            for kind, value in self.reader.feed(data):
                if kind is DATA:
                    self._body(value)  # type: ignore[arg-type]
                elif kind is HEAD:
                    self._head(value)  # type: ignore[arg-type]
                elif kind is END:
                    self._end()
        except WireError as problem:
            self.site.faults.append(f"{self.name}: {problem}")
            record = Seen(
                self.site.name,
                self.name,
                self.ordinal + 1,
                "",
                "",
                f"not HTTP: {problem}",
                "unreadable",
                "",
                whole=False,
            )
            self.site.recorder.add(record)
            self.transport.abort()
        self.site.recorder.flush()
        self._answer()

    def _head(self, head: Head) -> None:
        site = self.site
        self.ordinal += 1
        verified = "off" if site.shadow is None else site.shadow.judge(head.get_all(b"authorization"))
        record = Seen(
            site.name,
            self.name,
            self.ordinal,
            (head.get(b"x-test-id") or b"").decode("latin-1"),
            head.method.decode("latin-1"),
            head.target.decode("latin-1"),
            verified,
            (head.get(b"x-request-id") or b"").decode("latin-1"),
            head=head.raw if site.keep_heads else b"",
        )
        record.crossed, self.crossed = self.crossed, False
        self.current = record
        self.digest = None
        site.recorder.add(record)
        self.answer = answer = site.behaviour(record)
        if isinstance(answer, Script):
            record.whole = answer.whole
            if answer.at_head:
                self.waiting.append((record, answer))
                return
        if (head.get(b"expect") or b"").lower() == b"100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _body(self, data: bytes) -> None:
        record = self.current
        if record is not None and data:
            if self.digest is None:
                self.digest = hashlib.sha256()
            self.digest.update(data)
            record.body_size += len(data)

    def _end(self) -> None:
        record = self.current
        assert record is not None
        if self.digest is not None:
            record.digest = self.digest.hexdigest()
        record.finished = True
        self.current = None
        answer = self.answer
        if record.body_size and not (isinstance(answer, Script) and answer.at_head):
            answer = self.site.behaviour(record)  # now that size and digest are known
        if not isinstance(answer, Script):
            record.sent = True  # nothing can come between, so one line in the file is enough
            self.waiting.append((record, answer))
        elif not answer.at_head:
            self.waiting.append((record, answer))
        self.site.recorder.update(record)

    def _answer(self) -> None:
        """Answer in order, one at a time."""
        if self.finished:
            self.transport.close()
        while self.waiting and self.player is None and not self.transport.is_closing():
            record, answer = self.waiting.popleft()
            if isinstance(answer, bytes):
                self.transport.write(answer)
                self._idle()
            else:
                self.player = asyncio.ensure_future(self._play(record, answer))

    def _idle(self) -> None:
        if self.site.idle_close is not None and not self.waiting and self.current is None:
            delay = random.uniform(*self.site.idle_close)
            self.idle_timer = asyncio.get_running_loop().call_later(delay, self._close_idle)

    def _close_idle(self) -> None:
        """
        As a server does that reads before it looks at the clock: not with a request waiting to be read.

        A request that came between that look and our FIN crossed it: it is read, recorded as such, and never answered.
        """
        descriptor = self.transport.get_extra_info("socket").fileno()
        if self.transport.is_closing() or select.select([descriptor], [], [], 0)[0]:
            return
        with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as own:
            own.shutdown(socket.SHUT_WR)  # at once: the transport's close waits for the loop's next turn
            self.crossed = bool(own.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        if self.crossed:
            self.finished = True
        else:
            self.transport.close()

    async def _play(self, record: Seen, script: Script) -> None:
        for step in script.steps:
            if isinstance(step, Idle):
                if await self._is_asked_within(step.seconds):
                    break
            else:
                await self._step(step)
        record.sent = True
        self.site.recorder.update(record)
        self.site.recorder.flush()
        self.player = None
        if not self.transport.is_closing():
            self._idle()
            self._answer()

    async def _is_asked_within(self, seconds: float) -> bool:
        """Whether a request came on this connection while it was idle."""
        ordinal = self.ordinal
        await asyncio.sleep(seconds)
        return self.ordinal != ordinal or self.current is not None

    def _stray(self, data: bytes) -> None:
        """
        Straight to the kernel, with a look before and for CROSSING seconds after: only so is it known which came first.

        A proxy that looked at the connection just before our write may send its request just after it.
        """
        descriptor = self.transport.get_extra_info("socket").fileno()
        if self.transport.is_closing() or select.select([descriptor], [], [], 0)[0]:
            return
        with suppress(OSError):
            os.write(descriptor, data)
            self.crossed = bool(select.select([descriptor], [], [], CROSSING)[0])

    async def _step(self, step: object) -> None:
        transport = self.transport
        if isinstance(step, Send):
            transport.write(step.data)
            await self.writable.wait()
        elif isinstance(step, Drip):
            for at in range(0, len(step.data), step.size):
                transport.write(step.data[at : at + step.size])
                await asyncio.sleep(step.gap)
        elif isinstance(step, Stream):
            left = step.size
            while left and not transport.is_closing():
                piece = PATTERN[: min(left, len(PATTERN))]
                transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if step.chunked else piece)
                left -= len(piece)
                await self.writable.wait()
            if step.chunked:
                transport.write(b"0\r\n\r\n")
        elif isinstance(step, Wait):
            await asyncio.sleep(step.seconds)
        elif isinstance(step, Stray):
            self._stray(step.data)
        elif isinstance(step, Close):
            transport.close()
        elif isinstance(step, Reset):
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        elif isinstance(step, Tunnel):
            self.tunnel = True
            early, self.reader.pending = self.reader.pending, b""
            transport.write(early)
            await asyncio.Event().wait()
        elif isinstance(step, Hang):
            await asyncio.Event().wait()


class Backend:
    """A recording backend in a thread of this process: `with Backend(...) as backend: backend.port, backend.seen`."""

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        name: str = "b",
        shadow: ShadowVerifier | None = None,
        port: int = 0,
        path: Path | None = None,
        idle_close: tuple[float, float] | None = None,
    ) -> None:
        self.recorder = MemoryRecorder()
        self.site = Site(name, self.recorder, behaviour, shadow, idle_close)
        self.path = path
        self.port = port
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"backend-{name}", daemon=True)

    @property
    def seen(self) -> list[Seen]:
        """Every request so far."""
        return self.recorder.seen

    @property
    def address(self) -> str:
        """As the balancer's configuration wants it."""
        return f"unix:{self.path}" if self.path else f"127.0.0.1:{self.port}"

    def call_soon(self, function: Callable[[], object]) -> None:
        """Run a function in the backend's loop."""
        self._loop.call_soon_threadsafe(function)

    def drop_connections(self) -> None:
        """Close every connection the proxy holds."""

        def drop() -> None:
            for connection in list(self.site.connections):
                connection.transport.close()

        self.call_soon(drop)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(30.0):
            raise RuntimeError("the backend did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30.0)

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(listen(self.site, self.port, self.path))
        if self.path is None:
            self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        loop.run_forever()
        loop.run_until_complete(close_server(server))
        for connection in list(self.site.connections):
            connection.transport.abort()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()


async def listen(site: Site, port: int, path: Path | None) -> asyncio.Server:
    """Open the backend's door: a Unix path, or a port on loopback (0 for a free one)."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(site.broken)
    if path is not None:
        return await loop.create_unix_server(lambda: Connection(site), str(path), backlog=4096)
    return await loop.create_server(lambda: Connection(site), "127.0.0.1", port, backlog=4096, reuse_address=True)
