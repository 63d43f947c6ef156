"""What is said about endpoints that cannot be reached: once when it begins, once when it ends."""

import asyncio
import logging

import pytest

from lbjwt.proxy import connect
from lbjwt.proxy.connect import Connector
from tests.playbooks.stage import MemoryTransport, Stage


class Loop:
    """A loop whose connection attempts end as `outcomes` say: an error is raised, None connects."""

    def __init__(self, *outcomes: BaseException | None) -> None:
        self.outcomes = list(outcomes)
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def create_task(self, work):
        return asyncio.get_running_loop().create_task(work)

    async def create_connection(self, factory, host, port):
        outcome = self.outcomes.pop(0)
        if outcome is not None:
            raise outcome
        factory().connection_made(MemoryTransport())


def attempts(loop: Loop, caplog: pytest.LogCaptureFixture, pause: float = 0.0) -> list[str]:
    """What is logged while one connection after another is tried, `pause` seconds apart."""
    stage = Stage()

    async def run() -> None:
        connector = Connector(loop, 2.0)  # type: ignore[arg-type]
        connector.traffic = stage.traffic
        while loop.outcomes:
            connector(stage.endpoints[0])
            await asyncio.gather(*connector._under_way)
            loop.now += pause

    with caplog.at_level(logging.INFO, "lbjwt.endpoints"):
        asyncio.run(run())
    return caplog.messages


def refused() -> ConnectionRefusedError:
    """As asyncio words it."""
    return ConnectionRefusedError(111, "Connect call failed ('10.0.0.0', 80)")


def test_an_outage_is_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    """Many failures and a success are one complaint in the system's words and one all-clear."""
    assert attempts(Loop(refused(), refused(), refused(), None, None), caplog) == [
        "endpoint 10.0.0.0:80 cannot be reached: Connection refused",
        "endpoint 10.0.0.0:80 can be reached again",
    ]


def test_a_slow_endpoint_is_named_as_such(caplog: pytest.LogCaptureFixture) -> None:
    """A connection that is not made in time is told with the time it had."""
    assert attempts(Loop(TimeoutError()), caplog) == [
        "endpoint 10.0.0.0:80 cannot be reached: no connection within 2 s"
    ]


@pytest.mark.parametrize(("pause", "lines"), [(0.0, 2), (connect.QUIET, 6)])
def test_an_endpoint_that_comes_and_goes_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture, pause: float, lines: int
) -> None:
    """Within the quiet time after a complaint there is no second one."""
    assert len(attempts(Loop(refused(), None, refused(), None, refused(), None), caplog, pause)) == lines
