"""What a `LoadBalancer` inside a program is started with: a backend that answers when told, and a configuration for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from lbjwt import Configuration
from lbjwt.config.load import load_text
from tests.harness.closing import close_server
from tests.harness.tokens import TokenFactory

TOKENS = TokenFactory()


class Backend:
    """Answers each request with its own head and body, after `gate` is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.seen: list[bytes] = []
        self.arrived = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0)
                body = await reader.readexactly(size)
                self.seen.append(head)
                self.arrived.set()
                await self.gate.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def backend() -> AsyncIterator[tuple[Backend, int]]:
    scene = Backend()
    server = await asyncio.start_server(scene.serve, "127.0.0.1", 0, limit=1 << 16)
    try:
        yield scene, server.sockets[0].getsockname()[1]
    finally:
        await close_server(server)


def configuration(
    directory: Path, port: int, listen: str = "127.0.0.1:0", jwks: str = "jwks.json", more: str = ""
) -> Configuration:
    TOKENS.write_jwks(directory / "jwks.json")
    text = f"""
listeners: [{{address: "{listen}"}}]
issuers: {{main: {{issuer: "{TOKENS.issuer}", audiences: [{TOKENS.audience}], jwks_file: {jwks}}}}}
clusters: {{main: {{endpoints: [{{address: "127.0.0.1:{port}"}}]}}}}
claim_to_headers: [{{claim: sub, header: X-Jwt-Sub}}]
timeouts: {{drain: 5s}}
{more}
"""
    return load_text(text, directory)
