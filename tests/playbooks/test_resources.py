"""What a peer sends costs bounded memory and work: traffic scripts for the resource rules of the threat model."""

import socket
import time

import pytest

from lbjwt.proxy._accept import accepted
from tests.playbooks.stage import Client, Stage, request, response

OK = response("200 OK", "Content-Length: 2", body=b"ok")


def test_s1_a_dripped_head_does_not_move_its_deadline() -> None:
    """The time for a head is absolute: bytes that keep coming do not renew it, and the answer is 408 (THREATS S1)."""
    stage = Stage(request_head=0.02)
    client = stage.client()
    client.sends(b"GET / HT")
    time.sleep(0.03)
    client.sends(b"TP/1.1\r\nHost:")
    stage.context.expire()
    assert client.take().startswith(b"HTTP/1.1 408 ") and client.transport.ended
    client.lose()


def test_s1_nor_does_silence_after_the_connection() -> None:
    """A connection on which no request begins is closed without a word (THREATS S1)."""
    stage = Stage(request_head=0.02)
    client = stage.client()
    time.sleep(0.03)
    stage.context.expire()
    assert client.take() == b"" and client.is_gone()


def test_s6_tiny_chunks_are_sent_on_together() -> None:
    """Two thousand one-byte chunks that came at once leave as one chunk, both ways (THREATS S6)."""
    tiny = b"1\r\nx\r\n" * 2000
    stage = Stage()
    client = stage.client()
    client.sends(request("POST", "/", "Transfer-Encoding: chunked"))
    server = stage.server()
    server.take()
    server.transport.writes = 0
    client.sends(tiny + b"0\r\n\r\n")
    assert server.take() == b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n" and server.transport.writes <= 3
    server.sends(response("200 OK", "Transfer-Encoding: chunked"))
    client.take()
    client.transport.writes = 0
    server.sends(tiny + b"0\r\n\r\n")
    assert client.take() == b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n" and client.transport.writes <= 3


def test_s8_a_pipeline_is_held_only_so_far() -> None:
    """A client that sends requests and reads no answers is read from no further than 64 KiB (THREATS S8)."""
    stage = Stage()
    client = stage.client()
    one = request("GET", "/", "X-Pad: " + "p" * 1000)
    client.sends(one)
    sent = 0
    while not client.is_paused():
        client.sends(one)
        sent += len(one)
        assert sent < 128 * 1024, "it reads on and on"
    assert len(stage.opened) == 1
    while sent >= 0:
        stage.server().sends(OK)
        assert client.take() == OK
        sent -= len(one)
    assert not client.is_paused() and len(stage.opened) == 1


def test_s12_connections_to_an_endpoint_are_bounded() -> None:
    """When every endpoint has all the connections it may have, and as many wait as may, the answer is 503 with Retry-After (THREATS S12)."""
    stage = Stage(max_pending=0)
    clients = [stage.client() for _ in range(17)]
    for client in clients:
        client.sends(request())
    assert len(stage.opened) == 16
    answer = clients[-1].take()
    assert answer.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: " in answer
    for number in range(16):
        stage.server(number)
    stage.server(0).sends(OK)
    clients[-1].sends(request())
    stage.server(0).sends(OK)
    assert clients[-1].take() == OK


def test_p13_nobody_is_let_in_for_his_user_agent() -> None:
    """What calls itself a health check, asks for a well-known path or uses another method needs a token like all others (THREATS P13)."""
    stage = Stage()
    for agent in ("GoogleHC/1.0", "ELB-HealthChecker/2.0", "kube-probe/1.31"):
        for method, target in (
            ("GET", "/healthz"),
            ("GET", "/livez"),
            ("OPTIONS", "/"),
            ("OPTIONS", "*"),
            ("HEAD", "/"),
        ):
            client = stage.client()
            client.sends(request(method, target, f"User-Agent: {agent}", auth=b""))
            assert client.take().startswith(b"HTTP/1.1 401 ")
    assert stage.opened == []


