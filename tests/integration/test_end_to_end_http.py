"""HTTP/1.1 through the whole program: framing, keep-alive, pipelining, interim responses, upgrades, forwarded headers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client import Outcome, request
from tests.harness.corpus import ACCEPTED_REQUESTS, REFUSED_REQUESTS
from tests.harness.script import pattern
from tests.harness.stage import Stage, curl
from tests.harness.wire import chunk


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One honest backend."""
    with Stage(tmp_path_factory.mktemp("http")) as stage:
        yield stage


def with_token(data: bytes, token: str) -> bytes:
    """The same request with a good token behind its first line."""
    line, separator, rest = data.lstrip(b"\r\n").partition(b"\r\n")
    prefix = data[: len(data) - len(data.lstrip(b"\r\n"))]
    return prefix + line + separator + b"Authorization: Bearer " + token.encode() + b"\r\n" + rest


def test_keep_alive_serves_many_requests(stage: Stage) -> None:
    """A hundred requests on one connection, each answered by its own response."""
    with stage.client() as client:
        for number in range(100):
            answer = client.ask("/r/x", token=stage.token, id=f"ka-{number}")
            assert (answer.status, answer.echo_id) == (200, f"ka-{number}")


def test_backend_connections_are_reused(stage: Stage) -> None:
    """Requests one after another go over the same backend connection."""
    with stage.client() as client:
        used = {client.ask("/r/x", token=stage.token).field("X-Echo-Conn") for _ in range(20)}
    assert len(used) == 1


def test_pipelined_requests_are_answered_in_order(stage: Stage) -> None:
    """Slow ones first: the answers still come in the order of the requests (RFC 9112 section 9.3.2)."""
    with stage.client() as client:
        targets = ["/slow/150", "/r/x", "/bytes/100000", "/slow/20", "/r/x"]
        data = b"".join(request(target, token=stage.token, id=f"pl-{number}") for number, target in enumerate(targets))
        client.send(data, methods=["GET"] * len(targets))
        answers = [client.response() for _ in targets]
    assert [answer.echo_id for answer in answers] == [f"pl-{number}" for number in range(len(targets))]
    assert answers[2].body == pattern(100_000)


def test_a_bad_request_ends_a_pipeline(stage: Stage) -> None:
    """What follows a malformed request is never served (THREATS H16) (THREATS H16)."""
    bad = b"GET /r/x HTTP/1.1\r\nHost: a b\r\n\r\n"
    with stage.client() as client:
        client.send(
            request(token=stage.token, id="before") + bad + request(token=stage.token, id="after"), methods=["GET"] * 3
        )
        assert client.response().status == 200
        assert client.response().status == 400
        assert client.response().outcome in (Outcome.NONE, Outcome.RESET)
    assert not any(record.id == "after" for record in stage.seen)


@pytest.mark.parametrize("target", ["/r/x", "/bytes/1000", "/chunked/1000", "/eof/1000", "/status/204", "/status/304"])
def test_head_has_no_body_and_keeps_the_connection(stage: Stage, target: str) -> None:
    """A HEAD response ends with its head; the next request on the connection is answered."""
    with stage.client() as client:
        answer = client.ask(target, method="HEAD", token=stage.token, id="head")
        assert (answer.outcome, answer.body, answer.echo_id) == (Outcome.COMPLETE, b"", "head")
        if answer.field("Connection").lower() != "close":
            assert client.ask("/r/x", token=stage.token, id="next").echo_id == "next"


def test_head_keeps_the_length_of_the_representation(stage: Stage) -> None:
    """Content-Length in a HEAD response is the backend's."""
    answer = curl(stage, "/bytes/12345", "-I", token=stage.token)
    assert (answer.status, answer.field("Content-Length")) == (200, "12345")


@pytest.mark.parametrize("code", [204, 304])
def test_bodyless_statuses(stage: Stage, code: int) -> None:
    """204 and 304 end with their head, and the connection goes on."""
    with stage.client() as client:
        assert client.ask(f"/status/{code}", token=stage.token).status == code
        assert client.ask("/r/x", token=stage.token).status == 200


