"""`LoadBalancer` inside somebody else's program: an async context manager over real sockets, under asyncio's own loop and under uvloop."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from lbjwt import LbjwtError, LoadBalancer
from lbjwt.config.model import Revocation
from lbjwt.errors import ConfigurationError
from lbjwt.observe._board import Board
from tests.harness.ports import free_port
from tests.integration.service_scene import TOKENS, backend, configuration

Scene = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest) -> Scene:
    """Runs a coroutine in a loop of each kind, with debug mode off, as programs do."""

    def run(scene: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(scene, 60))

    return run


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

            async def answer_while_draining(balancer: LoadBalancer) -> None:
                while not balancer.board.draining:
                    await asyncio.sleep(0.01)
                seen.gate.set()

            seen.gate.clear()
            async with LoadBalancer(configuration(tmp_path, port)) as balancer:
                (address,) = balancer.addresses
                under_way = asyncio.create_task(ask(address, request(b"late", TOKENS.mint())))
                await seen.arrived.wait()
                answering = asyncio.create_task(answer_while_draining(balancer))
            await answering
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
                balancer._periodic.stop()  # none of its own looks comes between
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
    assert caplog.messages == ["2 internal errors, the last one a KeyError; lbjwt refused the affected requests"]


def test_a_start_that_fails_leaves_nothing_behind(play: Scene, tmp_path: Path) -> None:
    """Without its key file the block is not entered, the reason is told, and the port can be had by the next one."""

    async def scene() -> None:
        port = free_port()
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


async def ask_admin(
    balancer: LoadBalancer, method: str, path: str, document: object = None, host: str = "localhost"
) -> tuple[int, bytes]:
    """Status and body of an answer of the admin API."""
    body = b"" if document is None else json.dumps(document).encode()
    fields = "" if document is None else "Content-Type: application/json\r\n"
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: {len(body)}\r\n\r\n".encode()
    answer, got = await ask(balancer.admin_addresses[0], head + body)
    return int(answer.split()[1]), got


@pytest.mark.parametrize("state", ["", "state_directory: state"], ids=["memory", "disk"])
def test_log_and_admin_api_work_embedded(play: Scene, tmp_path: Path, state: str) -> None:
    """What the configuration asks for is there in one process too: readiness, metrics, status, revoking and taking back at once, a line a request."""
    more = f'admin: {{address: "127.0.0.1:0"}}\naccess_log: {{path: access.log}}\nrevocation: {{}}\n{state}'

    async def scene() -> None:
        async with backend() as (_, port):
            token = TOKENS.mint(sub="alice")
            async with LoadBalancer(configuration(tmp_path, port, more=more)) as balancer:
                (address,), (door,) = balancer.addresses, balancer.admin_addresses
                assert (await ask_admin(balancer, "GET", "/readyz"))[0] == 200
                statuses = []
                for method in ("POST", "DELETE", ""):
                    head, _ = await ask(address, request(token=token))
                    statuses.append(int(head.split()[1]))
                    if method:
                        assert (await ask_admin(balancer, method, "/revocations", {"sub": "alice"}))[0] == 200
                assert statuses == [200, 401, 200]
                await ask(address, request())
                assert (
                    b'lbjwt_requests_total{status_class="4xx"} 2.0' in (await ask_admin(balancer, "GET", "/metrics"))[1]
                )
                status = json.loads((await ask_admin(balancer, "GET", "/status"))[1])
                assert status["ready"] and status["suspicious_addresses"][0]["address"] == "127.0.0.1"
                await ask_admin(balancer, "POST", "/revocations", {"sub": "alice"})
            for closed in (address, door):
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection(*closed)
            lines = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
            assert [line["status"] for line in lines[-4:]] == [200, 401, 200, 401]
            async with LoadBalancer(configuration(tmp_path, port, more=more)) as balancer:
                head, _ = await ask(balancer.addresses[0], request(token=token))
                assert int(head.split()[1]) == (401 if state else 200), "what is on disk outlives the process"

    play(scene())


def test_a_page_under_a_rebound_name_takes_no_revocation_back(play: Scene, tmp_path: Path) -> None:
    """A DELETE under another name than this machine's is 421, and the entry stays in force."""

    async def scene() -> None:
        more = 'admin: {address: "127.0.0.1:0"}\nrevocation: {}'
        async with LoadBalancer(configuration(tmp_path, 1, more=more)) as balancer:
            await ask_admin(balancer, "POST", "/revocations", {"sub": "alice"})
            assert (await ask_admin(balancer, "DELETE", "/revocations", {"sub": "alice"}, "evil.example"))[0] == 421
            assert json.loads((await ask_admin(balancer, "GET", "/revocations"))[1])["in_force"] == 1

    play(scene())