def test_q8_hop_by_hop_fields_of_a_response_end_here() -> None:
    """Connection and what it names, Keep-Alive, Proxy-* and Trailer of an endpoint do not reach the client (THREATS Q8)."""
    stage = Stage()
    client = stage.client()
    client.sends(request())
    fields = (
        "Connection: keep-alive, X-Hop",
        "X-Hop: 1",
        "Keep-Alive: timeout=5",
        "Proxy-Authenticate: Basic",
        "Trailer: X",
        "X-Stays: 1",
    )
    stage.server().sends(response("200 OK", *fields, "Content-Length: 2", body=b"ok"))
    assert client.take() == response("200 OK", "X-Stays: 1", "Content-Length: 2", body=b"ok")


def test_q8_an_endpoint_that_wants_to_close_is_believed() -> None:
    """After Connection: close, and after an HTTP/1.0 response without keep-alive, the next request goes out on another connection (THREATS Q8)."""
    for version, fields in (("1.1", ("Connection: close",)), ("1.0", ())):
        stage = Stage()
        client = stage.client()
        client.sends(request())
        stage.server().sends(
            response("200 OK", *fields, "Content-Length: 2", body=b"ok").replace(
                b"HTTP/1.1", f"HTTP/{version}".encode()
            )
        )
        client.sends(request())
        assert len(stage.opened) == 2 and stage.opened[0].is_gone()
        stage.server().sends(OK)


def test_q15_our_refusal_carries_our_fields_only() -> None:
    """A cookie or challenge of an endpoint never appears in an answer of ours on the same connection (THREATS Q15)."""
    stage = Stage()
    client = stage.client()
    client.sends(request())
    stage.server().sends(
        response("401 Unauthorized", "Set-Cookie: a=b", 'WWW-Authenticate: Basic realm="x"', "Content-Length: 0")
    )
    assert b"Set-Cookie: a=b" in client.take()
    client.sends(request(auth=b""))
    answer = client.take()
    assert b"Cookie" not in answer and answer.count(b"WWW-Authenticate") == 1 and b"Bearer" in answer


def test_client_connections_are_bounded() -> None:
    """Past max_connections a client gets 503 and the end of its connection, and whoever was there before is served (THREATS S11)."""
    stage = Stage()
    clients = [stage.client() for _ in range(100)]
    one_too_many = stage.client()
    assert one_too_many.take().startswith(b"HTTP/1.1 503 ") and one_too_many.transport.ended
    one_too_many.sends(request())
    assert one_too_many.take() == b"" and stage.opened == []
    clients[0].sends(request())
    stage.server().sends(OK)
    assert clients[0].take() == OK
    one_too_many.lose()
    clients[1].lose()
    assert stage.client().take() == b""


@pytest.mark.parametrize("allowed", [False, True], ids=["default", "allow_half_close"])
@pytest.mark.parametrize("whole", [False, True], ids=["half", "both ways"])
def test_a_client_that_goes_away_while_it_is_not_read_is_noticed(whole: bool, allowed: bool) -> None:
    """An end behind a body that a slow endpoint holds back is found by the walk over the deadlines; of one side only, it may be meant so."""
    stage = Stage(allow_half_close=allowed)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        client = Client(stage, accepted(stage.context, stage.listener))
        client.transport.socket = ours
        client.side.connection_made(client.transport)
        client.sends(request("POST", "/", "Content-Length: 100", body=b"begin"))
        server = stage.server()
        server.side.pause_writing()
        client.sends(b"more")
        stage.context.expire()
        assert client.is_paused() and not server.is_gone()
        theirs.shutdown(socket.SHUT_RDWR if whole else socket.SHUT_WR)
        stage.context.expire()
        assert server.is_gone() == (whole or not allowed)
        client.lose()
    assert stage.totals["in_flight"] == 0
