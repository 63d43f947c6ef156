"""Open sockets that the loop takes over: clients that wait at a listener, and what goes wrong."""

import asyncio
import socket

import pytest
import uvloop

from lbjwt.net.adopt import BURST, accept_waiting, take_over


class Greeter(asyncio.Protocol):
    """Sends a byte to everyone who connects."""

    made: list["Greeter"]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvloop's are no subclass
        self.made.append(self)
        self.transport = transport
        transport.write(b"!")


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest):
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


def test_all_that_wait_are_accepted_up_to_a_bound(runner: asyncio.Runner) -> None:
    """Everyone in the queue is served, no more than the bound in one go, and none is lost."""
    Greeter.made = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0), backlog=2 * BURST) as listener:
            listener.setblocking(False)
            clients = [socket.create_connection(listener.getsockname()) for _ in range(BURST + 3)]
            for expected in (BURST, BURST + 3, BURST + 3):
                accept_waiting(loop, listener, Greeter)
                async with asyncio.timeout(60.0):
                    while len(Greeter.made) < expected:
                        await asyncio.sleep(0)
                assert len(Greeter.made) == expected
            for client in clients:
                client.settimeout(5.0)
                assert await asyncio.to_thread(client.recv, 1) == b"!"
                client.close()
            for greeter in Greeter.made:
                greeter.transport.abort()
            await asyncio.sleep(0.01)

    runner.run(run())


def test_an_error_of_the_loop_is_told(runner: asyncio.Runner) -> None:
    """A socket that the loop cannot take over is an error for the caller, not an exception nobody sees."""
    told: list[Exception | None] = []

    async def fails() -> None:
        raise OSError(9, "no")

    async def run() -> None:
        take_over(fails(), told.append)

    runner.run(run())
    assert [str(error) for error in told] == ["[Errno 9] no"]
