"""What is logged about endpoints that fail: one line when it begins, one when it ends."""

import asyncio
import logging
import socket
from pathlib import Path

import pytest

from lbjwt.proxy.connect import Connector
from lbjwt.upstream._endpoint import Endpoint
from tests.harness.ports import deaf, free_port
from tests.playbooks.stage import Stage, request, response


@pytest.fixture
def endpoint() -> Endpoint:
    endpoint = Endpoint(0, "10.0.0.0:80", "10.0.0.0", 80, "", 1)
    Stage(endpoints=[endpoint])
    return endpoint


@pytest.mark.parametrize(("pause", "failures"), [(0.0, 1), (10.0, 3)])
def test_an_endpoint_that_comes_and_goes_does_not_fill_the_log(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture, pause: float, failures: int
) -> None:
    """Within the quiet time after a report there is no second one."""
    now = 1000.0
    with caplog.at_level(logging.INFO, "lbjwt.endpoints"):
        for _ in range(3):
            endpoint.failed("cannot be reached: Connection refused", now)
            endpoint.failed("cannot be reached: Connection refused", now)
            if endpoint.failing:
                endpoint.recovered()
            now += pause
    assert caplog.messages == failures * [
        "endpoint 10.0.0.0:80 of cluster main fails: cannot be reached: Connection refused",
        "endpoint 10.0.0.0:80 of cluster main responds again",
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
            stage.context.expire()
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
    assert (
        first.startswith("endpoint 10.0.0.0:80 of cluster main fails: ")
        and last == "endpoint 10.0.0.0:80 of cluster main responds again"
    )


def test_an_error_is_no_recovery(caplog: pytest.LogCaptureFixture) -> None:
    """An endpoint that could not be reached and now answers 500 has not come back."""
    stage = Stage(retries=0)
    stage.client().sends(request())
    stage.opened[0].refuses()
    caplog.clear()
    with caplog.at_level(logging.INFO, "lbjwt.endpoints"):
        client = stage.client()
        client.sends(request())
        stage.server().sends(response("500 Oops", "Content-Length: 0"))
        assert caplog.messages == []
        client.sends(request())
        stage.server().sends(response("404 Not Found", "Content-Length: 0"))
    assert caplog.messages == ["endpoint 10.0.0.0:80 of cluster main responds again"]


def tried(endpoint: Endpoint, timeout: float, *, loop_error: Exception | None = None) -> None:
    """One connection to this endpoint, to its end; loop_error: what the loop says of a name instead of asking for it."""
    stage = Stage(endpoints=[endpoint], connect_timeout=timeout)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        if loop_error is not None:
            loop.getaddrinfo = raising(loop_error)  # type: ignore[method-assign]
        connector = Connector(loop)
        connector.context = stage.context
        connector(endpoint)
        while not endpoint.failing:
            await asyncio.sleep(0.01)
        await connector.close()

    asyncio.run(run())


def raising(error: Exception):
    async def getaddrinfo(*_arguments, **_options):
        raise error

    return getaddrinfo


def test_a_refused_connection_is_told_in_the_system_s_words(caplog: pytest.LogCaptureFixture) -> None:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        tried(Endpoint(0, f"127.0.0.1:{port}", "127.0.0.1", port, "", 1), 2.0)
    assert caplog.messages == [
        f"endpoint 127.0.0.1:{port} of cluster main fails: cannot be reached: Connection refused"
    ]


def test_a_missing_unix_socket_is_told_in_the_system_s_words(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """A path at which there is none."""
    tried(Endpoint(0, "unix:app.sock", "", 0, str(tmp_path / "app.sock"), 1), 2.0)
    assert caplog.messages == [
        "endpoint unix:app.sock of cluster main fails: cannot be reached: No such file or directory"
    ]


def test_a_connection_that_takes_too_long_is_told_with_its_time(caplog: pytest.LogCaptureFixture) -> None:
    """A listener whose queue is full answers no SYN."""
    port = free_port()
    with deaf("127.0.0.1", port):
        tried(Endpoint(0, "full", "127.0.0.1", port, "", 1), 0.2)
    assert caplog.messages == ["endpoint full of cluster main fails: cannot be reached: no connection within 0.2 s"]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (TimeoutError(), "no connection within 2 s"),
        (UnicodeError("label too long"), "the host name cannot be encoded"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_name_that_leads_nowhere_is_told(caplog: pytest.LogCaptureFixture, error: Exception, cause: str) -> None:
    """An endpoint given by name goes through the loop's resolver; what goes wrong is told the same way."""
    tried(Endpoint(0, "app:80", "app.example", 80, "", 1), 2.0, loop_error=error)
    assert caplog.messages == [f"endpoint app:80 of cluster main fails: cannot be reached: {cause}"]


def test_a_full_queue_of_a_unix_socket_is_waited_for(tmp_path: Path) -> None:
    """connect(2) does not wait there (EAGAIN): it is tried again until the queue has room, and the endpoint has not failed."""
    path = str(tmp_path / "app.sock")
    endpoint = Endpoint(0, "unix:app.sock", "", 0, path, 1)
    stage = Stage(endpoints=[endpoint])

    async def run() -> None:
        connector = Connector(asyncio.get_running_loop())
        connector.context = stage.context
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as other:
            listener.bind(path)
            listener.listen(0)
            other.connect(path)
            connector(endpoint)
            await asyncio.sleep(0)
            assert endpoint.pool.open == 1 and stage.board.endpoint_totals(0)["connects"] == 0
            listener.accept()[0].close()
            while not stage.board.endpoint_totals(0)["connects"]:
                await asyncio.sleep(0.01)
            assert not endpoint.failing and stage.board.endpoint_totals(0)["failures"] == 0
            await connector.close()
            stage.context.close()
            await asyncio.sleep(0)

    asyncio.run(run())
