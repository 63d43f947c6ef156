"""Connections to a name with several addresses: dead ones cost little, the first that is open serves, and nothing is left open (RFC 8305)."""

import asyncio
import contextlib
import errno
import os
import socket
from typing import Any, cast

import pytest

from lbjwt.proxy import connect
from lbjwt.proxy.connect import Connector, interleaved
from lbjwt.upstream._endpoint import Endpoint
from tests.harness.ports import deaf, free_port
from tests.integration.service_reload_scene import LOOP_NAMES, LOOPS, Scene, player
from tests.playbooks.stage import Stage

V4, V6 = socket.AF_INET, socket.AF_INET6
ADDRESSES = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]


@pytest.fixture(params=LOOPS, ids=LOOP_NAMES)
def play(request: pytest.FixtureRequest) -> Scene:
    """Runs a coroutine in a loop of each kind."""
    run = player(request.param)
    run(asyncio.sleep(0))  # the first loop of uvloop opens descriptors that the process keeps
    return run


@pytest.mark.parametrize(
    ("found", "order"),
    [
        ("", ""),
        ("4a", "4a"),
        ("6a 6b 4a 4b", "6a 4a 6b 4b"),
        ("4a 6a 6b 6c", "4a 6a 6b 6c"),
        ("6a 6b 6c 4a", "6a 4a 6b 6c"),
        ("4a 4a 6a", "4a 6a"),
    ],
)
def test_families_take_turns(found: str, order: str) -> None:
    """The family that the system prefers begins; an address that is given twice is tried once."""
    targets = [({"4": V4, "6": V6}[text[0]], text) for text in found.split()]
    assert [text for _, text in interleaved(targets)] == order.split()


class Scenery:
    """A connector and one endpoint whose name has these addresses."""

    def __init__(self, addresses: list[str], port: int, timeout: float) -> None:
        self.endpoint = Endpoint(0, "app", "app.example", port, "", 1)
        self.stage = Stage(endpoints=[self.endpoint], connect_timeout=timeout)
        self._loop = asyncio.get_running_loop()
        self.connector = Connector(cast(asyncio.AbstractEventLoop, self))
        self.connector.context = self.stage.context
        self._found = [(V4, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def getaddrinfo(self, *_arguments: Any, **_options: Any) -> Any:
        """In the place of the loop's resolver."""
        return self._found

    async def connects(self) -> bool:
        """Open one connection more; False: it failed."""
        totals = self.stage.board.endpoint_totals
        wanted = totals(0)["connects"] + 1
        before = totals(0)["failures"]
        self.connector(self.endpoint)
        async with asyncio.timeout(20):
            while totals(0)["connects"] < wanted and totals(0)["failures"] == before:
                await asyncio.sleep(0.005)
        return totals(0)["connects"] == wanted

    async def fails(self) -> None:
        """Try to open a connection, until that was given up."""
        self.connector(self.endpoint)
        async with asyncio.timeout(20):
            while self.endpoint.pool.open:
                await asyncio.sleep(0.005)

    async def close(self) -> None:
        await self.connector.close()
        self.stage.context.close()
        await asyncio.sleep(0)


def test_an_address_that_answers_nothing_does_not_cost_the_timeout(
    play: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The next one is tried a moment later, and the next connection begins with the one that was open."""

    async def scene() -> None:
        with deaf("127.0.0.1", port), socket.create_server(("127.0.0.2", port)):
            scenery = Scenery(["127.0.0.1", "127.0.0.2"], port, timeout=60.0)
            assert await scenery.connects()
            monkeypatch.setattr(connect, "ATTEMPT_DELAY", 3600.0)
            assert await scenery.connects()
            await scenery.close()

    port = free_port()
    files = len(os.listdir("/proc/self/fd"))
    play(scene())
    assert len(os.listdir("/proc/self/fd")) <= files and caplog.messages == []


def test_an_address_that_refuses_costs_nothing(play: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is tried at once, also when the one that was used last refuses now."""
    monkeypatch.setattr(connect, "ATTEMPT_DELAY", 3600.0)

    async def scene() -> None:
        port = free_port()
        scenery = Scenery(ADDRESSES, port, timeout=60.0)
        for listening in ("127.0.0.3", "127.0.0.2"):
            with socket.create_server((listening, port)):
                assert await scenery.connects()
        assert not await scenery.connects()
        await scenery.close()

    play(scene())


@pytest.mark.parametrize("error", [errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM], ids=errno.errorcode.__getitem__)
@pytest.mark.parametrize("others_refuse", [False, True])
def test_a_fault_of_this_machine_is_not_the_endpoint_s(
    play: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: int, others_refuse: bool
) -> None:
    """No local port, or no memory: no failure is counted, unless another address of the name says something. The log says so once."""

    class Short(socket.socket):
        def connect_ex(self, address: Any) -> int:
            return super().connect_ex(address) if others_refuse and address[0] == "127.0.0.1" else error

    async def scene() -> None:
        scenery = Scenery(ADDRESSES, free_port(), timeout=60.0)
        monkeypatch.setattr("lbjwt.proxy.connect.socket.socket", Short)
        for _ in range(2):
            await scenery.fails()
        monkeypatch.undo()
        assert scenery.stage.board.endpoint_totals(0)["failures"] == (2 if others_refuse else 0)
        assert scenery.stage.board.endpoint_states.read(0)["ejections"][1] == int(others_refuse)
        await scenery.close()

    play(scene())
    if others_refuse:
        assert "endpoint app of cluster main fails: cannot be reached: Connection refused" in caplog.messages
    else:
        assert caplog.messages == [f"this machine opens no connection to endpoint app: {os.strerror(error)}"]


def test_a_shortage_of_descriptors_that_lasts_is_not_the_endpoint_s(
    play: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None was left for as long as a connection may take."""

    def none(*_arguments: Any) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    async def scene() -> None:
        scenery = Scenery(ADDRESSES, free_port(), timeout=0.05)
        monkeypatch.setattr("lbjwt.proxy.connect.socket.socket", none)
        await scenery.fails()
        monkeypatch.undo()
        assert scenery.stage.board.endpoint_totals(0)["failures"] == 0
        assert scenery.stage.board.endpoint_states.read(0)["on_trial"] == 0
        await scenery.close()

    play(scene())


@pytest.mark.parametrize(
    ("dead", "timeout", "cause"),
    [("deaf", 0.6, "no connection within 0.6 s"), ("refusing", 60.0, "Connection refused")],
)
def test_a_name_without_a_live_address_fails_once(
    play: Scene, caplog: pytest.LogCaptureFixture, dead: str, timeout: float, cause: str
) -> None:
    """The timeout is that of all attempts together, and no socket is left."""

    async def scene() -> None:
        with contextlib.ExitStack() as stack:
            for address in ADDRESSES if dead == "deaf" else ():
                stack.enter_context(deaf(address, port))
            scenery = Scenery(ADDRESSES, port, timeout=timeout)
            assert not await scenery.connects()
            assert scenery.endpoint.pool.open == 0
            await scenery.close()

    port = free_port()
    files = len(os.listdir("/proc/self/fd"))
    play(scene())
    assert caplog.messages == [f"endpoint app of cluster main fails: cannot be reached: {cause}"]
    assert len(os.listdir("/proc/self/fd")) <= files
