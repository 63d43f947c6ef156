"""What is refused or fails has its reason in the log and as a metric; the client is told the status only, unless its route says more."""

from pathlib import Path
from typing import Any

import pytest

from lbjwt._error_reason import ErrorReason, error_status
from tests.playbooks.policies import Policies, bearer, token
from tests.playbooks.stage import AUTH, TOKEN, Client, Stage, request, response

OK = response("200 OK", "Content-Length: 2", body=b"ok")


def told(stage: Stage, client: Client, reason: str) -> dict[str, Any]:
    """The log line of the one request there was; its reason is that one, in log and metrics, and the answer does not hold it."""
    answer = client.take()
    (record,) = stage.records()
    assert record["reason"] == reason
    assert reason.encode() not in answer
    counted = {ErrorReason(at).name.lower(): count for at, count in enumerate(stage.totals["errors"]) if count}
    assert counted == {reason: 1}
    if answer:
        assert answer.startswith(b"HTTP/1.1 %d " % record["status"])
    return record


LONG = "a" * 9000
REFUSED = [
    # what the client sends, the reason, and what the log shows of method, path and host
    (b"GET /a?token=x HTTP/1.1\nHost: h.test\n\n", "bare_lf", "GET", "/a", ""),
    (b"GET /a?token=x HTTP/1.1\r\nHost: h.test\r\nA: b\x00\r\n\r\n", "control_character", "GET", "/a", "h.test"),
    (b"GET /a HTTP/1.1\r\nHost: h.test\r\nA : b\r\n\r\n", "field_line", "GET", "/a", "h.test"),
    (b"GET /a HTTP/1.1\r\nHost: h.test\r\nHost: i.test\r\n\r\n", "two_hosts", "GET", "/a", "i.test"),
    (b"GET /a HTTP/1.1\r\n\r\n", "missing_host", "GET", "/a", ""),
    (b"GET /a HTTP/1.1\r\nHost: a b\r\n\r\n", "invalid_host", "GET", "/a", "a b"),
    (b"POST /a HTTP/1.1\r\nHost: h.test\r\nContent-Length: +1\r\n\r\n", "content_length", "POST", "/a", "h.test"),
    (f"GET /{LONG} HTTP/1.1\r\n".encode(), "line_too_long", "GET", f"/{LONG}"[: 8192 - 4], ""),
    (f"PUT /a HTTP/1.1\r\nHost: h.test\r\nA: {LONG * 4}".encode(), "head_too_large", "PUT", "/a", "h.test"),
    (b"GET /a HTTP/1.1\r\nHost: h.test\r\n" + b"A: b\r\n" * 200 + b"\r\n", "too_many_fields", "GET", "/a", "h.test"),
    (b"TRACE /a HTTP/1.1\r\nHost: h.test\r\n\r\n", "method_not_allowed", "TRACE", "/a", "h.test"),
    (b"CONNECT h.test:443 HTTP/1.1\r\nHost: h.test\r\n\r\n", "method_not_allowed", "CONNECT", "", "h.test"),
    (b"BREW /a HTTP/1.1\r\nHost: h.test\r\n\r\n", "grammar", "BREW", "/a", "h.test"),
    (b"GET /a HTTP/2.0\r\nHost: h.test\r\n\r\n", "http_version", "GET", "/a", "h.test"),
    (b"GET http://i.test/a?x HTTP/1.1\r\nHost: h.test\r\n\r\n", "target_not_host", "GET", "/a", "h.test"),
    (b"PUT /a HTTP/1.1\r\nHost: h.test\r\nExpect: more\r\n\r\n", "unknown_expectation", "PUT", "/a", "h.test"),
    (
        b"PUT /a HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        *("unsupported_coding", "PUT", "/a", "h.test"),
    ),
    (b"PUT /a HTTP/1.1\r\nHost: h.test\r\nContent-Length: 99\r\n\r\n", "body_too_large", "PUT", "/a", "h.test"),
    # what stands where it does not belong may be a secret, and is not logged
    (TOKEN + b" /a HTTP/1.1\r\nHost: h.test\r\n\r\n", "grammar", "", "", "h.test"),
    (b"GET http://u:secret@h.test/a HTTP/1.1\r\nHost: h.test\r\n\r\n", "target_form", "GET", "/a", "h.test"),
    (b"GET http://?x/secret HTTP/1.1\r\nHost: h.test\r\n\r\n", "target_form", "GET", "", "h.test"),
    (b"GET /a HTTP/1.1\r\nHost: u:secret@h.test\r\n\r\n", "invalid_host", "GET", "/a", ""),
    (b"GET /a#secret HTTP/1.1\r\nHost: h.test\r\n\r\n", "target_character", "GET", "/a", "h.test"),
]


