"""One health check of real sockets: what passes, what fails and why, within its time, on a connection that is closed afterwards."""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lbjwt.address import Address
from lbjwt.assembly.backend_tls import backend_tls_of
from lbjwt.assembly.health import check_targets
from lbjwt.config.model import Cluster
from lbjwt.net.certificate import BackendTls, BackendTlsSettings
from lbjwt.upstream.health import probe as probe_module
from lbjwt.upstream.health.probe import NotMade, Target, probe
from lbjwt.upstream.health.settings import HealthCheck, Statuses
from tests.harness.closing import close_server
from tests.integration.authority import Authority
from tests.integration.service_reload_scene import LOOP_NAMES, LOOPS, Scene, player

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=LOOPS, ids=LOOP_NAMES)
def play(request: pytest.FixtureRequest) -> Scene:
    """Runs a coroutine in a loop of each kind."""
    return player(request.param)


class Peer:
    """A server that sends what it is told after a request came, and knows what it got and whether the connection was closed."""

    def __init__(self, *pieces: bytes, ends: bool = False, endless: bytes = b"") -> None:
        self.got = b""
        self.closed = asyncio.Event()
        self.sent = 0
        self._pieces = pieces
        self._ends = ends
        self._endless = endless

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            self.got = await reader.readuntil(b"\r\n\r\n")
            for piece in self._pieces:
                writer.write(piece)
                await writer.drain()
            while self._endless:
                writer.write(self._endless)
                self.sent += len(self._endless)
                await writer.drain()
            if self._ends:
                writer.close()
            await reader.read()
        writer.transport.abort()
        self.closed.set()


@contextlib.asynccontextmanager
async def listening(peer: Peer, **options: Any) -> AsyncIterator[Address]:
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0, **options)
    try:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        await close_server(server)


def target(address: Address, **check: Any) -> Target:
    return Target(0, "main", address, HealthCheck(**{"path": "/health?deep=1", "timeout": 5.0, **check}))


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nall good"


def test_the_request_has_a_fixed_text_and_the_connection_is_closed(play: Scene) -> None:
    """Nothing in it but what the configuration says; the peer sees the end although it would have kept the connection."""

    async def scene() -> None:
        peer = Peer(OK)
        async with listening(peer) as address:
            assert await probe(target(address, host="api.internal", method="OPTIONS")) == ""
            await asyncio.wait_for(peer.closed.wait(), 30)
        assert peer.got == (
            b"OPTIONS /health?deep=1 HTTP/1.1\r\nHost: api.internal\r\nUser-Agent: lbjwt-health-check\r\nAccept: */*\r\n"
            b"Connection: close\r\n\r\n"
        )

    play(scene())


@pytest.mark.parametrize(
    ("peer", "check", "failure"),
    [
        (lambda: Peer(b"HTTP/1.1 503 Busy\r\n\r\n"), {}, "status 503"),
        (lambda: Peer(OK), {"statuses": Statuses.read(204)}, "status 200"),
        (lambda: Peer(OK[:20], OK[20:]), {"body": "all good"}, ""),
        (lambda: Peer(OK), {"body": "ready"}, "the text of `body` is not in the response"),
        (lambda: Peer(ends=True), {}, "the connection was closed without a whole response head"),
        (lambda: Peer(OK[:-3], ends=True), {"body": "all good"}, "the text of `body` is not in the response"),
    ],
)
def test_the_response_decides(play: Scene, peer: Callable[[], Peer], check: dict[str, Any], failure: str) -> None:
    async def scene() -> None:
        made = peer()
        async with listening(made) as address:
            assert await probe(target(address, **check)) == failure

    play(scene())


def test_silence_fails_in_time(play: Scene) -> None:
    """The time is for the whole check: a byte now and then does not prolong it."""

    async def scene() -> None:
        async with listening(Peer()) as address:
            assert await probe(target(address, timeout=1.0)) == "no response within 1 s"

        class Slow(Peer):
            async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                for byte in OK:
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0.1)
                    if writer.is_closing():
                        break
                self.closed.set()

        slow = Slow()
        async with listening(slow) as address:
            assert await probe(target(address, timeout=1.0)) == "no response within 1 s"
            await asyncio.wait_for(slow.closed.wait(), 30)

    play(scene())


def test_an_endless_body_is_not_read_to_its_end(play: Scene) -> None:
    """The check ends, and the peer cannot write on."""

    async def scene() -> None:
        peer = Peer(b"HTTP/1.1 200 OK\r\n\r\n", endless=b"x" * 4096)
        async with listening(peer) as address:
            assert await probe(target(address, body="ok", timeout=30.0)) == (
                "the text of `body` is not in the first 64 KiB of the response"
            )
            await asyncio.wait_for(peer.closed.wait(), 30)

    play(scene())