@pytest.mark.parametrize("code", [200, 201, 302, 400, 401, 403, 404, 418, 500, 503])
def test_statuses_of_the_backend_pass(stage: Stage, code: int) -> None:
    """The backend's own answer is relayed, whatever it says."""
    answer = curl(stage, f"/status/{code}", "-H", "X-Test-Id: st", token=stage.token)
    assert (answer.status, answer.field("X-Echo-Id")) == (code, "st")


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 1_000_000])
@pytest.mark.parametrize("kind", ["bytes", "chunked", "eof"])
def test_downloads_are_byte_exact(stage: Stage, kind: str, size: int) -> None:
    """Bodies of every framing arrive whole and unchanged."""
    answer = curl(stage, f"/{kind}/{size}", token=stage.token)
    assert (answer.exit_code, answer.status, answer.body == pattern(size)) == (0, 200, True)


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_000])
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_uploads_are_byte_exact(stage: Stage, coding: str, size: int, tmp_path: Path) -> None:
    """The backend's digest of an upload is that of what curl sent."""
    body = tmp_path / "body"
    body.write_bytes(pattern(size))
    arguments = ["-H", "Transfer-Encoding: chunked"] if coding == "chunked" else []
    answer = curl(stage, "/upload", "-X", "POST", "--data-binary", f"@{body}", *arguments, token=stage.token)
    digest = hashlib.sha256(pattern(size)).hexdigest() if size else ""
    assert answer.status == 200
    assert answer.body.decode().rstrip("\n").split(" ")[3:] == [str(size), digest]


def test_upload_dripped_byte_by_byte(stage: Stage) -> None:
    """A chunked upload, one byte a packet, extensions and trailers included, is the same upload."""
    data = request("/upload", method="POST", token=stage.token, id="drip", fields=["Transfer-Encoding: chunked"])
    data += b"3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nX-Sum: 1\r\n\r\n"
    with stage.client() as client:
        client.drip(data)
        assert client.response().body.split()[3:] == [b"5", hashlib.sha256(b"hello").hexdigest().encode()]
    head = next(record.head for record in stage.seen if record.id == "drip")
    assert b"x-sum" not in head.lower()


@pytest.mark.parametrize("count", [1, 3, 8])
def test_interim_responses_are_relayed(stage: Stage, count: int) -> None:
    """103 Early Hints reach the client before the final response."""
    with stage.client() as client:
        answer = client.ask(f"/interim/{count}", token=stage.token, id="in")
    assert [head.status for head in answer.interim] == [103] * count
    assert (answer.status, answer.echo_id) == (200, "in")


def test_interim_responses_never_go_to_http10(stage: Stage) -> None:
    """An HTTP/1.0 client gets the final response only (RFC 9110 section 15.2)."""
    with stage.client() as client:
        answer = client.ask("/interim/2", token=stage.token, version="1.0")
    assert (answer.status, answer.interim) == (200, [])


def test_expect_continue_with_curl(stage: Stage, tmp_path: Path) -> None:
    """curl sends its body after our 100, without waiting out its own second."""
    body = tmp_path / "body"
    body.write_bytes(pattern(100_000))
    answer = curl(
        stage,
        "/upload",
        "--data-binary",
        f"@{body}",
        "-H",
        "Expect: 100-continue",
        "--expect100-timeout",
        "15",
        "-H",
        "X-Test-Id: e",
        token=stage.token,
    )
    assert answer.status == 200
    assert answer.head.startswith("HTTP/1.1 100")
    assert answer.body.split()[3] == b"100000"


def test_expect_continue_with_a_refused_token(stage: Stage) -> None:
    """No 100 for a request that is refused: the final answer comes at once and the unsent body is not waited for."""
    with stage.client() as client:
        client.send(request("/upload", method="POST", fields=["Expect: 100-continue", "Content-Length: 5"]))
        answer = client.response()
    assert (answer.status, answer.interim) == (401, [])


def test_http10_client(stage: Stage) -> None:
    """curl -0 gets whole bodies of every framing, never chunked."""
    for kind in ("bytes", "chunked", "eof"):
        answer = curl(stage, f"/{kind}/100000", "-0", token=stage.token)
        assert (answer.exit_code, answer.status, answer.body == pattern(100_000)) == (0, 200, True), kind
        assert answer.field("Transfer-Encoding") == ""


def test_http10_connections_close_unless_asked(stage: Stage) -> None:
    """HTTP/1.0 without Connection: keep-alive is one request a connection."""
    with stage.client() as client:
        assert client.ask("/r/x", token=stage.token, version="1.0").status == 200
        assert client.is_closed()
    with stage.client() as client:
        assert client.ask("/r/x", token=stage.token, version="1.0", fields=["Connection: keep-alive"]).status == 200
        assert client.ask("/r/x", token=stage.token, version="1.0", fields=["Connection: keep-alive"]).status == 200