@pytest.mark.parametrize(("wire", "reason", "method", "path", "host"), REFUSED, ids=[case[1] for case in REFUSED])
def test_a_refused_head_is_logged_with_its_reason_and_as_far_as_it_was_read(
    pieces: int | None, tmp_path: Path, wire: bytes, reason: str, method: str, path: str, host: str
) -> None:
    """The line has method, path without query and host as far as they came, and nothing that may be a secret."""
    stage = Stage(pieces, log=tmp_path / "log", max_request_body=10)
    client = stage.client()
    client.sends(wire)
    record = told(stage, client, reason)
    assert record["status"] == error_status(ErrorReason[reason.upper()])
    shown = record["method"], record["path"], record["host"]
    assert shown == (method, path, host) or (pieces and reason == "line_too_long" and shown[1][:4] == "/aaa")
    text = (tmp_path / "log").read_text()
    assert "secret" not in text and "token" not in text.lower() and TOKEN.decode()[:20] not in text


@pytest.mark.parametrize(
    ("wire", "reason", "shown"),
    [
        (b"GET /slow?x=1 HTTP/1.1\r\nHost: h.test\r\nA: b", "head_timeout", ("GET", "/slow", "h.test")),
        (b"GET /slo", "head_timeout", ("GET", "/slo", "")),
        (request("POST", "/", "Content-Length: 5", body=b"he"), "body_timeout", ("POST", "/", "api.test")),
        (request("POST", "/", "Transfer-Encoding: chunked") + b"g", "chunk_size", ("POST", "/", "api.test")),
        (request("POST", "/", "Transfer-Encoding: chunked") + b"1;\n", "chunk_extension", ("POST", "/", "api.test")),
        (request("POST", "/", "Transfer-Encoding: chunked") + b"b\r\n", "body_too_large", ("POST", "/", "api.test")),
    ],
)
def test_a_request_that_does_not_come_whole_says_why(
    pieces: int | None, tmp_path: Path, wire: bytes, reason: str, shown: tuple[str, str, str]
) -> None:
    """A head or body that stalls is a 408 that says which; broken chunks say what is broken."""
    stage = Stage(pieces, log=tmp_path / "log", request_head=0.0, stream_idle=0.0, max_request_body=10)
    client = stage.client()
    client.sends(wire)
    if b"chunked" in wire:
        stage.server()
    stage.context.expire()
    record = told(stage, client, reason)
    assert (record["method"], record["path"], record["host"]) == shown
    assert record["status"] == error_status(ErrorReason[reason.upper()])


BROKEN = [
    (b"HTTP/1.1 200 OK\nA: b\n\n", "response_bare_lf"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "response_duplicate_length"),
    (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 201 + b"\r\n", "response_too_many_fields"),
    (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70000, "response_head_too_large"),
    (b"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "response_unasked_upgrade"),
    (b"HTTP/1.1 102 x\r\n\r\n" * 9, "response_too_many_interims"),
    (b"nothing of HTTP", "response_status_line"),
    (b"HTTP/1.1 200 O", "response_incomplete"),
    (b"", "no_response"),
]


@pytest.mark.parametrize(("wire", "reason"), BROKEN, ids=[case[1] for case in BROKEN])
def test_a_502_says_what_was_wrong_with_the_response(
    pieces: int | None, tmp_path: Path, wire: bytes, reason: str
) -> None:
    """The head that cannot be read, the limit that it breaks, or that the connection ended before or within it."""
    stage = Stage(pieces, log=tmp_path / "log", retries=0)
    client = stage.client()
    client.sends(request("GET", "/", version="1.0"))
    server = stage.server()
    server.sends(wire)
    if reason in ("response_incomplete", "no_response"):
        server.ends()
    record = told(stage, client, reason)
    assert record["status"] == 502 and record["endpoint"] == "10.0.0.0:80"


@pytest.mark.parametrize(
    ("head", "body", "reason"),
    [
        ("Content-Length: 9", b"hello", "response_incomplete"),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\n", "response_incomplete"),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\ng\r\n", "response_chunk_size"),
        ("Transfer-Encoding: chunked", b"5\r\nhello!", "response_chunk_data_end"),
        ("Content-Length: 9", b"hello", "stream_idle"),
    ],
)
def test_a_response_that_is_cut_says_why(tmp_path: Path, head: str, body: bytes, reason: str) -> None:
    """The status is the endpoint's, for it was sent; the line is not complete and has the reason."""
    stage = Stage(1, log=tmp_path / "log", stream_idle=0.0)
    client = stage.client()
    client.sends(request())
    stage.server().sends(response("200 OK", head, body=body))
    if reason == "stream_idle":
        stage.context.expire()
    elif reason == "response_incomplete":
        stage.server().ends()
    record = told(stage, client, reason)
    assert (record["status"], record["complete"]) == (200, False)


