"""What hostile clients and dying backends try: each script here stalled, leaked, overfilled or misled a worker once."""

import re
from collections.abc import Iterator

import pytest

from lbjwt.proxy._accept import accepted
from tests.playbooks.stage import Client, Server, Stage, request, response

OK = response("200 OK", "Content-Length: 2", body=b"ok")
UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage(stream_idle=0.0)  # the next sweep ends whatever waits for a silent peer
    yield stage
    check(stage)


def check(stage: Stage) -> None:
    """Nothing is under way any more and no endpoint is charged for what is over."""
    assert stage.totals["in_flight"] == 0, "an exchange was not finished"
    for number in range(len(stage.endpoints)):
        assert stage.board.endpoint_totals(number)["in_flight"] == 0, "an endpoint is charged for ever"


def tunnel(stage: Stage) -> tuple[Client, Server]:
    """A client and an endpoint with a tunnel between them."""
    client = stage.client()
    client.sends(request("GET", "/chat", *UPGRADE))
    server = stage.server()
    server.sends(SWITCHING)
    client.take()
    server.take()
    return client, server


def test_an_upload_goes_on_when_the_second_endpoint_has_a_pooled_connection() -> None:
    """A client that was held back while a connect failed is read again once its request left on a pooled connection."""
    stage = Stage(endpoints=2)
    body = b"b" * 100
    stage.client().sends(request())
    pooled = stage.server(0)
    pooled.take()
    pooled.sends(OK)
    while True:  # until the endpoint without a connection is chosen
        uploader = stage.client()
        uploader.sends(request("POST", "/up", f"Content-Length: {len(body)}", body=body[:10]))
        if len(stage.opened) == 2:
            break
        uploader.sends(body[10:])
        pooled.take()
        pooled.sends(OK)
    uploader.sends(body[10:])
    assert uploader.is_paused()
    stage.opened[1].refuses()
    assert not uploader.is_paused()
    assert pooled.take().endswith(b"\r\n\r\n" + body)
    pooled.sends(OK)
    assert uploader.take() == OK
    check(stage)


def test_answers_that_nobody_reads_do_not_pile_up(stage: Stage) -> None:
    """A pipelining client that does not read is not read either: answers stop at the high-water mark and go on below it."""
    client = stage.client()
    write = client.transport.write

    def full(data: bytes) -> None:
        write(data)
        if not client.side_is_full:  # type: ignore[attr-defined]
            client.side_is_full = True  # type: ignore[attr-defined]
            client.side.pause_writing()

    client.side_is_full = False  # type: ignore[attr-defined]
    client.transport.write = full  # type: ignore[method-assign]
    pipeline = request("GET", "/1", auth=b"") * 3
    client.sends(pipeline[:-5])
    client.transport.write = write  # type: ignore[method-assign]
    assert client.take().count(b"HTTP/1.1 401 ") == 1
    assert client.is_paused()
    client.side.resume_writing()
    assert not client.is_paused()
    client.sends(pipeline[-5:])
    assert client.take().count(b"HTTP/1.1 401 ") == 2


def test_a_response_that_ends_over_the_mark_holds_back_the_next_request(stage: Stage) -> None:
    """The next pipelined request leaves for the endpoint only once the client reads again; one that never does is cut."""
    client = stage.client()
    client.sends(request("GET", "/1") + request("GET", "/2"))
    server = stage.server()
    server.take()
    client.side.pause_writing()
    server.sends(OK)
    assert server.take() == b"" and client.is_paused()
    client.side.resume_writing()
    assert server.take().startswith(b"GET /2 ")
    client.side.pause_writing()
    server.sends(OK)
    stage.context.expire()
    assert client.transport.aborted


def test_a_closing_client_that_does_not_read_is_not_waited_for_without_end(stage: Stage) -> None:
    """What is queued at the close has its time; then the connection is cut, or it would be held for ever."""
    client = stage.client()
    client.sends(request("GET", "/", "Connection: close"))
    stage.server().sends(OK)
    assert client.is_gone() and not client.transport.aborted
    stage.context.expire()
    assert client.transport.aborted


def test_bytes_behind_a_response_count_however_they_were_read(stage: Stage) -> None:
    """A stray response at the end of a full buffer is not the answer to the next request, under asyncio's own loop neither."""
    client = stage.client()
    client.sends(request("GET", "/1") + request("GET", "/2"))
    server = stage.server()
    size = 65536 - len(response("200 OK", "Content-Length: 65000"))
    server.side.data_received(
        response("200 OK", f"Content-Length: {size}", body=b"1" * size) + response("299 Stray", "Content-Length: 0")
    )
    assert server.transport.closed, "a connection with a byte too many is not used again"
    stage.server().sends(OK)
    assert re.findall(rb"HTTP/1.1 (\d+)", client.take()) == [b"200", b"200"]


def test_a_connection_made_and_given_up_at_once_is_told_once(stage: Stage) -> None:
    """uvloop closes it in silence: the exchange goes on elsewhere and the endpoint has its place back."""
    client = stage.client()
    client.sends(request())
    server = stage.server()
    server.stream.connect_failed("cannot be reached: no connection within 2 s")
    assert len(stage.opened) == 2
    server.side.connection_lost(None)  # asyncio's own loop tells as well
    assert stage.endpoints[0].pool.open == 1
    stage.server().sends(OK)
    assert client.take() == OK and stage.endpoints[0].pool.open == 1


def test_an_endpoint_that_answers_without_reading_is_cut(stage: Stage) -> None:
    """A whole response while the request still waits in our queue: a close would wait for that queue without end."""
    client = stage.client()
    client.sends(request("PUT", "/", "Content-Length: 3", body=b"abc"))
    server = stage.server()
    server.transport.queued = 100
    server.sends(OK)
    assert client.take() == OK
    assert server.transport.aborted


def test_a_client_that_reset_before_it_was_accepted_is_not_served(stage: Stage) -> None:
    """Nobody could say whose request it was: neither the log nor X-Forwarded-For."""
    client = Client(stage, accepted(stage.context, stage.listener))
    client.transport.address = None
    client.side.connection_made(client.transport)
    client.side.data_received(request())
    assert client.transport.aborted and stage.opened == []


def test_a_flood_beyond_the_cap_is_not_kept_for_a_polite_end(stage: Stage) -> None:
    """Clients over the cap are told 503, but only up to as many again: past that they are reset."""
    clients = [stage.client() for _ in range(201)]
    assert clients[99].take() == b""
    assert clients[199].take().startswith(b"HTTP/1.1 503 ")
    assert clients[200].transport.aborted and clients[200].take() == b""


def test_a_half_closed_tunnel_ends_when_its_endpoint_is_gone(stage: Stage) -> None:
    """After the endpoint's FIN nothing is read from it, so a failed send is the only sign."""
    client, server = tunnel(stage)
    assert server.side.eof_received()
    server.transport.closed = True
    client.sends(b"anybody there?")
    assert server.transport.aborted
    server.lose()
    assert client.is_gone()
