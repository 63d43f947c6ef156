"""Clients that stall, over real sockets: the backend that gives up on them has not failed, one that resets at once has."""

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Any

import pytest

from lbjwt import LoadBalancer
from tests.integration.service_reload_scene import LOOP_NAMES, LOOPS, player
from tests.integration.service_scene import TOKENS, configuration

PATIENCE = 1.0  # seconds a backend waits for its client
SIZE = 200_000_000  # bytes of a response: more than all buffers on the way hold


class Impatient:
    """Waits so long for a body, or for its response to be taken; then it resets. `/die`: it resets at once."""

    def __init__(self) -> None:
        self.gave_up: dict[bytes, asyncio.Event] = {path: asyncio.Event() for path in (b"/up", b"/down", b"/die")}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
        try:
            async with asyncio.timeout(PATIENCE):
                if path == b"/up":
                    await reader.readexactly(5000)
                if path == b"/down":
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
                    for _ in range(SIZE // 1_000_000):
                        writer.write(bytes(1_000_000))
                        await writer.drain()
        except TimeoutError:
            pass
        writer.transport.abort()
        self.gave_up[path].set()


async def ask(
    address: tuple[str, int], path: str, *fields: str, body: bytes = b""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request; the connection is closed when nobody has its writer any more."""
    reader, writer = await asyncio.open_connection(*address, limit=1024)
    head = [
        f"{'POST' if body else 'GET'} {path} HTTP/1.1",
        "Host: a",
        f"Authorization: Bearer {TOKENS.mint()}",
        *fields,
    ]
    writer.write("\r\n".join([*head, "", ""]).encode() + body)
    return reader, writer


async def ends(reader: asyncio.StreamReader) -> bytes:
    """The first bytes of what came, once the connection is over."""
    start = await reader.read(12)
    try:
        while await reader.read(1 << 20):
            pass
    except ConnectionError:
        pass
    return start


@pytest.mark.parametrize("loop", LOOPS, ids=LOOP_NAMES)
def test_only_an_endpoint_that_resets_at_once_has_failed(
    loop: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One client stalls its upload, one reads nothing of its response, for longer than the backend waits: no line says that the endpoint fails."""
    caplog.set_level(logging.INFO, "lbjwt.endpoints")

    async def scene() -> None:
        backend = Impatient()
        server = await asyncio.start_server(backend.serve, "127.0.0.1", 0)
        settings = configuration(tmp_path, server.sockets[0].getsockname()[1])
        with contextlib.closing(server):
            async with LoadBalancer(settings) as service, asyncio.timeout(50):
                (address,) = service.addresses
                up, first = await ask(address, "/up", "Content-Length: 5000", body=b"a")
                down, second = await ask(address, "/down")
                assert (await up.read(12)) == b"HTTP/1.1 502"
                await backend.gave_up[b"/down"].wait()
                assert await ends(down) == b"HTTP/1.1 200"
                assert caplog.messages == []
                died, third = await ask(address, "/die", "Content-Length: 5000", body=b"a")
                assert (await died.read(12)) == b"HTTP/1.1 502"
                for writer in (first, second, third):
                    writer.close()

    player(loop)(scene())
    (line,) = caplog.messages
    assert line.endswith(" of cluster main fails: no response")