def test_a_503_says_why_no_endpoint_took_it(tmp_path: Path) -> None:
    """None could be connected to, also a moment ago, or each has all the connections it may have and the queue is off, full or too slow."""
    stage = Stage(None, 2, log=tmp_path / "log")
    client = stage.client()
    client.sends(request())
    stage.opened[-1].refuses()
    stage.opened[-1].refuses()
    assert told(stage, client, "connect_failed")["status"] == 503
    client.sends(request())
    stage.opened[-1].refuses()
    stage.opened[-1].refuses()
    assert stage.records()[-1]["reason"] == "endpoints_down"

    for reason, room, number in (("endpoints_full", 0, 2), ("pending_overflow", 1, 3), ("pending_timeout", 1, 2)):
        timeout = 0.0 if reason == "pending_timeout" else 60.0
        stage = Stage(log=tmp_path / reason, max_connections=1, max_pending=room, pending_timeout=timeout)
        clients = [stage.client() for _ in range(number)]
        for client in clients:
            client.sends(request())
        stage.context.expire()
        assert told(stage, clients[-1], reason)["status"] == 503

    stage = Stage(log=tmp_path / "cluster_full")
    stage.use_endpoints(0, max_requests=2)
    clients = [stage.client() for _ in range(3)]
    for client in clients:
        client.sends(request())
    assert told(stage, clients[-1], "cluster_full")["status"] == 503
    stage.server(0).sends(OK)
    clients[0].sends(request())
    assert stage.server(0).take()


def test_a_504_says_which_timeout(tmp_path: Path) -> None:
    """The endpoint has the whole request and does not answer."""
    stage = Stage(log=tmp_path / "log", response_timeout=0.0)
    client = stage.client()
    client.sends(request())
    stage.server()
    stage.context.expire()
    record = told(stage, client, "response_timeout")
    assert (record["status"], record["endpoint"]) == (504, "10.0.0.0:80")


def test_a_request_that_its_client_ends_says_so(tmp_path: Path) -> None:
    """The client goes away, or reads nothing for too long; so does the end of the worker."""
    for ending, reason in (("lose", "client_closed"), ("stall", "client_stalled"), ("end", "shutdown")):
        stage = Stage(log=tmp_path / reason, stream_idle=0.0)
        client = stage.client()
        client.sends(request())
        stage.server()
        if ending == "stall":
            client.side.pause_writing()
            stage.context.expire()
        elif ending == "end":
            stage.context.close()
        client.lose()
        record = told(stage, client, reason)
        assert (record["status"], record["complete"]) == (499 if ending == "lose" else 0, False)


def test_a_connection_over_the_limit_is_counted_and_logged(tmp_path: Path) -> None:
    """503 and its reason, with nothing read of any request."""
    stage = Stage(log=tmp_path / "log")
    for _ in range(100):
        stage.client()
    client = stage.client()
    record = told(stage, client, "too_many_connections")
    assert (record["status"], record["method"], record["path"]) == (503, "", "")


def test_expose_reason_names_an_error_too(pieces: int | None) -> None:
    """The body of a 502 has the reason where the route has expose_reason, and nowhere else."""
    policies = Policies(
        "  - {name: open, prefix: /open, refusals: {expose_reason: true}}\n  - {name: shut, prefix: /shut}\n"
    )
    stage = Stage(pieces, retries=0, **policies.options())
    for path, body in (("/open", b"bad gateway: no_response\n"), ("/shut", b"bad gateway\n")):
        client = stage.client()
        client.sends(request("GET", path, auth=bearer(token())))
        stage.server().ends()
        answer = client.take()
        assert answer.startswith(b"HTTP/1.1 502 ") and answer.endswith(b"\r\n\r\n" + body)
        assert b"Content-Length: %d\r\n" % len(body) in answer


@pytest.mark.parametrize(
    ("wire", "reason"),
    [(request("GET", "/", "X-Forwarded-For: 203.0.113.9, 192.0.2.8"), None), (b"", "two_hosts")],
    ids=["answered", "refused by the parser"],
)
def test_p12_the_log_names_the_client_that_trusted_proxies_name(
    pieces: int | None, tmp_path: Path, wire: bytes, reason: str | None
) -> None:
    """`client` is the address that failures are counted under, `peer` that of the connection; without trust both are the peer."""
    data = wire or request("GET", "/", "Host: b", "X-Forwarded-For: 203.0.113.9, 192.0.2.8")
    for rest, client_address, peer in (
        ("trusted_proxies: [192.0.2.0/24]", "203.0.113.9", "192.0.2.7"),
        ("", "192.0.2.7", None),
    ):
        policies = Policies(rest=rest)
        options = policies.options(log=tmp_path / f"log{len(rest)}")
        stage = Stage(pieces, **options)
        client = stage.client()
        client.sends(data.replace(AUTH, bearer(token())))
        if reason is None:
            stage.server().sends(OK)
        (record,) = stage.records()
        assert (record["client"], record.get("peer"), record.get("reason")) == (client_address, peer, reason)


def test_tls_on_a_plain_port_says_so(tmp_path: Path) -> None:
    """The log names the mistake instead of a control character, which a handshake begins with."""
    stage = Stage(log=tmp_path / "log")
    client = stage.client()
    client.sends(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert told(stage, client, "tls_on_http_port")["status"] == 400
