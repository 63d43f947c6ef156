"""
Many requests from one process: an open-loop generator (arrival times fixed beforehand, latency counted from the intended start, so that a
stall of the balancer is seen by every request it delayed) and a closed loop for throughput. Every request has a unique id; every response is
read strictly and compared with the id it claims to answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

from tests.harness.client import Outcome, request
from tests.harness.wire import DATA, END, HEAD, Framing, Head, ResponseReader, WireError


@dataclass(slots=True)
class Job:
    """One request to be sent."""

    id: str
    data: bytes
    method: str = "GET"
    fresh: bool = False  # on a connection of its own


@dataclass(slots=True)
class Sample:
    """What became of one request, as the client saw it."""

    id: str
    method: str
    outcome: Outcome = Outcome.NONE
    status: int = 0
    echo_id: str = ""
    echo_conn: str = ""
    echo_ordinal: int = 0
    stray: bool = False
    body_size: int = 0
    body_start: bytes = b""  # first 200 bytes
    interim: int = 0
    at: float = 0.0  # intended start, seconds on the monotonic clock
    latency: float = 0.0  # seconds from the intended start to the end of the response
    problem: str = ""

    @property
    def is_good(self) -> bool:
        """A whole 2xx response that answers this very request."""
        return (
            self.outcome is Outcome.COMPLETE and 200 <= self.status < 300 and self.echo_id == self.id and not self.stray
        )


def jobs(
    count: int,
    token: str,
    *,
    prefix: str,
    target: str = "/r/{id}",
    method: str = "GET",
    body: bytes | None = None,
    fields: Iterable[str] = (),
    fresh_every: int = 0,
    version: str = "1.1",
) -> Iterator[Job]:
    """`count` requests with ids `prefix-N`; `{id}` in the target is replaced; every `fresh_every`-th on a connection of its own."""
    marker = "0123456789abcdef-marker"
    template = request(
        target.replace("{id}", marker), method=method, token=token, id=marker, body=body, fields=fields, version=version
    )
    parts = template.split(marker.encode())
    for number in range(count):
        id = f"{prefix}-{number}"
        yield Job(id, id.encode().join(parts), method, bool(fresh_every) and number % fresh_every == 0)


class _Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request on it."""

    def __init__(self, load: _Load) -> None:
        self.load = load
        self.reader = ResponseReader()
        self.sample: Sample | None = None
        self.last: Sample | None = None  # the one before
        self.job: Job | None = None
        self.closed = False
        self.reusable = True
        self.started = 0.0  # when the request at hand was sent, seconds on the monotonic clock

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self, job: Job, sample: Sample) -> None:
        """Send one request."""
        self.job, self.sample = job, sample
        self.reusable = True
        self.started = time.monotonic()
        self.reader.expect(job.method.encode())
        self.transport.write(job.data)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        sample = self.sample
        try:
            for kind, value in self.reader.feed(data):
                if sample is None:
                    raise WireError("a message after the response")
                if kind is HEAD:
                    assert isinstance(value, Head)
                    self._head(sample, value)
                elif kind is DATA:
                    assert isinstance(value, bytes)
                    if len(sample.body_start) < 200:
                        sample.body_start += value[:200]
                    sample.body_size += len(value)
                elif kind is END and sample.status >= 200:
                    self._finish(Outcome.COMPLETE)
                    sample = None
        except WireError as problem:
            self._garbage(str(problem))
            self.transport.abort()

    def _head(self, sample: Sample, head: Head) -> None:
        if head.status < 200 and head.status != 101:
            sample.interim += 1
            return
        sample.status = head.status
        for name, value in head.fields:
            if name[:2] in (b"X-", b"x-"):
                lower = name.lower()
                if lower == b"x-echo-id":
                    sample.echo_id = value.decode("latin-1")
                elif lower == b"x-echo-conn":
                    sample.echo_conn = value.decode("latin-1")
                elif lower == b"x-echo-ordinal":
                    sample.echo_ordinal = int(value)
                elif lower == b"x-stray":
                    sample.stray = True
            elif name.lower() == b"connection" and value.lower() == b"close":
                self.reusable = False
        if head.status == 101:
            self.reusable = False
            self._finish(Outcome.COMPLETE)

    def _garbage(self, problem: str) -> None:
        """Bytes that answer nothing: charged to the request at hand, or to the last one."""
        if self.sample is not None:
            self.sample.problem = problem
            self._finish(Outcome.GARBAGE)
        elif self.last is not None:
            self.last.outcome, self.last.problem = Outcome.GARBAGE, problem

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self.closed = True
        self.reusable = False
        self.load.idle.discard(self)
        self.load.alive.discard(self)
        if self.sample is None:
            if self.reader.pending:
                self._garbage(f"bytes after the response: {self.reader.pending[:60]!r}")
            return
        if exc is not None:
            self.sample.problem = str(exc)
            self._finish(Outcome.RESET)
        elif self.reader.framing is Framing.UNTIL_CLOSE:
            self._finish(Outcome.COMPLETE)
        else:
            self._finish(Outcome.TRUNCATED if self.sample.status or self.reader.pending else Outcome.NONE)

    def _finish(self, outcome: Outcome) -> None:
        sample, job = self.sample, self.job
        if sample is None or job is None:
            return
        sample.outcome = outcome
        self.sample, self.job, self.last = None, None, sample
        if outcome is not Outcome.COMPLETE or job.fresh:
            self.reusable = False
        self.load.finished(self, sample)

    def abort(self) -> None:
        """Close with RST."""
        with contextlib.suppress(OSError):
            self.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        self.transport.abort()


