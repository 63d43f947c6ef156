"""HTTP/2 to clients over TLS, with real sockets and processes: agreement, bodies, limits, and programs that are replaced under load."""

from __future__ import annotations

import hashlib
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness.http2 import PREFACE, SETTINGS, Http2Client, Reply, frame, head
from tests.harness.ports import free_port
from tests.harness.script import pattern
from tests.harness.stage import Stage
from tests.harness.tls import TlsWire
from tests.harness.waiting import eventually

MAX_CONNECTIONS = 6


def trust(files: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(files / "cert.pem"))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, files: Path) -> Iterator[Stage]:
    """A TLS listener, and an endpoint that speaks HTTP/1; in the end nothing is counted, and nothing went wrong."""
    port = free_port()
    tls = {"certificate": str(files / "cert.pem"), "private_key": str(files / "key.pem")}
    limits = {"max_connections": MAX_CONNECTIONS}
    with Stage(
        tmp_path_factory.mktemp("http2"), listeners=[{"address": f"127.0.0.1:{port}", "tls": tls}], limits=limits
    ) as stage:
        stage.balancer.port = port
        yield stage
        assert eventually(lambda: stage.balancer.metric("lbjwt_requests_in_flight") == 0)
        assert "Traceback" not in stage.balancer.stderr, stage.balancer.stderr