def test_a_refused_connection_fails_at_once(play: Scene, tmp_path: Path) -> None:
    async def scene() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = Address("127.0.0.1", free.getsockname()[1])
            assert await probe(target(address)) == "connection refused"
            assert await probe(target(address, type="tcp")) == "connection refused"
        assert await probe(target(Address(path=str(tmp_path / "none")))) == "no such file or directory"

    play(scene())


def test_tcp_asks_nothing(play: Scene) -> None:
    """An accepted connection is enough, and the peer sees its end without a byte."""

    async def scene() -> None:
        got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        class Silent(Peer):
            async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                got.set_result(await reader.read())
                writer.close()

        async with listening(Silent()) as address:
            assert await probe(target(address, type="tcp")) == ""
            assert await asyncio.wait_for(got, 30) == b""

    play(scene())


def test_a_unix_socket_and_a_port_of_its_own(play: Scene, tmp_path: Path) -> None:
    """`Host` names the endpoint, or localhost where it has no name."""

    async def scene() -> None:
        peer = Peer(OK)
        server = await asyncio.start_unix_server(peer.serve, str(tmp_path / "app.sock"))
        assert await probe(target(Address(path=str(tmp_path / "app.sock")))) == ""
        await close_server(server)
        assert b"\r\nHost: localhost\r\n" in peer.got
        other = Peer(OK)
        async with listening(other) as address:
            assert await probe(target(Address("127.0.0.1", 1), port=address.port)) == ""
        assert b"\r\nHost: 127.0.0.1:1\r\n" in other.got

    play(scene())


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS], ids=errno.errorcode.__getitem__)
def test_a_fault_of_this_machine_says_nothing_of_the_endpoint(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """No descriptor, no local port, no memory: no result."""

    async def fail(target: Target) -> Any:
        raise OSError(number, "no")

    monkeypatch.setattr(probe_module, "_connect", fail)
    with pytest.raises(NotMade):
        asyncio.run(probe(target(Address("127.0.0.1", 1))))


@pytest.mark.parametrize(
    ("https", "check", "over_tls"),
    [
        (False, {}, False),
        (True, {}, True),
        (True, {"scheme": "http"}, False),
        (False, {"scheme": "https"}, True),
        (True, {"type": "tcp"}, False),
        (False, {"type": "tcp"}, False),
    ],
)
def test_every_endpoint_can_be_checked_by_http_https_and_tcp(
    play: Scene, tmp_path: Path, https: bool, check: dict[str, Any], over_tls: bool
) -> None:
    """As requests go there, unless the check says otherwise: a management port may speak plain HTTP, and TCP shakes no hands."""
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("backend", names=["localhost"]))
    handshakes: list[object] = []
    context.sni_callback = lambda *seen: handshakes.append(seen)

    async def scene() -> None:
        async with listening(Peer(OK), **({"ssl": context} if over_tls else {})) as address:
            section: dict[str, Any] = {
                "endpoints": [{"address": f"{'https://' * https}localhost:{address.port}"}],
                "health_check": {"timeout": "10s", **check},
                **({"tls": {"ca": str(authority.ca_file)}} if https or over_tls else {}),
            }
            cluster = Cluster.model_validate(section)
            rows = {("main", str(cluster.endpoints[0].address)): 0}
            (made,) = check_targets("main", cluster, rows, backend_tls_of("main", cluster))
            assert await probe(made) == ""
            assert bool(handshakes) is over_tls

    play(scene())


def test_tls_is_verified(play: Scene, tmp_path: Path) -> None:
    """A certificate that no authority signed fails; with the authority and the right name, the response decides."""
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("backend", names=["localhost"]))
    trusting = BackendTlsSettings(ca=authority.ca_file, server_name="localhost")

    async def probed(address: Address, settings: BackendTlsSettings) -> str:
        tls = BackendTls(settings, key="clusters.main.tls")
        return await probe(Target(0, "main", address, HealthCheck(timeout=10.0), tls))

    async def scene() -> None:
        async with listening(Peer(OK), ssl=context) as address:
            assert await probed(address, trusting) == ""
            strange = await probed(address, replace(trusting, ca=None))
            assert "signed by an authority that is not trusted" in strange
            wrong = await probed(address, replace(trusting, server_name="other.test"))
            assert wrong == "the TLS handshake failed: its certificate is not for other.test"

    play(scene())
