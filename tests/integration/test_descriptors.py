"""Too few file descriptors: said at the start, shared so that who is let in is served, and a pause instead of a spin when there are none."""

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lbjwt.assembly.descriptors import SPARE, TooFewDescriptors, needed, shares, shortage
from lbjwt.config.endpoint_list import endpoints_of
from lbjwt.config.health_check import HealthCheck
from lbjwt.config.model import Configuration
from lbjwt.net.descriptors import raise_limit
from lbjwt.proxy.connect import Connector
from lbjwt.upstream._endpoint import Endpoint
from tests.integration.serve_scene import get, token
from tests.playbooks.stage import Stage

ROOT = Path(__file__).parents[2]
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({0}, {0}))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def configuration(clients, per_endpoint, endpoints=3):
    return Configuration(
        listeners=[{"address": "127.0.0.1:0"}],
        issuers={"main": {"any_issuer": True, "any_audience": True, "jwks_file": "unused.json"}},
        clusters={
            "main": {
                "endpoints": [{"address": f"127.0.0.1:{9000 + at}"} for at in range(endpoints)],
                "max_connections": per_endpoint,
            }
        },
        limits={"max_connections": clients},
    )


@pytest.mark.parametrize("limit", [160, 256, 1024, 4096, 20_000, 1_000_000, -1])
@pytest.mark.parametrize(("clients", "per_endpoint"), [(16_384, 1024), (100, 1024), (16_384, 1), (10, 10)])
def test_there_is_a_descriptor_for_the_endpoint_of_every_client(limit: int, clients: int, per_endpoint: int) -> None:
    """Whatever the limit: those that are served, a connection to an endpoint for each, and those that are told 503 fit below it."""
    made = configuration(clients, per_endpoint)
    if 0 < limit < 1024:
        limit += len(os.listdir("/proc/self/fd"))  # what other tests left open in this process says nothing
    found = shares(made, limit)
    assert 1 <= found.clients <= clients
    assert found.clients <= found.answered <= 2 * clients
    if limit > 0:
        assert found.answered + min(found.clients, 3 * per_endpoint) + SPARE <= limit
    if limit < 0 or limit >= needed(made) + clients + 100:
        assert found.clients == clients and found.answered == 2 * clients


@pytest.mark.parametrize(
    ("endpoints", "checks", "name", "own"),
    [(3, True, False, 3), (300, True, False, 100), (300, False, True, 40), (3, False, False, 0)],
)
def test_a_balancer_that_checks_and_resolves_itself_leaves_room_for_that(
    endpoints: int, checks: bool, name: bool, own: int
) -> None:
    """A worker of a service does neither."""
    made = configuration(16_384, 1024, endpoints)
    (cluster,) = made.clusters.values()
    members = cluster.endpoints + (endpoints_of([{"address": "api.internal:80"}]) if name else ())
    health_check = HealthCheck() if checks else None
    made = made.model_copy(
        update={"clusters": {"main": cluster.model_copy(update={"endpoints": members, "health_check": health_check})}}
    )
    alone, worker = shares(made, 2_000, is_alone=True), shares(made, 2_000)
    assert alone == shares(made, 2_000 - own)
    assert (alone == worker) is (own == 0)


def test_a_limit_that_leaves_none_for_clients_ends_the_start() -> None:
    """Both numbers are in the message."""
    with pytest.raises(TooFewDescriptors, match=r"can open only 64 files .* raise the limit to 19520"):
        shares(configuration(16_384, 1024), 64)


def test_a_limit_that_is_too_low_is_told_with_the_numbers() -> None:
    """The limit, what would be needed and of what it is made, and how many clients there is room for."""
    told = shortage(configuration(16_384, 1024), 1024)
    for number in ("1024 files", "19520", "16384", "3072", "426 clients"):
        assert number in told
    assert shortage(configuration(16_384, 1024), 19_520) == shortage(configuration(16_384, 1024), -1) == ""


def test_a_soft_limit_is_raised_and_a_failure_to_do_so_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above fs.nr_open the kernel refuses: the service starts with what there is."""
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 1 << 40))

    def refuse(which: int, limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_limit() == 1024


@pytest.mark.parametrize("error", [23, 24], ids=["ENFILE", "EMFILE"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["address", "name"])
def test_a_request_gets_the_descriptor_of_an_unused_connection(
    error: int, host: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When no descriptor is left to connect with, pooled connections are closed and it is tried again; the endpoint is not blamed."""

    async def idle(stage: Stage, count: int) -> None:
        async with asyncio.timeout(60.0):
            while stage.board.endpoint_totals(0)["idle_connections"] != count:
                await asyncio.sleep(0.01)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as server:  # its queue takes them
            port = server.getsockname()[1]
            endpoint = Endpoint(0, "one", host, port, "", 1)
            stage = Stage(endpoints=[endpoint])
            connector = Connector(loop)
            connector.context = stage.context
            connector(endpoint)
            await idle(stage, 1)
            shortages = [OSError(error, "no"), OSError(error, "no")]
            original = socket.socket

            def short(*arguments: Any, **options: Any) -> socket.socket:
                if shortages:
                    raise shortages.pop()
                return original(*arguments, **options)

            monkeypatch.setattr("lbjwt.proxy.connect.socket.socket", short)
            connector(endpoint)
            await idle(stage, 0)
            await idle(stage, 1)
            assert not shortages
            await connector.close()
            stage.context.close()
            await asyncio.sleep(0)

    asyncio.run(run())
    assert caplog.messages == []