def test_readiness_ends_with_the_drain(play: Scene, tmp_path: Path) -> None:
    """While requests under way are answered, the admin API says that no new ones are wanted."""

    async def scene() -> None:
        async with backend() as (seen, port):
            seen.gate.clear()
            more = 'admin: {address: "127.0.0.1:0"}'
            async with LoadBalancer(configuration(tmp_path, port, more=more)) as balancer:
                under_way = asyncio.create_task(ask(balancer.addresses[0], request(b"late", TOKENS.mint())))
                await seen.arrived.wait()
                draining = asyncio.create_task(balancer.drain())
                await asyncio.sleep(0)
                assert await ask_admin(balancer, "GET", "/readyz") == (503, b"draining\n")
                seen.gate.set()
                await asyncio.gather(under_way, draining)

    play(scene())


@pytest.mark.parametrize("workers", ["2", "auto"])
def test_more_workers_are_an_error_embedded(tmp_path: Path, workers: str) -> None:
    """A balancer inside a program starts no processes, and does not quietly run with one."""
    with pytest.raises(ConfigurationError, match="workers: a LoadBalancer runs as a single worker"):
        LoadBalancer(configuration(tmp_path, 1, more=f"workers: {workers}"))


def test_an_access_log_that_cannot_be_opened_is_an_error_embedded(play: Scene, tmp_path: Path) -> None:
    """The key, the file and the cause, and nothing is left open."""

    async def scene() -> None:
        balancer = LoadBalancer(configuration(tmp_path, 1, more="access_log: {path: absent/access.log}"))
        with pytest.raises(
            ConfigurationError, match=r"access_log\.path: cannot open .*absent/access\.log: No such file"
        ):
            async with balancer:
                pass

    play(scene())


def test_a_worker_of_a_service_opens_no_admin_api(play: Scene, tmp_path: Path) -> None:
    """With a board of a service that is the service's; and its number of workers is no matter of one of them."""
    more = 'admin: {address: "127.0.0.1:0"}\nworkers: 2'

    async def scene() -> None:
        async with LoadBalancer(configuration(tmp_path, 1, more=more), board=Board(2, 1)) as balancer:
            assert balancer.admin_addresses == []

    play(scene())


def test_without_an_admin_api_aiohttp_is_not_imported(tmp_path: Path) -> None:
    """Half of the start time of a small program would be for nothing."""
    configuration(tmp_path, 1)
    program = """
import asyncio, pathlib, sys
from lbjwt import LoadBalancer
from lbjwt.config.load import load_text

text = '''
listeners: [{address: "127.0.0.1:0"}]
issuers: {main: {issuer: x, audiences: [api], jwks_file: jwks.json}}
clusters: {main: {endpoints: [{address: "127.0.0.1:1"}]}}
access_log: {path: access.log}
revocation: {}
'''
async def main():
    async with LoadBalancer(load_text(text, pathlib.Path.cwd())):
        print("aiohttp" in sys.modules)
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_metrics_name_routes_and_the_cluster(play: Scene, tmp_path: Path) -> None:
    """Each request counts for the route that was found, refused ones too; one without a route for none; endpoints are told with their cluster."""
    more = """
admin: {address: "127.0.0.1:0"}
routes:
  - {name: orders, path: /}
  - {name: open, prefix: /open, public: true}
"""

    async def scene() -> None:
        async with backend() as (_, port), LoadBalancer(configuration(tmp_path, port, more=more)) as balancer:
            (address,) = balancer.addresses
            for target in (b"/", b"/open", b"/nowhere"):
                await ask(address, request().replace(b"POST / ", b"POST %b " % target))
            for _ in range(2):
                await ask(address, request(token=TOKENS.mint()))
            text = (await ask_admin(balancer, "GET", "/metrics"))[1].decode()
            counted = sorted(
                line for line in text.splitlines() if "lbjwt_route_requests_total{" in line and "} 0.0" not in line
            )
            assert counted == [
                'lbjwt_route_requests_total{route="open",status_class="2xx"} 1.0',
                'lbjwt_route_requests_total{route="orders",status_class="2xx"} 2.0',
                'lbjwt_route_requests_total{route="orders",status_class="4xx"} 1.0',
            ]
            assert f'lbjwt_endpoint_requests_total{{cluster="main",endpoint="127.0.0.1:{port}"}} 3.0' in text

    play(scene())
