"""TLS over real sockets: versions, records and segments of every size, bodies under back-pressure, ends of every kind, and who may stay."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pytest

from lbjwt import LoadBalancer
from lbjwt.config.load import load_text
from tests.harness.backend import Backend
from tests.harness.balancer import Balancer, configuration
from tests.harness.behaviour import good
from tests.harness.client import request
from tests.harness.ports import free_port
from tests.harness.record import Seen
from tests.harness.script import Script, Send, pattern
from tests.harness.stage import Stage, curl
from tests.harness.tls import TlsWire
from tests.harness.tokens import TokenFactory
from tests.harness.waiting import eventually
from tests.harness.wire import DATA, END, RequestReader, chunk

MIB = 1 << 20
LARGE = 64 * MIB
GROWTH = 4 * MIB
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


EARLY = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 6\r\nConnection: close\r\n\r\nenough"
WEBSOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def behave(seen: Seen) -> bytes | Script:
    """The good backend, and one that answers an upload at its head."""
    return Script((Send(EARLY),), at_head=True) if seen.target == "/early" else good(seen)


def listener(files: Path) -> dict[str, Any]:
    return {
        "address": f"127.0.0.1:{free_port()}",
        "tls": {"certificate": str(files / "cert.pem"), "private_key": str(files / "key.pem")},
    }


def port_of(place: dict[str, Any]) -> int:
    return int(place["address"].rpartition(":")[2])


@contextmanager
def tls_stage(directory: Path, files: Path, **changes: Any) -> Iterator[Stage]:
    """A stage whose listener, and its port, speak TLS; at its end nothing was left counted, and nothing was written to stderr."""
    place = listener(files)
    with Stage(directory, listeners=[place], **changes) as stage:
        stage.balancer.port = port_of(place)
        yield stage
        assert eventually(lambda: is_idle(stage.balancer)), status(stage.balancer)
        assert "Traceback" not in stage.balancer.stderr and "rror" not in stage.balancer.stderr, stage.balancer.stderr


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, files: Path) -> Iterator[Stage]:
    """One backend; the balancer has served a little already."""
    with tls_stage(tmp_path_factory.mktemp("tls-flow"), files, behaviours=(behave,)) as stage:
        for _ in range(4):
            with TlsWire(stage.port, trust(files)) as client:
                client.send(request(f"/bytes/{4 * MIB}", token=stage.token, version="1.0"))
                client.read_all()
        yield stage


def trust(files: Path, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(files / "cert.pem"))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def status(balancer: Balancer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(balancer.admin_get("/status")[1])
    return found


def is_idle(balancer: Balancer) -> bool:
    now = status(balancer)
    return (now["connections"], now["requests_in_flight"], now["endpoints"][0]["requests_in_flight"]) == (0, 0, 0)


def unread(pipe: IO[bytes]) -> int:
    """Bytes in the pipe that nobody has taken out yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def s_client(port: int, files: Path, *arguments: str, script: str = "") -> str:
    """
    What `openssl s_client` prints until it ends, which the server makes it do; each line of the script is typed when the one before is taken, so that
    it is one record or one command.
    """
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(files / "cert.pem"), *arguments]
    with (
        tempfile.TemporaryFile() as said,  # a pipe that nobody reads meanwhile would be full
        subprocess.Popen(command, 0, stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT) as process,
    ):
        typed = process.stdin
        assert typed is not None
        try:
            with suppress(BrokenPipeError):
                for line in script.splitlines(keepends=True):
                    typed.write((line if line in ("K\n", "k\n", "R\n") else line.replace("\n", "\r\n")).encode())
                    eventually(lambda: not unread(typed) or process.poll() is not None)
            process.wait(60)
        finally:
            process.kill()
        said.seek(0)
        return said.read().decode("utf-8", "replace")