class Slow:
    """A backend that counts its requests and answers them once it may."""

    def __init__(self) -> None:
        self.requests = 0
        self.release = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                await self.release.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def test_every_client_that_is_let_in_reaches_its_endpoint(serve, tmp_path: Path, monkeypatch) -> None:
    """300 clients where 256 files may be open: each is answered 200 by an endpoint or turned away at once, none is let in and then fails."""
    wrapped = LIMITED.format(256)
    original = subprocess.Popen

    def limited(command, **options):
        return original([command[0], "-c", wrapped, *command[1:]], **options)

    async def ask(port: int, bearer: str) -> int:
        writer = None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bearer}\r\n\r\n".encode())
            return int((await reader.readuntil(b"\r\n\r\n"))[9:12])
        except (OSError, asyncio.IncompleteReadError):
            return 0
        finally:
            if writer is not None:
                writer.close()

    async def scene() -> None:
        backends = [Slow(), Slow()]
        servers = [await asyncio.start_server(one, "127.0.0.1", 0) for one in backends]
        ports = [server.sockets[0].getsockname()[1] for server in servers]
        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "Popen", limited)
            process = serve(
                clusters={"main": {"endpoints": [{"address": f"127.0.0.1:{port}"} for port in ports]}},
                access_log={"path": "access.log"},
            )
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, process.wait_for, "ready: 1 worker")
        process.wait_for(r"can open 256 files but may need 18496")
        port, admin = int(process.url().rpartition(":")[2]), process.url("admin")
        bearer = token()  # not before the start, which may take a good part of its life
        asked = [loop.create_task(ask(port, bearer)) for _ in range(300)]
        while len([task for task in asked if task.done()]) + sum(one.requests for one in backends) < 300:
            await asyncio.sleep(0.02)
        served = sum(one.requests for one in backends)
        assert served >= 60
        full = time.monotonic() + 30.0
        while (await loop.run_in_executor(None, get, f"{admin}/readyz"))[::2] != (503, "no file descriptors\n"):
            assert time.monotonic() < full
            await asyncio.sleep(0.05)
        for one in backends:
            one.release.set()
        answers = await asyncio.gather(*asked)
        assert answers.count(200) == served
        assert set(answers) <= {0, 200, 503}
        ready = time.monotonic() + 30.0
        while (await loop.run_in_executor(None, get, f"{admin}/readyz"))[0] != 200:
            assert time.monotonic() < ready
            await asyncio.sleep(0.05)
        assert "cannot be reached" not in process.log
        for server in servers:
            server.close()
        process.process.send_signal(signal.SIGTERM)  # lets go of the backends before the loop does
        await loop.run_in_executor(None, process.end)

    asyncio.run(asyncio.wait_for(scene(), 120))


PAUSE = """
import asyncio, json, resource, socket, sys, time
from pathlib import Path
import uvloop
from lbjwt import LoadBalancer
from tests.integration.service_scene import backend, configuration

async def scene():
    async with backend() as (_, port), LoadBalancer(configuration(Path(sys.argv[1]), port)) as balancer:
        (address,) = balancer.addresses
        client = socket.socket()
        client.setblocking(False)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        client.connect_ex(address)
        await asyncio.sleep(1.2)
        before = time.process_time()
        await asyncio.sleep(1.0)
        found = {"burnt": time.process_time() - before, "ready": balancer.board.ready}
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
        found["answer"] = (await asyncio.wait_for(loop.sock_recv(client, 100), 30))[:12].decode()
        for _ in range(300):
            found["ready again"] = balancer.board.ready
            if found["ready again"]:
                break
            await asyncio.sleep(0.01)
        client.close()
        print(json.dumps(found))

uvloop.run(scene())
"""


def test_accepting_pauses_when_no_descriptor_can_be_had(tmp_path: Path) -> None:
    """A client that comes then waits in the queue and is answered later, no processor time is burnt, and readiness says so."""
    done = subprocess.run(
        [sys.executable, "-c", PAUSE, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["burnt"] < 0.5
    assert (found["ready"], found["answer"], found["ready again"]) == (False, "HTTP/1.1 401", True)
