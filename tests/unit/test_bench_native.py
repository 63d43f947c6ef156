"""The floor and the backend, compiled and asked over real sockets."""

from __future__ import annotations

import socket

import pytest

from bench import child, client, native
from bench.layout import own_cores
from tests.harness.ports import free_port

pytestmark = pytest.mark.skipif(native.compiler() is None, reason="no C compiler")


@pytest.fixture(scope="module")
def ports(tmp_path_factory):
    """A backend with the floor in front of it: (backend port, floor port)."""
    directory = tmp_path_factory.mktemp("native")
    backend, floor = free_port(), free_port()
    cores = tuple(own_cores())
    with (
        child.running(
            "backend",
            [str(native.built("backend", directory)), str(backend)],
            port=backend,
            cores=cores,
            directory=directory,
        ),
        child.running(
            "floor",
            [str(native.built("floor", directory)), str(floor), str(backend)],
            port=floor,
            cores=cores,
            directory=directory,
        ),
    ):
        yield backend, floor


def exchange(port, sent, pieces=1):
    """Send bytes in so many pieces, end with Connection: close, and return all that came back."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        step = max(1, len(sent) // pieces)
        for start in range(0, len(sent), step):
            connection.sendall(sent[start : start + step])
        received = b""
        while piece := connection.recv(65536):
            received += piece
        return received


GET = b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(("path", "size"), [(b"/", 12), (b"/10k", 10 << 10), (b"/100k", 100 << 10), (b"/1m", 1 << 20)])
@pytest.mark.parametrize("through", ["backend", "floor"])
def test_each_path_has_its_size(ports, path, size, through):
    """The body is as long as its Content-Length says, directly and through the floor."""
    port = ports[through == "floor"]
    sent = (GET % path).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    head, _, body = exchange(port, sent).partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % size in head
    assert len(body) == size


@pytest.mark.parametrize("pieces", [1, 7, 1000])
@pytest.mark.parametrize("through", ["backend", "floor"])
def test_requests_in_a_row_are_answered_one_by_one(ports, through, pieces):
    """Pipelined requests with bodies, however the bytes arrive, have one answer each and the bodies are thrown away."""
    post = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4000\r\n\r\n" + b"GET /1m HTTP/1.1\r\n\r\n" * 200
    received = exchange(ports[through == "floor"], post + GET % b"/" + post + LAST, pieces)
    assert received.count(b"HTTP/1.1 200 OK") == 4
    assert len(received) < 1000


def test_the_backend_counts_what_it_answered(ports):
    """The count grows by the requests made, and asking for it does not count."""
    backend, floor = ports
    before = client.answered_by_backend(backend)
    for _ in range(3):
        assert client.status(floor, "/", None) == 200
    assert client.answered_by_backend(backend) - before == 3


def test_a_slow_reader_gets_everything_through_the_floor(ports):
    """A client that does not read for a while loses nothing: what its socket did not take is kept."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", ports[1]))
        connection.settimeout(5)
        connection.sendall((GET % b"/1m") * 3 + LAST)
        received = 0
        while piece := connection.recv(2048):
            received += len(piece)
    assert received > 3 << 20


def test_a_program_that_cannot_start_says_why(tmp_path):
    """Its status and what it printed are in the sentence."""
    program = str(native.built("floor", tmp_path))
    with (
        pytest.raises(child.BenchError, match="usage: floor"),
        child.running("floor", [program], port=free_port(), cores=tuple(own_cores()), directory=tmp_path),
    ):
        pass