# --- agreeing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_segments_and_records_of_every_size(stage: Stage, files: Path, version: ssl.TLSVersion) -> None:
    """Handshake and request in segments and records of one byte and more, several records in one segment: always the same answer."""
    body = pattern(20_000)
    digest = hashlib.sha256(body).hexdigest().encode()
    for segment, record, size in ((1, 16384, 300), (3, 1, 100), (0, 1, 3000), (0, 100, 20_000), (1000, 16384, 20_000)):
        with TlsWire(stage.port, trust(files, version), segment=segment) as client:
            assert client.tls.version() == version.name.replace("_", ".")
            for _ in range(2):
                client.push(
                    client.seal(request("/upload", method="POST", token=stage.token, body=body[:size]), record), segment
                )
                got = client.read_until(b"\n")
                assert got.startswith(b"HTTP/1.1 200 ")
                assert size < 20_000 or digest in got


def test_the_scheme_is_https(stage: Stage, files: Path) -> None:
    """The backend is told, whatever the client says."""
    with TlsWire(stage.port, trust(files)) as client:
        client.send(request("/head", token=stage.token, fields=["X-Forwarded-For: 192.0.2.1"], version="1.0"))
        assert b"\r\nx-forwarded-proto: https\r\n" in client.read_all().lower()


@pytest.mark.parametrize("arguments", [("--tlsv1.2", "--tls-max", "1.2"), ("--tlsv1.3",)], ids=["1.2", "1.3"])
def test_curl(stage: Stage, files: Path, arguments: tuple[str, ...]) -> None:
    """Real curl: GET, HEAD, Expect: 100-continue, a chunked upload, and no token."""
    options = ("--cacert", str(files / "cert.pem"), *arguments)

    def ask(path: str, *more: str, token: str | None = stage.token) -> Any:
        return curl(stage, path, *options, *more, token=token, scheme="https")

    assert ask("/bytes/300000").body == pattern(300_000)
    assert ask("/chunked/300000").body == pattern(300_000)
    assert ask("/eof/300000").body == pattern(300_000)
    assert ask("/r/x", "-I").status == 200
    upload = files / "upload"
    upload.write_bytes(pattern(200_000))
    digest = hashlib.sha256(pattern(200_000)).hexdigest().encode()
    expecting = ask("/upload", "-T", str(upload), "-X", "POST", "-H", "Expect: 100-continue")
    assert digest in expecting.body and "HTTP/1.1 100 Continue" in expecting.head
    assert digest in ask("/upload", "-T", str(upload), "-X", "POST", "-H", "Transfer-Encoding: chunked").body
    assert ask("/r/x", token=None).status == 401
    assert ask("/early", "-T", str(upload), "-X", "POST").status == 413


def test_what_is_too_old_or_too_weak(stage: Stage, files: Path) -> None:
    """TLS 1.1 and suites without forward secrecy or AEAD get an alert (RFC 9325 sections 3.1.1 and 4.2)."""
    for arguments in (
        ("-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"),
        ("-tls1", "-cipher", "DEFAULT:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA256"),
        ("-tls1_2", "-cipher", "AES128-GCM-SHA256"),
    ):
        said = s_client(stage.port, files, *arguments)
        assert "Cipher is (NONE)" in said and "alert" in said, (arguments, said[-800:])


def test_renegotiation_is_refused(stage: Stage, files: Path) -> None:
    """RFC 9325 section 3.5: a TLS 1.2 client that asks to renegotiate gets no_renegotiation, and no new handshake."""
    said = s_client(stage.port, files, "-tls1_2", script="R\n")
    assert "RENEGOTIATING" in said and "no renegotiation" in said
    assert eventually(lambda: is_idle(stage.balancer))


