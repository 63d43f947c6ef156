"""What is logged about endpoints that fail: one line when it begins, one when it ends."""

import asyncio
import logging

import pytest

from lbjwt.proxy.connect import Connector
from lbjwt.upstream._cluster import Endpoint
from lbjwt.upstream.endpoint_log import QUIET, EndpointLog
from tests.playbooks.stage import Stage, request, response


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint(0, "10.0.0.0:80", "10.0.0.0", 80, "", 1)


@pytest.mark.parametrize(("pause", "failures"), [(0.0, 1), (QUIET, 3)])
def test_an_endpoint_that_comes_and_goes_does_not_fill_the_log(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture, pause: float, failures: int
) -> None:
    """Within the quiet time after a report there is no second one."""
    now = 1000.0
    log = EndpointLog(lambda: now)
    with caplog.at_level(logging.INFO, "lbjwt.endpoints"):
        for _ in range(3):
            log.failed(endpoint, "cannot be reached: Connection refused")
            log.failed(endpoint, "cannot be reached: Connection refused")
            if endpoint.failing:
                log.recovered(endpoint)
            now += pause
    assert caplog.messages == failures * [
        "endpoint 10.0.0.0:80 fails: cannot be reached: Connection refused",
        "endpoint 10.0.0.0:80 answers again",
    ]


@pytest.mark.parametrize("failure", ["refused", "timeout", "malformed", "lost"])
def test_an_outage_is_two_lines(caplog: pytest.LogCaptureFixture, failure: str) -> None:
    """Whatever fails, and however often: one line with the cause, and one when a request is answered again."""
    stage = Stage(retries=0, response_timeout=0.0 if failure == "timeout" else 15.0)

    def fails() -> None:
        client = stage.client()
        client.sends(request())
        if failure == "refused":
            stage.opened[-1].refuses()
            return
        server = stage.server()
        if failure == "timeout":
            stage.traffic.expire()
        elif failure == "malformed":
            server.sends(b"no response at all\r\n\r\n")
        else:
            server.ends()

    with caplog.at_level(logging.INFO, "lbjwt.endpoints"):
        fails()
        fails()
        client = stage.client()
        client.sends(request())
        stage.server().sends(response("200 OK", "Content-Length: 0"))
    first, last = caplog.messages
    assert first.startswith("endpoint 10.0.0.0:80 fails: ") and last == "endpoint 10.0.0.0:80 answers again"


class Loop:
    """A loop whose connection attempts end with this error."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def create_task(self, work):
        return asyncio.get_running_loop().create_task(work)

    async def create_connection(self, factory, host, port):
        raise self.error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('10.0.0.0', 80)"), "Connection refused"),
        (TimeoutError(), "no connection within 2 s"),
        (UnicodeError("label too long"), "the host name cannot be encoded"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_cause_is_in_the_system_s_words(caplog: pytest.LogCaptureFixture, error: Exception, cause: str) -> None:
    """A connection that cannot be had is told with the error of the system, or with the time it had."""
    stage = Stage()

    async def run() -> None:
        connector = Connector(Loop(error), 2.0)  # type: ignore[arg-type]
        connector.traffic = stage.traffic
        connector(stage.endpoints[0])
        await asyncio.gather(*connector._under_way)

    asyncio.run(run())
    assert caplog.messages == [f"endpoint 10.0.0.0:80 fails: cannot be reached: {cause}"]
