"""Large bodies, slow peers and ends at any moment: flat memory, back-pressure, nothing cut that looks whole."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.harness.client import Outcome, request
from tests.harness.script import PATTERN, pattern
from tests.harness.stage import Stage, curl
from tests.harness.waiting import eventually

MIB = 1 << 20
LARGE = 64 * MIB
GROWTH = 4 * MIB  # what a worker may grow by, whatever the body's size


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One honest backend; the balancer has served a little already."""
    with Stage(tmp_path_factory.mktemp("flow")) as stage:
        with stage.client() as client:
            for _ in range(50):
                client.ask("/bytes/200000", token=stage.token)
        yield stage


@pytest.mark.parametrize("kind", ["bytes", "chunked", "eof"])
def test_large_download_at_flat_memory(stage: Stage, kind: str) -> None:
    """64 MiB to a client that reads slowly at first grows the balancer by less than 4 MiB (THREATS Q12)."""
    before = stage.balancer.usage().rss
    peak, total = 0, 0
    with stage.client(receive_buffer=65536, timeout=20.0) as client:
        client.socket.sendall(request(f"/{kind}/{LARGE}", token=stage.token, version="1.0"))
        time.sleep(0.5)
        peak = stage.balancer.usage().rss
        digest = hashlib.sha256()
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.socket.recv(4096)
        body = head.partition(b"\r\n\r\n")[2]
        marks = 0
        while body:
            total += len(body)
            digest.update(body)
            if total // (8 * MIB) > marks:
                marks += 1
                peak = max(peak, stage.balancer.usage().rss)
            body = client.socket.recv(262144)
    expected = hashlib.sha256()
    for at in range(0, LARGE, len(PATTERN)):
        expected.update(PATTERN[: min(len(PATTERN), LARGE - at)])
    assert total == LARGE
    assert digest.digest() == expected.digest()
    assert peak - before < GROWTH, f"grew by {(peak - before) / MIB:.1f} MiB"


@pytest.mark.parametrize("chunked", [False, True])
def test_large_upload_at_flat_memory(stage: Stage, chunked: bool, tmp_path: Path) -> None:
    """64 MiB from curl grows the balancer by less than 4 MiB and arrives unchanged."""
    body = tmp_path / "body"
    body.write_bytes(pattern(LARGE))
    before = stage.balancer.usage().rss
    answer = curl(
        stage,
        "/upload",
        "-X",
        "POST",
        "-T",
        str(body),
        *(["-H", "Transfer-Encoding: chunked"] if chunked else []),
        token=stage.token,
    )
    grown = stage.balancer.usage().rss - before
    assert answer.body.decode().split()[-1] == hashlib.sha256(body.read_bytes()).hexdigest()
    assert grown < GROWTH, f"grew by {grown / MIB:.1f} MiB"


def test_a_client_that_stops_reading_pauses_the_backend(stage: Stage) -> None:
    """The backend of a stalled reader is paused long before the body's end (THREATS Q12, S3)."""
    with stage.client(receive_buffer=16384) as client:
        client.send(request(f"/bytes/{LARGE}", token=stage.token, id="stalled"))
        assert eventually(lambda: stage.seen and stage.seen[-1].id == "stalled")
        time.sleep(0.5)
        assert not stage.seen[-1].sent
        client.abort()
    assert eventually(
        lambda: all(
            not connection.transport.get_write_buffer_size() for connection in list(stage.backends[0].site.connections)
        )
    )


def has_seen(stage: Stage, id: str) -> bool:
    """The request reached a backend."""
    return any(record.id == id for record in stage.seen)


def has_fewer_connections(stage: Stage, limit: int) -> bool:
    """The balancer closed one of its connections to the backend."""
    return len(stage.backends[0].site.connections) < limit


def test_client_abort_ends_the_backend_side(stage: Stage) -> None:
    """A reset in the middle of a download or upload closes the backend's connection, and the balancer goes on."""
    for number, part in enumerate(
        (
            request(f"/bytes/{LARGE}", token=stage.token, id="ab-0"),
            request("/upload", method="POST", token=stage.token, id="ab-1", fields=["Content-Length: 1000000"])
            + b"x" * 1000,
            request("/slow/20000", token=stage.token, id="ab-2"),
        )
    ):
        with stage.client() as client:
            client.send(part)
            assert eventually(partial(has_seen, stage, f"ab-{number}"))
            open_before = len(stage.backends[0].site.connections)
            client.abort()
        assert eventually(partial(has_fewer_connections, stage, open_before)), part[:40]
    assert curl(stage, "/r/x", token=stage.token).status == 200


