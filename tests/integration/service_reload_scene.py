"""What tests of `LoadBalancer.reload` share: a configuration that changes, a client connection that is kept, and loops of each kind."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import uvloop

from lbjwt import Configuration, LoadBalancer
from lbjwt.config.load import load_text
from tests.integration.service_scene import TOKENS

Scene = Callable[[Coroutine[Any, Any, None]], None]

LOOPS = (asyncio.new_event_loop, uvloop.new_event_loop)
LOOP_NAMES = ("asyncio", "uvloop")


def player(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Scene:
    """A function that runs a coroutine in such a loop, for a minute at most."""

    def run(scene: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(asyncio.wait_for(scene, 60))

    return run


class File:
    """A configuration file that is written anew with other values."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        TOKENS.write_jwks(directory / "jwks.json")
        self.sections: dict[str, Any] = {
            "listeners": [{"address": "127.0.0.1:0"}],
            "issuers": {"main": self.issuer(jwks_file="jwks.json")},
            "clusters": {"main": {"endpoints": [{"address": f"127.0.0.1:{port}"}]}},
            "timeouts": {"drain": "5s"},
        }

    @staticmethod
    def issuer(**members: Any) -> dict[str, Any]:
        return {"issuer": TOKENS.issuer, "audiences": [TOKENS.audience], **members}

    def read(self, **changed: Any) -> Configuration:
        """With these sections in place of those of before; None removes one."""
        self.sections |= changed
        return load_text(
            json.dumps({key: value for key, value in self.sections.items() if value is not None}), self.directory
        )


class Connection:
    """A client connection that is kept."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    @asynccontextmanager
    async def to(cls, address: tuple[str, int]) -> AsyncIterator[Self]:
        made = cls()
        made.reader, made.writer = await asyncio.open_connection(*address)
        try:
            yield made
        finally:
            made.writer.close()

    def send(self, target: str = "/", token: str | None = None, body: bytes = b"") -> None:
        field = f"Authorization: Bearer {token}\r\n" if token else ""
        self.writer.write(
            f"POST {target} HTTP/1.1\r\nHost: api.test\r\n{field}Content-Length: {len(body)}\r\n\r\n".encode() + body
        )

    async def answer(self) -> tuple[int, bytes]:
        """Status and head of the next response."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
        await self.reader.readexactly(size)
        return int(head[9:12]), head

    async def ask(self, target: str = "/", token: str | None = None, body: bytes = b"") -> int:
        self.send(target, token, body)
        return (await self.answer())[0]

    async def is_closed(self) -> bool:
        return await self.reader.read(1) == b""


async def ask(balancer: LoadBalancer, target: str = "/", token: str | None = None, listener: int = 0) -> int:
    """The status of one request on a connection of its own."""
    async with Connection.to(balancer.addresses[listener]) as client:
        return await client.ask(target, token)
