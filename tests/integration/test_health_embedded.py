"""Health checks of a `LoadBalancer` in its own loop: the same checks, without a control process."""

import asyncio
import logging
from pathlib import Path

import pytest

from lbjwt import LoadBalancer
from tests.integration.service_reload_scene import LOOP_NAMES, LOOPS, File, Scene, ask, player
from tests.integration.service_scene import TOKENS


@pytest.fixture(params=LOOPS, ids=LOOP_NAMES)
def play(request: pytest.FixtureRequest) -> Scene:
    """Runs a coroutine in a loop of each kind."""
    return player(request.param)


class Backend:
    """Answers every request with 200, and `/health` with the status that it is told."""

    def __init__(self) -> None:
        self.health = 200
        self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                checked = head.startswith(b"GET /health ")
                self.requests += not checked
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % (self.health if checked else 200))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def said(caplog: pytest.LogCaptureFixture, sentence: str) -> None:
    """Return when the log has it."""
    while sentence not in caplog.text:  # ended by the time limit of the scene
        await asyncio.sleep(0.01)


def test_it_checks_in_its_own_loop(play: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """From before the first request, over a reload, until it stops."""
    caplog.set_level(logging.INFO, "lbjwt.health")

    async def scene() -> None:
        one, two = Backend(), Backend()
        two.health = 503
        servers = [await asyncio.start_server(backend.serve, "127.0.0.1", 0) for backend in (one, two)]
        ports = [server.sockets[0].getsockname()[1] for server in servers]
        endpoints = [{"address": f"127.0.0.1:{port}"} for port in ports]
        check = {"path": "/health", "interval": "100ms", "timeout": "10s", "rise": 1, "fall": 1}
        file = File(tmp_path, ports[0])
        checked = {"main": {"endpoints": endpoints, "health_check": check}}
        async with LoadBalancer(file.read(clusters=checked)) as balancer:
            for _ in range(4):
                assert await ask(balancer, token=TOKENS.mint()) == 200
            assert (one.requests, two.requests) == (4, 0)
            two.health = 200
            await said(
                caplog, f"endpoint 127.0.0.1:{ports[1]} of cluster main passes its health check again (1 in a row)"
            )
            one.health = 500
            await said(
                caplog, f"endpoint 127.0.0.1:{ports[0]} of cluster main fails its health check: status 500 (1 in a row)"
            )
            for _ in range(4):
                assert await ask(balancer, token=TOKENS.mint()) == 200
            assert (one.requests, two.requests) == (4, 4)
            assert balancer.board.ready
            two.health = 500
            await said(
                caplog, f"endpoint 127.0.0.1:{ports[1]} of cluster main fails its health check: status 500 (1 in a row)"
            )
            assert not balancer.board.ready
            without = {"main": {"endpoints": endpoints[:1], "health_check": {**check, "statuses": 500}}}
            await balancer.reload(file.read(clusters=without))
            while not balancer.board.ready:
                await asyncio.sleep(0.01)
            assert await ask(balancer, token=TOKENS.mint()) == 200
            assert (one.requests, two.requests) == (5, 4)
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "health check"]
        for server in servers:
            server.close()

    play(scene())