def test_alpn_decides(stage: Stage, files: Path) -> None:
    """HTTP/2 to who offers it, HTTP/1.1 to who does not, also without ALPN."""
    with Http2Client(stage.port, tls=trust(files)) as client:
        assert isinstance(client.socket, ssl.SSLSocket) and client.socket.selected_alpn_protocol() == "h2"
        assert client.ask(token=stage.token).status == 200
        assert client.ask().status == 401
    for offered in (["http/1.1"], []):
        context = trust(files)
        if offered:
            context.set_alpn_protocols(offered)
        with TlsWire(stage.port, context) as wire:
            wire.send(b"GET /r/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + stage.token.encode() + b"\r\n\r\n")
            assert wire.read_until(b"\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("offered", ["h2", "http/1.1", None])
def test_another_protocol_than_was_agreed_on_reaches_nobody(stage: Stage, files: Path, offered: str | None) -> None:
    """HTTP/1 where HTTP/2 was agreed on, the preface of HTTP/2 where it was not, and an upgrade to h2c on top of TLS."""
    context = trust(files)
    if offered:
        context.set_alpn_protocols([offered])
    good = b"GET /r/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + stage.token.encode() + b"\r\n"
    before = len(stage.seen)
    with TlsWire(stage.port, context) as wire:
        wire.send(good + b"\r\n" if offered == "h2" else PREFACE + frame(SETTINGS))
        answer = b""
        with suppress(ConnectionResetError, ssl.SSLEOFError):
            while piece := wire.read():
                answer += piece
        assert b" 200 " not in answer and (offered == "h2" or answer.startswith(b"HTTP/1.1 505 "))
    assert len(stage.seen) == before
    if offered != "h2":
        with TlsWire(stage.port, context) as wire:
            wire.send(good + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
            assert wire.read_until(b"\n").startswith(b"HTTP/1.1 200 ")
        assert not any(word in stage.seen[-1].head.lower() for word in (b"upgrade", b"http2-settings", b"h2c"))


def test_bodies_of_many_streams_are_byte_exact(stage: Stage, files: Path) -> None:
    """Downloads of every framing and uploads, forty at once on one connection."""
    sizes = (0, 1, 16384, 65536, 200_000)
    with Http2Client(stage.port, tls=trust(files)) as client:
        downloads = {
            client.begin(head("GET", f"/{kind}/{size}", token=stage.token)): size
            for kind in ("bytes", "chunked", "eof")
            for size in sizes
        }
        uploads = {}
        for size in sizes[1:]:
            length = [(b"content-length", b"%d" % size)]
            for more in (length, []):
                number = client.begin(head("POST", "/upload", token=stage.token, more=more), pattern(size))
                uploads[number] = size
        for number, size in downloads.items():
            assert (client.reply(number).status, client.reply(number).body == pattern(size)) == (200, True)
        for number, size in uploads.items():
            digest = hashlib.sha256(pattern(size)).hexdigest()
            assert client.reply(number).body.decode().split()[-2:] == [str(size), digest]


def test_records_of_one_byte(stage: Stage, files: Path) -> None:
    """Preface, SETTINGS and HEADERS in pieces are the same request."""
    with Http2Client(stage.port, tls=trust(files)) as client:
        number = client.peer.request(head(token=stage.token, path="/r/x"))
        for byte in client.peer.output():
            client.socket.sendall(bytes([byte]))
        assert client.reply(number).status == 200


def test_no_room_for_another_connection(stage: Stage, files: Path) -> None:
    """Past `max_connections` a client is turned away without a handshake; streams of the others are served, and room is given back."""
    assert eventually(lambda: stage.balancer.metric("lbjwt_connections") == 0), "of the tests before"
    clients = [Http2Client(stage.port, tls=trust(files)) for _ in range(MAX_CONNECTIONS)]

    def is_turned_away() -> bool:
        try:
            with Http2Client(stage.port, tls=trust(files)) as client:
                # Reset before the client's first byte: Python makes a connection without a handshake of it.
                return client.is_closed() and not client.peer.settings
        except (OSError, ssl.SSLError):
            return True

    try:
        assert is_turned_away()
        assert all(client.ask(token=stage.token).status == 200 for client in clients)
    finally:
        for client in clients:
            client.socket.close()

    def is_served() -> bool:
        try:
            with Http2Client(stage.port, tls=trust(files)) as client:
                return client.ask(token=stage.token).status == 200
        except (AssertionError, OSError):
            return False

    assert eventually(is_served)


def test_a_client_that_goes_without_a_word(stage: Stage, files: Path) -> None:
    """A reset, a close_notify and a FIN under way: the requests are given up."""
    for end in ("reset", "fin"):
        client = Http2Client(stage.port, tls=trust(files))
        for _ in range(5):
            client.begin(head("GET", "/slow/3000", token=stage.token))
        assert eventually(lambda: stage.balancer.metric("lbjwt_requests_in_flight") == 5)
        if end == "fin":
            client.socket.shutdown(socket.SHUT_WR)
        client.socket.close()
        assert eventually(lambda: stage.balancer.metric("lbjwt_requests_in_flight") == 0)


class Visitor(threading.Thread):
    """Requests one after another on one connection, and on the next when the balancer says that no more are taken; failures are kept."""

    def __init__(self, port: int, token: str) -> None:
        super().__init__()
        self.port, self.token = port, token
        self.over = threading.Event()
        self.served = self.connections = 0
        self.failures: list[str] = []

    def run(self) -> None:
        """Until `over`."""
        while not self.over.is_set():
            with Http2Client(self.port) as client:
                self.connections += 1
                while not client.peer.goaways and not self.over.is_set():
                    number = client.begin(head(path="/r/x", token=self.token))
                    self._read(client, number)
                    time.sleep(0.005)

    def _read(self, client: Http2Client, number: int) -> None:
        reply: Reply = client.peer.replies[number]
        ended = False
        while not reply.is_over and not ended:
            ended = not client.receive()
        last = client.peer.goaways[-1][0] if client.peer.goaways else 1 << 31
        if reply.status == 200 and reply.ended:
            self.served += 1
        elif number <= last:  # else it was not looked at, and a client sends it again (RFC 9113 section 8.7)
            self.failures.append(f"stream {number} of {last}: status {reply.status}, reset {reply.reset}")


def test_a_replaced_program_loses_no_stream(tmp_path: Path) -> None:
    """SIGUSR2: clients are told in two steps to open another connection; streams under way are answered by the old program."""
    port = free_port()
    with Stage(tmp_path, listeners=[{"address": f"127.0.0.1:{port}", "h2c": True}]) as stage:
        visitors = [Visitor(port, stage.token) for _ in range(3)]
        with Http2Client(port) as patient:
            slow = patient.begin(head("GET", "/slow/1000", token=stage.token))
            for visitor in visitors:
                visitor.start()
            assert eventually(lambda: all(visitor.served > 5 for visitor in visitors))
            stage.balancer.signal(signal.SIGUSR2)
            assert eventually(lambda: "drained" in stage.balancer.stderr, 90.0), stage.balancer.stderr
            assert patient.reply(slow).status == 200
            assert patient.is_closed() and patient.peer.goaways[0][0] == 2**31 - 1
        assert eventually(lambda: all(visitor.connections >= 2 for visitor in visitors))
        for visitor in visitors:
            visitor.over.set()
            visitor.join()
        assert [visitor.failures for visitor in visitors] == [[], [], []]
        assert all(visitor.served > 5 and visitor.connections >= 2 for visitor in visitors)