def test_files_return_to_the_baseline(stage: Stage) -> None:
    """Three hundred aborted exchanges leave no open file behind."""
    baseline = stage.balancer.usage().fds
    for number in range(300):
        with stage.client() as client:
            target = ("/r/x", "/slow/50", "/bytes/1000000")[number % 3]
            client.socket.sendall(request(target, token=stage.token)[: 400 if number % 7 else 60])
            client.abort()
    assert eventually(lambda: stage.balancer.usage().fds <= baseline + 8), (baseline, stage.balancer.usage().fds)


def test_limits_have_their_statuses(tmp_path: Path) -> None:
    """413, 414 and 431, each before a backend hears of the request."""
    with Stage(tmp_path, limits={"max_request_body": "1KiB"}) as stage:
        cases = [
            (request("/r/x", method="POST", token=stage.token, fields=["Content-Length: 2000"]), 413),
            (request("/" + "a" * 9000, token=stage.token), 414),
            (request("/r/x", token=stage.token, fields=["X-A: " + "b" * 40_000]), 431),
            (request("/r/x", token=stage.token, fields=[f"X-{number}: b" for number in range(120)]), 431),
        ]
        for data, status in cases:
            with stage.client() as client:
                client.send(data)
                assert client.response().status == status
                assert client.is_closed(4.0)  # and not after the five seconds that it goes on reading
        assert not stage.seen
        with stage.client() as client:
            chunked = request("/r/x", method="POST", token=stage.token, fields=["Transfer-Encoding: chunked"])
            client.send(chunked + b"800\r\n" + b"x" * 2048 + b"\r\n0\r\n\r\n")
            assert client.response().status == 413


def test_deadlines_have_their_statuses(tmp_path: Path) -> None:
    """A head that never ends is 408, a backend that never answers 504, an idle connection simply ends (THREATS S1, S2)."""
    with Stage(
        tmp_path, timeouts={"request_head": "1s", "keep_alive": "1s"}, clusters={"main": {"response_timeout": "3s"}}
    ) as stage:
        with stage.client() as client:
            client.socket.sendall(b"GET /r/x HTTP/1.1\r\nHost: a\r\n")
            client.reader.expect(b"GET")
            assert client.response().status in (408, 0)
            assert client.is_closed(4.0)
        with stage.client() as client:
            assert client.ask("/evil/hang", token=stage.token).status == 504
        with stage.client() as client:
            assert client.ask("/r/x", token=stage.token).status == 200
            assert client.is_closed(30.0)


def test_connect_storm_of_silent_clients_does_not_stop_service(stage: Stage) -> None:
    """Five hundred connections that say nothing, or drip a head, do not keep others from being served."""
    silent = []
    for number in range(500):
        quiet = socket.create_connection(("127.0.0.1", stage.port))
        if number % 2:
            quiet.sendall(b"GET /r/x HTT")
        silent.append(quiet)
    try:
        for _ in range(20):
            assert curl(stage, "/r/x", token=stage.token).status == 200
    finally:
        for quiet in silent:
            quiet.close()


def test_backend_death_in_a_response_is_never_a_whole_response(stage: Stage) -> None:
    """Cuts by close and by reset, in every framing, to HTTP/1.1 and HTTP/1.0 clients."""
    for framing in ("cl", "chunked", "eof"):
        for by in ("close", "reset"):
            for version in ("1.1", "1.0"):
                for cut in (1, 2, 5, 7, 500, 1000):
                    with stage.client() as client:
                        answer = client.ask(
                            f"/evil/truncate?framing={framing}&by={by}&cut={cut}&size=1000",
                            token=stage.token,
                            version=version,
                        )
                    assert answer.outcome is not Outcome.COMPLETE or answer.status == 502, (framing, by, version, cut)
