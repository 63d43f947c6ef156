"""The end of a service, step by step: not ready, no new clients, the last responses. Seen from outside, and of a balancer inside a program."""

import asyncio
import contextlib
import http.client
import itertools
import signal
import socket
import threading
import time

import pytest

from lbjwt import LoadBalancer
from lbjwt.config.load import load_text
from tests.integration.serve_scene import get, token
from tests.integration.service_scene import TOKENS, backend
from tests.integration.upgrade_scene import Backend

HEALTH = {"address": "127.0.0.1:0", "health": {"path": "/up"}}


class Probe:
    """Asks every 10 ms over a connection of its own. `seen`: when each status came first, in that order; None is a refused connection."""

    def __init__(self, url, *, bearer=None):
        self.url = url
        self.bearer = bearer
        self.seen = {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.over.wait(0.01):
            try:
                status = get(self.url, bearer=self.bearer)[0]
            except (OSError, http.client.HTTPException):
                status = None
            self.seen.setdefault(status, time.monotonic())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def started(serve, port, **timeouts):
    process = serve(
        listeners=[HEALTH],
        clusters={"main": {"endpoints": [{"address": f"127.0.0.1:{port}"}]}},
        timeouts={"drain": "5s", **timeouts},
        workers=2,
    )
    process.wait_for("ready: 2 workers")
    return process


@pytest.mark.quiet
def test_not_ready_first_then_no_new_clients_then_the_end(serve):
    """After SIGTERM both health checks say 503 at once, requests are answered for the whole lame duck, then the port is closed."""
    scene = Backend()
    with scene.serving() as port:
        process = started(serve, port, lame_duck="1s")
        url, admin = process.url(), process.url("admin")
        kept = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
        slow = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
        fields = {"Authorization": f"Bearer {token()}"}
        slow.request("GET", "/slow", headers=fields)
        assert scene.asked.wait(10)
        with contextlib.closing(kept), contextlib.closing(slow), contextlib.ExitStack() as stack:
            up = stack.enter_context(Probe(f"{url}/up"))
            ready = stack.enter_context(Probe(f"{admin}/readyz"))
            requests = stack.enter_context(Probe(f"{url}/", bearer=token()))
            while not all(200 in one.seen for one in (up, ready, requests)):
                time.sleep(0.01)
            told = time.monotonic()
            process.process.send_signal(signal.SIGTERM)
            while True:  # the port may be closed before the connection is asked again
                kept.request("GET", "/", headers=fields)
                response = kept.getresponse()
                assert (response.status, response.read()) == (200, b"hello")
                last = response.headers["Connection"]
                time.sleep(0.01)
                if last == "close":
                    break
                assert time.monotonic() - told < 30.0
            closed = time.monotonic()
            scene.release.set()
            response = slow.getresponse()
            assert (response.status, response.read(), response.headers["Connection"]) == (200, b"hello", "close")
            while None not in requests.seen:
                time.sleep(0.01)
        assert process.end() == 0
    assert last == "close"
    assert closed - told > 0.9
    for probe in (up, ready):
        assert list(probe.seen)[:2] == [200, 503]
        assert probe.seen[503] - told < 0.5
    assert list(requests.seen) == [200, None]
    assert 0.9 < requests.seen[None] - told < 2.5
    assert "not ready, but serving for 1 s, then draining for at most 5 s" in process.log


@pytest.mark.quiet
def test_a_second_signal_ends_a_lame_duck(serve):
    """Twice SIGTERM: over within a second, with exit code 0."""
    scene = Backend()
    with scene.serving() as port:
        process = started(serve, port, lame_duck="60s")
        process.process.send_signal(signal.SIGTERM)
        process.wait_for("not ready, but serving for 60 s")
        time.sleep(0.15)  # a repetition within a tenth of a second is an echo
        assert process.process.poll() is None
        again = time.monotonic()
        process.process.send_signal(signal.SIGTERM)
        assert process.end() == 0
        assert time.monotonic() - again < 1.5


@pytest.mark.quiet
def test_a_stream_is_cut_at_the_end_of_the_drain(serve):
    """A response without an end gets the whole drain, and the process ends a second later at the latest."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def stream():
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while True:
                    connection.sendall(b"1\r\nx\r\n")
                    time.sleep(0.05)

        thread = threading.Thread(target=stream)
        thread.start()
        process = started(serve, server.getsockname()[1], drain="1s", lame_duck="500ms")
        client = http.client.HTTPConnection(process.url().removeprefix("http://"), timeout=30)
        client.request("GET", "/", headers={"Authorization": f"Bearer {token()}"})
        response = client.getresponse()
        assert response.read(1) == b"x"
        told = time.monotonic()
        process.process.send_signal(signal.SIGTERM)
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            response.read()
        cut = time.monotonic() - told
        assert process.end() == 0
        assert 1.4 < cut < 2.4
        assert time.monotonic() - told < 3.0
        client.close()
        thread.join()


def test_a_websocket_is_told_and_ends_by_itself(serve):
    """Code 1001; the client's reply ends the endpoint's side, and the service does not wait for the end of the drain."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        got = []

        def echo():
            connection, _ = server.accept()
            with connection:
                head = connection.recv(65536)
                assert b"Upgrade: websocket" in head
                connection.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x02hi"
                )
                got.append(connection.recv(65536))

        thread = threading.Thread(target=echo)
        thread.start()
        process = started(serve, server.getsockname()[1], drain="50s")
        host, port = process.url().removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as client:
            client.sendall(
                f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            )
            data = b""
            while not data.endswith(b"\x81\x02hi"):
                data += client.recv(4096)
            told = time.monotonic()
            process.process.send_signal(signal.SIGTERM)
            assert client.recv(4096) == b"\x88\x02\x03\xe9"
            reply = b"\x88\x82\x00\x00\x00\x00\x03\xe9"
            client.sendall(reply)
            assert client.recv(4096) == b""
        thread.join()
        assert got == [reply]
        assert process.end() == 0
        assert time.monotonic() - told < 30.0


def test_an_embedded_drain_is_a_lame_duck_too(tmp_path):
    """Not ready at once, while new clients are served; then they are refused."""

    async def ask(address, path, bearer):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(f"GET {path} HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n\r\n".encode())
        status = int((await reader.read()).split()[1])
        writer.close()
        return status

    async def play():
        async with backend() as (_, port):
            TOKENS.write_jwks(tmp_path / "jwks.json")
            made = load_text(
                f"""
listeners: [{{address: "127.0.0.1:0", health: {{path: /up}}}}]
issuers: {{main: {{issuer: "{TOKENS.issuer}", audiences: [{TOKENS.audience}], jwks_file: jwks.json}}}}
clusters: {{main: {{endpoints: [{{address: "127.0.0.1:{port}"}}]}}}}
timeouts: {{drain: 5s, lame_duck: 1s}}
""",
                tmp_path,
            )
            async with LoadBalancer(made) as balancer:
                address = balancer.addresses[0]
                assert await ask(address, "/up", "") == 200
                draining = asyncio.create_task(balancer.drain())
                await asyncio.sleep(0)
                seen = []
                for _ in itertools.count():
                    try:
                        seen.append((await ask(address, "/up", ""), await ask(address, "/", TOKENS.mint())))
                    except OSError:
                        break
                await draining
                assert len(seen) > 3
                assert set(seen) == {(503, 200)}

    asyncio.run(play())
