"""`LoadBalancer` inside somebody else's program: an async context manager over real sockets, under asyncio's own loop and under uvloop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from lbjwt import Configuration, LbjwtError, LoadBalancer
from lbjwt.config.load import load_text
from lbjwt.config.model import Revocation
from tests.harness.tokens import TokenFactory

TOKENS = TokenFactory()
Scene = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest) -> Scene:
    """Runs a coroutine in a loop of each kind, with debug mode off, as programs do."""

    def run(scene: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(scene, 20))

    return run


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
        server.close()


def configuration(directory: Path, port: int, listen: str = "127.0.0.1:0", jwks: str = "jwks.json") -> Configuration:
    TOKENS.write_jwks(directory / "jwks.json")
    text = f"""
listeners: [{{address: "{listen}"}}]
issuers: {{main: {{issuer: "{TOKENS.issuer}", audiences: [{TOKENS.audience}], jwks_file: {jwks}}}}}
clusters: {{main: {{endpoints: [{{address: "127.0.0.1:{port}"}}]}}}}
claim_to_headers: [{{claim: sub, header: X-Jwt-Sub}}]
timeouts: {{drain: 5s}}
"""
    return load_text(text, directory)


def request(body: bytes = b"", token: str | None = None) -> bytes:
    authorization = f"Authorization: Bearer {token}\r\n".encode() if token else b""
    return b"POST / HTTP/1.1\r\nHost: api.test\r\n%bContent-Length: %d\r\n\r\n%b" % (authorization, len(body), body)


async def ask(address: tuple[str, int], message: bytes) -> tuple[bytes, bytes]:
    """Head and body of the answer to one request on a connection of its own."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        size = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
        return head, await reader.readexactly(size)
    finally:
        writer.close()


def test_it_verifies_and_relays_in_any_loop(play: Scene, tmp_path: Path) -> None:
    """A request with a token reaches the backend with its identity and a megabyte both ways; one without is refused and reaches nobody."""

    async def scene() -> None:
        async with backend() as (seen, port), LoadBalancer(configuration(tmp_path, port)) as balancer:
            (address,) = balancer.addresses
            body = bytes(range(256)) * 4096
            head, answer = await ask(address, request(body, TOKENS.mint(sub="alice")))
            assert head.startswith(b"HTTP/1.1 200 ") and answer == body
            assert b"\r\nX-Jwt-Sub: alice\r\n" in seen.seen[0]
            head, _ = await ask(address, request())
            assert head.startswith(b"HTTP/1.1 401 ") and len(seen.seen) == 1
            assert balancer.board.ready

    play(scene())


def test_leaving_answers_what_is_under_way(play: Scene, tmp_path: Path) -> None:
    """At the end of the block nobody new is let in, and a request that was begun gets its answer."""

    async def scene() -> None:
        async with backend() as (seen, port):
            seen.gate.clear()
            async with LoadBalancer(configuration(tmp_path, port)) as balancer:
                (address,) = balancer.addresses
                under_way = asyncio.create_task(ask(address, request(b"late", TOKENS.mint())))
                await seen.arrived.wait()
                asyncio.get_running_loop().call_later(0.1, seen.gate.set)
            head, body = await under_way
            assert head.startswith(b"HTTP/1.1 200 ") and b"\r\nConnection: close\r\n" in head and body == b"late"
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*address)

    play(scene())


def test_a_fault_of_ours_is_told_by_its_kind(play: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A counter alone helps nobody to mend it; what is logged is the kind, once for all since the last look, and nothing that a token said."""

    async def scene() -> None:
        async with backend() as (seen, port):
            whole = configuration(tmp_path, port).model_copy(update={"revocation": Revocation()})
            async with LoadBalancer(whole) as balancer:
                reader: Any = balancer._revocations

                def revokes(*arguments: object) -> bool:
                    raise KeyError(*arguments)

                reader.revokes = revokes
                for _ in range(2):
                    head, _ = await ask(balancer.addresses[0], request(b"", TOKENS.mint(sub="alice")))
                    assert head.startswith(b"HTTP/1.1 401 ") and seen.seen == []
                for _ in range(2):
                    balancer._tick()

    with caplog.at_level("ERROR", "lbjwt.service"):
        play(scene())
    assert caplog.messages == ["2 faults of lbjwt, the last one a KeyError: what met them was refused"]


def test_a_start_that_fails_leaves_nothing_behind(play: Scene, tmp_path: Path) -> None:
    """Without its key file the block is not entered, the reason is told, and the port can be had by the next one."""

    async def scene() -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        balancer = LoadBalancer(configuration(tmp_path, 1, f"127.0.0.1:{port}", "absent.json"))
        with pytest.raises(LbjwtError, match=r"absent\.json"):
            async with balancer:
                pass
        assert balancer.addresses == []
        with socket.socket() as next_one:
            next_one.bind(("127.0.0.1", port))

    play(scene())


def test_it_can_be_started_again_as_another(play: Scene, tmp_path: Path) -> None:
    """Two balancers one after the other in one loop share nothing: a token known to the first is verified anew by the second."""

    async def scene() -> None:
        token = TOKENS.mint()
        async with backend() as (_, port):
            for _ in range(2):
                async with LoadBalancer(configuration(tmp_path, port)) as balancer:
                    for _ in range(2):
                        head, _ = await ask(balancer.addresses[0], request(token=token))
                        assert head.startswith(b"HTTP/1.1 200 ")
                    cache = balancer.verifier.gate.cache
                    assert (cache.misses, cache.hits) == (1, 1)

    play(scene())