@pytest.mark.parametrize("key", ["K", "k"])
def test_key_update(stage: Stage, files: Path, key: str) -> None:
    """TLS 1.3 clients may change keys between and inside requests, and may ask us to change ours (RFC 8446 section 4.6.3)."""
    head = f"GET /bytes/20000 HTTP/1.1\nHost: a\nAuthorization: Bearer {stage.token}\n"
    script = f"{key}\n{head}{key}\n\n{key}\n{key}\n{head}Connection: close\n\n"
    said = s_client(stage.port, files, "-tls1_3", "-msg", script=script)
    assert said.count("HTTP/1.1 200 OK") == 2, said[-3000:]
    assert "<<< TLS 1.3, Handshake [length 0005], KeyUpdate" in said if key == "K" else "KeyUpdate" in said


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_sessions_resume_at_their_own_listener_only(tmp_path: Path, files: Path, version: ssl.TLSVersion) -> None:
    """A ticket saves the second handshake, and opens nothing at another listener of the same process (CVE-2025-23419)."""
    places = [listener(files), listener(files)]
    context = trust(files, version)
    with Stage(tmp_path, listeners=places) as stage:

        def visit(place: dict[str, Any], session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
            with TlsWire(port_of(place), context, session=session) as client:
                client.send(request("/r/x", token=stage.token, version="1.0"))
                assert client.read_all().startswith(b"HTTP/1.1 200 ")
                return bool(client.tls.session_reused), client.tls.session

        _, session = visit(places[0], None)
        assert visit(places[0], session)[0]
        assert not visit(places[1], session)[0]


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bytes", "chunked", "eof"])
def test_large_download_to_a_slow_reader(stage: Stage, files: Path, kind: str) -> None:
    """64 MiB at flat memory, byte for byte, ended by a close_notify."""
    before = stage.balancer.usage().rss
    digest, total = hashlib.sha256(), 0
    with TlsWire(stage.port, trust(files), receive_buffer=65536) as client:
        client.send(request(f"/{kind}/{LARGE}", token=stage.token, version="1.0"))
        time.sleep(0.3)
        peak = stage.balancer.usage().rss
        piece = client.read()
        while b"\r\n\r\n" not in piece:
            piece += client.read()
        piece = piece.partition(b"\r\n\r\n")[2] or client.read()
        mark = 0
        while piece:
            digest.update(piece)
            total += len(piece)
            if total >> 23 > mark:
                mark = total >> 23
                peak = max(peak, stage.balancer.usage().rss)
                time.sleep(0.01)
            piece = client.read()
    assert total == LARGE and digest.digest() == hashlib.sha256(pattern(LARGE)).digest()
    assert peak - before < GROWTH, f"grew by {(peak - before) / MIB:.1f} MiB"


class SlowBackend:
    """Reads one request body at its own pace and answers with its digest: nothing at first, then in small sips, then all."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with suppress(ConnectionResetError), connection, self._socket:
            connection.settimeout(20.0)
            reader = RequestReader()
            digest, pause = hashlib.sha256(), 0.3
            while data := connection.recv(65536):
                for kind, value in reader.feed(data):
                    if kind == DATA and isinstance(value, bytes):
                        digest.update(value)
                    elif kind == END:
                        connection.sendall(
                            b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + digest.hexdigest().encode()
                        )
                time.sleep(pause)
                pause = pause * 0.9 if pause > 0.0001 else 0.0


@pytest.mark.parametrize("chunked", [False, True])
def test_large_upload_to_a_slow_backend(tmp_path: Path, files: Path, chunked: bool) -> None:
    """64 MiB, the encrypted rest waiting behind pauses: nothing stalls, is lost or changes places, at flat memory."""
    body = pattern(LARGE)
    backend = SlowBackend()
    with tls_stage(tmp_path, files, endpoints=(backend.address,), behaviours=()) as stage:  # noqa: SIM117
        with TlsWire(stage.port, trust(files)) as client:
            client.send(request("/r/x"))
            client.read_until(b"\n")
            before = stage.balancer.usage().rss
            peak = 0
            if chunked:
                client.send(request("/up", method="POST", token=stage.token, fields=["Transfer-Encoding: chunked"]))
                data = chunk(body, 50_000)
            else:
                client.send(request("/up", method="POST", token=stage.token, fields=[f"Content-Length: {LARGE}"]))
                data = body
            for at in range(0, len(data), 8 * MIB):
                client.send(data[at : at + 8 * MIB])
                peak = max(peak, stage.balancer.usage().rss)
            assert client.read_until(hashlib.sha256(body).hexdigest().encode())
    assert peak - before < GROWTH, f"grew by {(peak - before) / MIB:.1f} MiB"


def test_memory_of_idle_connections(stage: Stage, files: Path) -> None:
    """What a connection needed for large bodies it does not keep while it idles."""
    clients, context, count = [], trust(files), 40
    body = request("/upload", method="POST", token=stage.token, body=pattern(MIB))
    before = stage.balancer.usage().rss
    try:
        for _ in range(count):
            client = TlsWire(stage.port, context)
            clients.append(client)
            client.send(body)
            client.read_until(b"\n")
            client.send(request(f"/bytes/{MIB}", token=stage.token))
            client.read_until(pattern(MIB)[-40:])
        grown = (stage.balancer.usage().rss - before) / count
        assert grown < 160 * 1024, f"{grown / 1024:.0f} KiB each"
    finally:
        for client in clients:
            client.socket.close()


def test_pipelining_with_refusals(stage: Stage, files: Path) -> None:
    """Requests in one write, in one segment and in records that cut them anywhere, are answered in order; some are refused."""
    sent = b"".join(
        request(f"/r/{n}", token=None if n % 3 == 2 else stage.token, id=str(n), method="HEAD" if n % 5 == 4 else "GET")
        for n in range(40)
    )
    for record in (16384, 333, 7):
        with TlsWire(stage.port, trust(files)) as client:
            client.push(client.seal(sent + request("/r/end", token=stage.token, version="1.0"), record))
            got = client.read_all()
        statuses = [int(code) for code in re.findall(rb"HTTP/1.1 (\d+)", got)]
        assert statuses == [401 if n % 3 == 2 else 200 for n in range(40)] + [200]
        ids = [int(number) for number in re.findall(rb"X-Echo-Id: (\d+)\r\n", got)]
        assert ids == [n for n in range(40) if n % 3 != 2]


def test_answers_nobody_reads(stage: Stage, files: Path) -> None:
    """A client that asks and asks and never reads is not asked on: neither the answers nor the questions pile up here."""
    before = stage.balancer.usage().rss
    refused = request("/r/x") * 200
    with TlsWire(stage.port, trust(files), receive_buffer=4096) as client:
        client.socket.settimeout(0.5)
        with suppress(TimeoutError):
            for _ in range(1000):
                client.push(client.seal(refused))
        grown = stage.balancer.usage().rss - before
        assert grown < GROWTH, f"grew by {grown / MIB:.1f} MiB"


def test_expect_continue_and_interims(stage: Stage, files: Path) -> None:
    """100 and 103 arrive before the answer."""
    with TlsWire(stage.port, trust(files)) as client:
        fields = ["Expect: 100-continue", "Content-Length: 5"]
        client.send(request("/upload", method="POST", token=stage.token, fields=fields))
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        client.send(b"hello")
        assert hashlib.sha256(b"hello").hexdigest().encode() in client.read_until(b"\n")
        client.send(request("/interim/3", token=stage.token, version="1.1"))
        assert client.read_until(b"\n").endswith(b"\n")


@pytest.mark.parametrize("target", ["/early", "/r/refused"])
def test_an_answer_during_the_upload_arrives(stage: Stage, files: Path, target: str) -> None:
    """A client that goes on uploading behind the last answer still gets it, and our close_notify: no RST overtakes them."""
    token = stage.token if target == "/early" else None
    with TlsWire(stage.port, trust(files)) as client:
        client.send(request(target, method="POST", token=token, fields=["Content-Length: 90000000"]))
        for _ in range(30):
            client.push(client.seal(b"x" * 100_000))
        got = client.read_all()
        assert got.startswith(b"HTTP/1.1 413 " if token else b"HTTP/1.1 401 ")


def test_websocket_tunnel_and_its_half_closes(stage: Stage, files: Path) -> None:
    """Bytes of every amount both ways; the client's close_notify ends its half only, and the rest of the echo arrives."""
    with TlsWire(stage.port, trust(files)) as client:
        client.send(request("/tunnel", token=stage.token, fields=WEBSOCKET))
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        for size in (1, 5, 1000, 16384, 200_000):
            client.send(pattern(size))
            got = b""
            while len(got) < size:
                got += client.read()
            assert got == pattern(size)
        client.push(client.seal(b"last words"))
        client.goodbye()
        client.half_close()
        assert client.read_all() == b"last words"


def test_a_tunnel_under_pressure(stage: Stage, files: Path) -> None:
    """An echo of 32 MiB whose reader starts late: both directions stop and go on, at flat memory."""
    size, got = 32 * MIB, hashlib.sha256()
    before = stage.balancer.usage().rss
    with TlsWire(stage.port, trust(files), receive_buffer=65536) as client:
        client.send(request("/tunnel", token=stage.token, fields=WEBSOCKET))
        client.read_until(b"\r\n\r\n")
        sealed = client.seal(pattern(size))
        writer = threading.Thread(target=client.push, args=(sealed,))
        writer.start()
        time.sleep(0.3)
        grown = stage.balancer.usage().rss - before
        total = 0
        while total < size:
            piece = client.read()
            total += len(piece)
            got.update(piece)
        writer.join()
    assert got.digest() == hashlib.sha256(pattern(size)).digest()
    assert grown < GROWTH, f"grew by {grown / MIB:.1f} MiB"


# --- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_a_goodbye_behind_the_request(tmp_path: Path, files: Path, version: ssl.TLSVersion) -> None:
    """With allow_half_close, close_notify behind the last request, with and without FIN: the answer comes whole, then our close_notify."""
    with tls_stage(tmp_path, files, allow_half_close=True) as stage:
        for fin in (False, True):
            with TlsWire(stage.port, trust(files, version)) as client:
                client.send(request("/slow/100", token=stage.token))
                client.goodbye()
                if fin:
                    client.half_close()
                # Python's client takes nothing more once it has said close_notify, but what is on the wire can be counted.
                assert len(client.raw_end()) > 150


def test_a_goodbye_gives_the_request_up(stage: Stage, files: Path) -> None:
    """Without allow_half_close the backend's connection ends at once, long before its answer a minute later."""
    with TlsWire(stage.port, trust(files)) as client:
        client.send(request("/slow/60000", token=stage.token, id="given-up"))
        assert eventually(lambda: status(stage.balancer)["requests_in_flight"] == 1)
        client.goodbye()
        assert eventually(lambda: is_idle(stage.balancer))


def test_a_goodbye_between_requests_is_returned(stage: Stage, files: Path) -> None:
    """An idle connection that says close_notify is closed with one."""
    with TlsWire(stage.port, trust(files)) as client:
        client.send(request("/r/x", token=stage.token))
        client.read_until(b"\n")
        client.goodbye()
        assert client.read() == b""
        assert client.raw_end() == b""


def test_a_fin_without_goodbye_gives_the_request_up(stage: Stage, files: Path) -> None:
    """A truncation by whoever: the backend's connection ends at once, long before its answer a minute later."""
    with TlsWire(stage.port, trust(files)) as client:
        client.send(request("/slow/60000", token=stage.token, id="cut-off"))
        assert eventually(lambda: status(stage.balancer)["requests_in_flight"] == 1)
        client.half_close()
        assert eventually(lambda: is_idle(stage.balancer))


@pytest.mark.parametrize("framing", ["cl", "chunked", "eof"])
@pytest.mark.parametrize("by", ["close", "reset"])
def test_a_cut_response_is_an_error_to_the_client(stage: Stage, files: Path, framing: str, by: str) -> None:
    """No close_notify behind a response that its backend broke off."""
    if (framing, by) == ("eof", "close"):
        return  # the end of the connection is the end of such a response
    for cut in (1, 500):
        with TlsWire(stage.port, trust(files)) as client:
            path = f"/evil/truncate?framing={framing}&by={by}&cut={cut}&size=1000"
            client.send(request(path, token=stage.token, version="1.0"))
            with suppress(ConnectionResetError, ssl.SSLEOFError):
                assert client.read_all().startswith(b"HTTP/1.1 502 ")


def test_plain_http_on_a_tls_port_is_told_so(stage: Stage, files: Path) -> None:
    """400 in plain HTTP that names the mistake, as nginx gives; the log has the reason and the request, and nothing is begun."""
    answer = curl(stage, "/typo?secret", scheme="http")
    assert (answer.status, answer.body) == (400, b"bad request: plain HTTP was sent to an HTTPS port\n")
    end = time.monotonic() + 30
    while not (lines := [line for line in stage.balancer.access_log() if line["path"] == "/typo"]):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert (lines[0]["method"], lines[0]["status"], lines[0]["reason"]) == ("GET", 400, "http_on_tls_port")


def test_garbage_for_a_handshake(stage: Stage, files: Path) -> None:
    """What is no ClientHello, or breaks off, ends the connection without a request, an alert first where there is one to give."""
    for noise in (
        b"\x16\x03\x01\x00\x05hello",
        b"\x00" * 300,
        b"\x80\x2e\x01\x03\x01" * 50,
    ):
        with socket.create_connection(("127.0.0.1", stage.port)) as raw:
            raw.settimeout(30.0)
            raw.sendall(noise)
            got = b""
            while piece := raw.recv(1000):
                got += piece
            assert b"HTTP" not in got and (not got or got[0] == 21), got
    hello = TlsWire(stage.port, trust(files), handshake=False)
    hello.push(hello.hello()[:-5])
    hello.half_close()
    assert hello.raw_end() == b""
    hello.socket.close()


def test_a_broken_record_gets_an_alert(stage: Stage, files: Path) -> None:
    """In the middle of an upload: bad_record_mac, the backend's connection reset, the counters back at once."""
    for bad in (b"\x17\x03\x03\x00\x40" + b"x" * 64, b"\x17\x03\x03\xff\xff" + b"x" * 64, b"GET / HTTP/1.1\r\n"):
        with TlsWire(stage.port, trust(files)) as client:
            client.send(
                request("/upload", method="POST", token=stage.token, fields=["Content-Length: 1000000"]) + b"x" * 500
            )
            assert eventually(lambda: status(stage.balancer)["requests_in_flight"] == 1)
            client.push(bad)
            with pytest.raises(ssl.SSLError, match=r"(?i)alert|mac"):
                client.read_all()
            assert eventually(lambda: status(stage.balancer)["requests_in_flight"] == 0)


def test_a_client_cannot_renegotiate(stage: Stage, files: Path) -> None:
    """TLS 1.2: it is told no_renegotiation (RFC 9325 section 3.5), and the connection was none of it the worse for others."""
    command = ["openssl", "s_client", "-tls1_2", "-CAfile", str(files / "cert.pem"), "-connect"]
    with subprocess.Popen(
        [*command, f"127.0.0.1:{stage.port}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as client:
        assert client.stdin is not None and client.stdout is not None
        client.stdin.write("R\n")
        client.stdin.flush()
        client.wait(60.0)
        said = client.stdout.read()
    assert "RENEGOTIATING" in said and "no renegotiation" in said, said
    with TlsWire(stage.port, trust(files)) as other:
        other.send(request("/r/x", token=stage.token))
        assert other.read().startswith(b"HTTP/1.1 200 ")


def test_resets_in_every_phase(stage: Stage, files: Path) -> None:
    """RST before, in and after the handshake, in a head, an upload, a wait, a download and a tunnel: service goes on, no file stays open."""
    context = trust(files)
    baseline = stage.balancer.usage().fds
    upload = request("/upload", method="POST", token=stage.token, fields=["Content-Length: 1000000"])
    for turn in range(6):
        for said in (
            None,
            b"",
            b"GET /r/x HT",
            upload + b"x" * 70_000,
            request("/slow/2000", token=stage.token),
            request(f"/bytes/{4 * MIB}", token=stage.token),
            request("/tunnel", token=stage.token, fields=WEBSOCKET) + b"early",
        ):
            client = TlsWire(stage.port, context, handshake=said is not None, receive_buffer=16384)
            if said is None:
                client.push(client.hello()[: (0, 1, 5, 100, -1, None)[turn]])
            else:
                client.push(client.seal(said), 5000)
            time.sleep(0.005 * turn)
            client.abort()
    assert eventually(lambda: is_idle(stage.balancer))
    assert eventually(lambda: stage.balancer.usage().fds <= baseline + 8), (baseline, stage.balancer.usage().fds)
    with TlsWire(stage.port, context) as client:
        client.send(request("/r/x", token=stage.token))
        assert client.read_until(b"\n").startswith(b"HTTP/1.1 200 ")


# --- time, room, and the end of the worker ----------------------------------------------------------------------------


def test_handshakes_that_never_end(tmp_path: Path, files: Path) -> None:
    """Five hundred connections that stop somewhere in the handshake keep nobody out, and go at `tls_handshake`."""
    with tls_stage(tmp_path, files, timeouts={"tls_handshake": "4s"}) as stage:
        context = trust(files)
        silent = []
        for number in range(500):
            client = TlsWire(stage.port, context, handshake=False)
            if number % 2:
                client.push(client.hello()[: number % 400 + 1 if number % 4 == 1 else None])
            silent.append(client.socket)
        with TlsWire(stage.port, context) as client:
            client.send(request("/r/x", token=stage.token))
            assert client.read_until(b"\n").startswith(b"HTTP/1.1 200 ")
        assert eventually(lambda: status(stage.balancer)["connections"] == 0), status(stage.balancer)
        for quiet in silent:
            quiet.close()


def test_no_room_for_another_client(tmp_path: Path, files: Path) -> None:
    """A client over the limit is turned away without a handshake; when there is room again, it is served."""
    with tls_stage(tmp_path, files, limits={"max_connections": 2}) as stage:
        context = trust(files)
        with TlsWire(stage.port, context), TlsWire(stage.port, context) as second:
            with pytest.raises((ConnectionError, ssl.SSLError)):
                TlsWire(stage.port, context)
            second.send(request("/r/x", token=stage.token))
            assert second.read_until(b"\n").startswith(b"HTTP/1.1 200 ")
        assert eventually(lambda: status(stage.balancer)["connections"] == 0)
        with TlsWire(stage.port, context) as third:
            third.send(request("/r/x", token=stage.token))
            assert third.read_until(b"\n").startswith(b"HTTP/1.1 200 ")


def test_draining(tmp_path: Path, files: Path) -> None:
    """The answer under way arrives whole with Connection: close and close_notify; the idle connection and the half handshake go."""
    with Stage(tmp_path, listeners=[place := listener(files)]) as stage:
        context = trust(files)
        busy, idle = TlsWire(port_of(place), context), TlsWire(port_of(place), context)
        half = TlsWire(port_of(place), context, handshake=False)
        half.push(half.hello()[:50])
        busy.send(request("/slow/3000", token=stage.token))
        assert eventually(lambda: status(stage.balancer)["requests_in_flight"] == 1)
        stage.balancer.signal(signal.SIGTERM)
        got = busy.read_all()
        assert got.startswith(b"HTTP/1.1 200 ") and b"\r\nConnection: close\r\n" in got
        assert idle.read() == b""
        with suppress(ConnectionResetError):
            assert half.raw_end() == b""
        assert stage.balancer.wait(30.0) == 0
        assert "Traceback" not in stage.balancer.stderr
        for client in (busy, idle, half):
            client.socket.close()


def test_in_asyncios_own_loop(tmp_path: Path, files: Path) -> None:
    """LoadBalancer without uvloop: bodies both ways, a goodbye, a reset, and nothing for the loop's exception handler."""
    tokens = TokenFactory()
    troubles: list[dict[str, Any]] = []

    def visit(port: int) -> None:
        context = trust(files)
        with TlsWire(port, context, segment=7) as client:
            client.send(request("/upload", method="POST", token=tokens.mint(), body=pattern(8 * MIB)))
            assert hashlib.sha256(pattern(8 * MIB)).hexdigest().encode() in client.read_until(b"\n")
            client.send(request(f"/chunked/{8 * MIB}", token=tokens.mint(), version="1.0"))
            time.sleep(0.2)
            assert client.read_all().endswith(pattern(8 * MIB)[-1000:])
        with TlsWire(port, context) as client:
            client.send(request("/slow/100", token=tokens.mint()))
            client.goodbye()
            client.half_close()
            assert len(client.raw_end()) > 150
        with TlsWire(port, context) as client:
            client.send(request(f"/bytes/{8 * MIB}", token=tokens.mint()))
            client.abort()
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
            raw.recv(100)

    with Backend(good) as backend:
        document = configuration(tmp_path, tokens, [backend.address], port=0, admin=0, listeners=[listener(files)])
        document.pop("admin")
        document["allow_half_close"] = True

        async def serve() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda loop, trouble: troubles.append(trouble))
            async with LoadBalancer(load_text(json.dumps(document), tmp_path)) as balancer:
                await asyncio.to_thread(visit, balancer.addresses[0][1])
                async with asyncio.timeout(30):
                    while balancer.board.totals()["in_flight"]:
                        await asyncio.sleep(0.02)

        asyncio.run(serve())
    assert not troubles, troubles