def test_connection_close_is_honoured(stage: Stage) -> None:
    """A client that says close gets its answer, told so, and the end of the connection."""
    with stage.client() as client:
        answer = client.ask("/r/x", token=stage.token, fields=["Connection: close"])
        assert (answer.status, answer.field("Connection").lower()) == (200, "close")
        assert client.is_closed()


def test_half_closed_client_gets_its_response(tmp_path: Path) -> None:
    """With allow_half_close a client that ends its direction after the request still reads the whole response; else it gets none."""
    for allowed in (True, False):
        directory = tmp_path / str(allowed)
        directory.mkdir()
        with Stage(directory, allow_half_close=allowed) as stage, stage.client() as client:
            client.send(request("/slow/100", token=stage.token, id="half"))
            client.half_close()
            if allowed:
                assert client.response().echo_id == "half"
            else:
                assert client.is_closed()


def test_websocket_tunnel_echoes(stage: Stage) -> None:
    """Upgrade: websocket becomes a tunnel in both directions, and closes with its backend side."""
    fields = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    with stage.client() as client:
        answer = client.ask("/tunnel", token=stage.token, fields=fields)
        assert (answer.status, answer.field("Sec-WebSocket-Accept")) == (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        for size in (1, 5, 1000, 200_000):
            client.socket.sendall(pattern(size))
            got = b""
            while len(got) < size:
                got += client.receive()
            assert got == pattern(size)


def test_websocket_without_token_is_refused(stage: Stage) -> None:
    """The handshake is a request like any other: no token, no tunnel."""
    fields = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    with stage.client() as client:
        assert client.ask("/tunnel", fields=fields).status == 401


@pytest.mark.parametrize("body", [(), ("-d", "hello")], ids=["GET", "POST"])
def test_a_client_that_offers_h2c_is_served_over_http_1(stage: Stage, body: tuple[str, ...]) -> None:
    """curl --http2 asks for h2c on a plain connection, with a body too; it gets its answer in HTTP/1.1 (RFC 9110 section 7.8)."""
    answer = curl(stage, "/head" if not body else "/r/x", "--http2", *body, token=stage.token)
    assert answer.status == 200 and answer.head.startswith("HTTP/1.1 200")
    assert b"h2c" not in answer.body


@pytest.mark.parametrize("authority", ["a.test:80", "a.test:", "A.test"])
def test_an_absolute_target_for_the_same_authority_is_served(stage: Stage, authority: str) -> None:
    """A default port, or an empty one, names the same origin as none (RFC 9110 section 4.2.3)."""
    with stage.client() as client:
        assert client.ask(f"http://{authority}/r/x", token=stage.token, host="a.test").status == 200
        assert client.ask(f"http://{authority}1/r/x", token=stage.token, host="a.test").status == 400


def test_the_request_id_of_the_log_comes_back_with_every_response(stage: Stage) -> None:
    """Backends' responses have it as ours do; it is the id of the log line and the one that the backend saw."""
    with stage.client() as client:
        ids = [client.ask(target, token=stage.token).field("X-Request-Id") for target in ("/r/x", "/status/404")]
        ids.append(client.ask("/r/x").field("X-Request-Id"))
    assert all(ids) and len(set(ids)) == 3
    end = time.monotonic() + 30
    while set(ids) - {line["request_id"] for line in stage.balancer.access_log()}:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_bytes_behind_an_upgrade_wait_for_101(stage: Stage) -> None:
    """A request hidden behind an upgrade the backend refuses is not smuggled past the gate (THREATS H11) (THREATS H11)."""
    fields = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    with stage.client() as client:
        client.send(
            request("/r/plain", token=stage.token, fields=fields) + request("/r/smuggled", id="smuggled"),
            methods=["GET", "GET"],
        )
        assert client.response().status == 200
        client.response(0.5)
    assert not any(record.id == "smuggled" for record in stage.seen)


def test_forwarded_headers_replace_what_an_untrusted_client_says(tmp_path: Path) -> None:
    """X-Forwarded-* and X-Request-Id are ours unless the peer is trusted; httpoxy and override headers are gone (THREATS P12)."""
    spoofed = [
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.test",
        "X-Request-Id: evil",
        "Proxy: http://evil.test",
    ]
    with Stage(tmp_path, trusted_proxies=[]) as stage, stage.client() as client:
        head = client.ask("/head", token=stage.token, fields=spoofed, host="www.example.test").body.lower()
    assert b"x-forwarded-for: 127.0.0.1\r\n" in head
    assert b"x-forwarded-proto: http\r\n" in head
    assert b"x-forwarded-host: www.example.test\r\n" in head
    assert b"\r\nx-request-id: " in head
    assert b"\r\nhost: www.example.test\r\n" in head
    assert b"evil" not in head
    assert b"6.6.6.6" not in head


def test_forwarded_headers_of_a_trusted_peer_are_kept(stage: Stage) -> None:
    """A trusted proxy's chain is appended to, its request id kept."""
    with stage.client() as client:
        head = client.ask(
            "/head",
            token=stage.token,
            fields=["X-Forwarded-For: 9.9.9.9", "X-Request-Id: theirs", "X-Forwarded-Proto: https"],
        ).body.lower()
    assert b"x-forwarded-for: 9.9.9.9, 127.0.0.1\r\n" in head
    assert b"x-request-id: theirs\r\n" in head
    assert b"x-forwarded-proto: https\r\n" in head


def test_hop_by_hop_fields_stay_on_their_hop(stage: Stage) -> None:
    """Connection, what it names, and the other hop-by-hop fields are not forwarded (RFC 9110 section 7.6.1) (THREATS Q8)."""
    fields = [
        "Connection: X-Once, keep-alive",
        "X-Once: 1",
        "Keep-Alive: timeout=5",
        "TE: trailers",
        "Proxy-Authorization: Basic eA==",
        "Proxy-Connection: x",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
        "X-Kept: yes",
    ]
    with stage.client() as client:
        head = client.ask("/head", token=stage.token, fields=fields).body.lower()
    assert b"x-kept: yes" in head
    for name in (b"x-once", b"keep-alive", b"\r\nte:", b"proxy-", b"upgrade", b"http2-settings"):
        assert name not in head.replace(b"\r\nconnection: keep-alive\r\n", b"\r\n"), name


def test_duplicate_fields_keep_their_order(stage: Stage) -> None:
    """Repeated fields arrive as they were sent, in order."""
    with stage.client() as client:
        head = client.ask(
            "/head", token=stage.token, fields=["X-A: 1", "X-B: 2", "X-A: 3", "Cookie: a=b", "Cookie: c=d"]
        ).body
    assert [line for line in head.split(b"\r\n") if line[:3] in (b"X-A", b"X-B")] == [b"X-A: 1", b"X-B: 2", b"X-A: 3"]


@pytest.mark.parametrize(("name", "data"), REFUSED_REQUESTS, ids=[name for name, _ in REFUSED_REQUESTS])
def test_refused_requests(stage: Stage, name: str, data: bytes) -> None:
    """A request that is ambiguous or malformed gets a 4xx or 5xx of ours and the end of the connection; what follows it is dropped."""
    before = len(stage.seen)
    with stage.client() as client:
        client.send(with_token(data, stage.token) + request(token=stage.token, id="behind"), methods=["GET", "GET"])
        answer = client.response()
        assert answer.outcome is Outcome.RESET or 400 <= answer.status <= 505, (name, answer)
        assert answer.echo_id == "", name
        client.reader.expect(b"GET")
        assert client.response(2.0).status == 0, name
    whole = [record for record in stage.seen[before:] if record.finished or record.verified.startswith("not HTTP")]
    assert not whole, (name, whole)


@pytest.mark.parametrize(("name", "data"), ACCEPTED_REQUESTS, ids=[name for name, _ in ACCEPTED_REQUESTS])
def test_accepted_requests(stage: Stage, name: str, data: bytes) -> None:
    """A compliant request passes, whole and byte by byte, and the connection goes on."""
    method = data.lstrip().split(b" ")[0].decode()
    with stage.client() as client:
        client.send(with_token(data, stage.token), methods=[method])
        assert client.response().status == 200, name
        client.drip(with_token(data, stage.token), methods=[method])
        assert client.response().status == 200, name
        assert client.ask("/r/x", token=stage.token, id="after").echo_id == "after"


def test_chunks_with_and_without_extensions_are_one_body(stage: Stage) -> None:
    """A 1 MB chunked upload in odd pieces is re-framed without loss."""
    body = pattern(1_000_000)
    with stage.client() as client:
        client.send(
            request("/upload", method="POST", token=stage.token, id="re", fields=["Transfer-Encoding: chunked"])
            + chunk(body, 777)
        )
        assert client.response().body.split()[3:] == [b"1000000", hashlib.sha256(body).hexdigest().encode()]