class _Load:
    """The state of one run."""

    def __init__(self, port: int, connections: int, timeout: float, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.tls = tls
        self.timeout = timeout
        self.free = connections
        self.idle: set[_Connection] = set()
        self.alive: set[_Connection] = set()  # also those whose close has begun: under TLS it waits for the other side
        self.backlog: deque[tuple[Job, Sample]] = deque()
        self.samples: list[Sample] = []
        self.busy: set[_Connection] = set()
        self.opening: set[asyncio.Task[None]] = set()
        self.changed = asyncio.Event()

    def offer(self, job: Job, at: float) -> None:
        """One arrival: start it, or let it wait for a connection."""
        sample = Sample(job.id, job.method, at=at)
        self.samples.append(sample)
        if self.free > 0:
            self.free -= 1
            self._start(job, sample)
        else:
            self.backlog.append((job, sample))

    def _start(self, job: Job, sample: Sample) -> None:
        while self.idle and not job.fresh:
            connection = self.idle.pop()
            if not connection.closed and not connection.transport.is_closing():
                self.busy.add(connection)
                connection.start(job, sample)
                return
        task = asyncio.ensure_future(self._open(job, sample))
        self.opening.add(task)
        task.add_done_callback(self.opening.discard)

    async def _open(self, job: Job, sample: Sample) -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self),
                "127.0.0.1",
                self.port,
                ssl=self.tls,
                server_hostname="localhost" if self.tls else None,
            )
        except OSError as problem:
            sample.outcome, sample.problem = Outcome.RESET, str(problem)
            self._next()
            return
        self.busy.add(connection)
        if not connection.closed:
            self.alive.add(connection)
        connection.start(job, sample)

    def finished(self, connection: _Connection, sample: Sample) -> None:
        """One request is over; its connection takes the next one, or goes."""
        sample.latency = time.monotonic() - sample.at
        self.busy.discard(connection)
        if connection.reusable and not connection.closed:
            self.idle.add(connection)
        elif not connection.closed:
            connection.transport.close()
        self._next()

    def _next(self) -> None:
        if self.backlog:
            self._start(*self.backlog.popleft())
        else:
            self.free += 1
        self.changed.set()

    def expire(self) -> None:
        """Give up on requests that have been on the wire for too long."""
        limit = time.monotonic() - self.timeout
        for connection in [busy for busy in self.busy if busy.sample is not None and busy.started < limit]:
            connection._finish(Outcome.TIMEOUT)
            connection.abort()

    async def close(self) -> None:
        """Close what is idle, and return when no transport is left: the loop must not meet one when it ends."""
        for connection in list(self.idle):
            connection.transport.close()
        until = time.monotonic() + 2.0
        while self.alive and time.monotonic() < until + 3.0:
            if time.monotonic() > until:
                for connection in list(self.alive):
                    connection.transport.abort()
            await asyncio.sleep(0.005)


async def run(
    port: int,
    work: Iterable[Job],
    *,
    rate: float | None,
    connections: int = 64,
    patience: float = 10.0,
    tls: ssl.SSLContext | None = None,
) -> list[Sample]:
    """
    Send every job and return one sample for each, in order.

    Args:
        rate: Arrivals a second, evenly spaced whatever the balancer does; None for as fast as `connections` connections allow.
        connections: At most so many requests at once; later arrivals wait (and their latency counts the wait).
        patience: Seconds on the wire until a request is given up; the wait for a connection does not count, nor does a generator that is late.
        tls: For https; a failed handshake is a request without its answer.
    """
    load = _Load(port, connections, patience, tls)
    begin = time.monotonic()
    swept = begin
    for number, job in enumerate(work):
        if rate is None:
            while load.free <= 0:
                load.changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(load.changed.wait(), 0.5)
                load.expire()
            load.offer(job, time.monotonic())
        else:
            at = begin + number / rate
            delay = at - time.monotonic()
            if delay > 0.001:
                await asyncio.sleep(delay)
            elif number % 32 == 0:
                await asyncio.sleep(0)
            load.offer(job, at)
        if time.monotonic() - swept > 0.5:
            swept = time.monotonic()
            load.expire()
    while load.busy or load.opening or load.backlog:
        load.changed.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(load.changed.wait(), 0.1)
        load.expire()
    await load.close()
    return load.samples


def drive(
    port: int,
    work: Iterable[Job],
    *,
    rate: float | None = None,
    connections: int = 64,
    timeout: float = 30.0,
    tls: ssl.SSLContext | None = None,
) -> list[Sample]:
    """`run` from a program without a loop."""
    import uvloop

    return uvloop.run(run(port, work, rate=rate, connections=connections, patience=timeout, tls=tls))


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which `share` of the values lie (nearest rank); 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
