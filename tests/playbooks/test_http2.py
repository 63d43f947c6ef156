"""Exchanges over HTTP/2: what a client sends on a stream, what the endpoint must see, what comes back on which stream."""

import asyncio
import base64
import gc
import hashlib
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from lbjwt._error_reason import ErrorReason
from tests.harness.http2 import DATA, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, block, frame, frames, head
from tests.playbooks.http2_stage import Http2Client, Http2Stage
from tests.playbooks.messages import OK, SWITCH
from tests.playbooks.stage import TOKEN, request, response
from tests.playbooks.tls_stage import Turns


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    turns = Turns()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: turns)
    return turns


@pytest.fixture
def stage(turns: Turns, pieces: int | None) -> Iterator[Http2Stage]:
    stage = Http2Stage(turns, pieces, allow_websocket=True, health="/healthz")
    yield stage
    turns.turn()
    settled(stage)


def settled(stage: Http2Stage) -> None:
    """Nothing is counted that is not there."""
    assert stage.totals["in_flight"] == 0, "an exchange was not finished"
    assert stage.totals["waiting"] == 0
    for endpoint in range(len(stage.endpoints)):
        assert stage.board.endpoint_totals(endpoint)["in_flight"] == 0, "an endpoint is charged for ever"


def test_a_request_is_forwarded_and_answered(stage: Http2Stage) -> None:
    """The endpoint sees HTTP/1.1 with the identity header; the client gets the response on its stream."""
    client = stage.client()
    number = client.asks("GET", "/a?b=c", more=[(b"accept", b"*/*")])
    seen = stage.server().take()
    assert seen.startswith(b"GET /a?b=c HTTP/1.1\r\n")
    assert b"\r\nhost: api.test\r\n" in seen.lower() and b"\r\nX-Jwt-Sub: alice\r\n" in seen
    stage.server().sends(OK)
    reply = client.reply(number)
    assert (reply.status, reply.body, reply.ended, reply.field("content-length")) == (200, b"ok", True, "2")
    assert reply.field("date") and reply.field("x-request-id")


def test_a_stream_without_token_reaches_nobody(stage: Http2Stage) -> None:
    """401 with its challenge on that stream; the next stream is served."""
    client = stage.client()
    reply = client.reply(client.asks(token=None))
    assert (reply.status, reply.field("www-authenticate"), stage.opened) == (401, 'Bearer realm="lbjwt"', [])
    number = client.asks()
    stage.server().sends(OK)
    assert client.reply(number).body == b"ok"


def test_streams_are_answered_in_the_order_of_their_endpoints(stage: Http2Stage) -> None:
    """Many at once, each with a connection of its own; one that waits holds up no other."""
    client = stage.client()
    numbers = [client.asks("GET", f"/{at}") for at in range(3)]
    servers = [stage.server(at) for at in range(3)]
    assert [server.take().split(b" ")[1] for server in servers] == [b"/0", b"/1", b"/2"]
    servers[2].sends(response("200 OK", "Content-Length: 1", body=b"2"))
    servers[0].sends(response("200 OK", "Content-Length: 1", body=b"0"))
    assert [client.reply(number).body for number in numbers] == [b"0", b"", b"2"]
    servers[1].sends(response("200 OK", "Content-Length: 1", body=b"1"))
    assert client.reply(numbers[1]).body == b"1"


def test_a_body_and_its_length(stage: Http2Stage) -> None:
    """With a length it is sent as it is, without one in chunks."""
    client = stage.client()
    client.asks("POST", body=b"hello", more=[(b"content-length", b"5")])
    seen = stage.server().take()
    assert seen.endswith(b"\r\n\r\nhello") and b"content-length: 5" in seen.lower()
    client.asks("POST", body=b"hello")
    seen = stage.server().take()
    assert seen.endswith(b"5\r\nhello\r\n0\r\n\r\n") and b"transfer-encoding: chunked" in seen.lower()
    client.lose()


@pytest.mark.parametrize(
    ("method", "answer", "status", "body"),
    [
        ("HEAD", response("200 OK", "Content-Length: 5"), 200, b""),
        ("GET", response("204 No Content"), 204, b""),
        ("GET", response("304 Not Modified", "Content-Length: 5"), 304, b""),
        ("GET", response("200 OK", "Content-Length: 0"), 200, b""),
        ("GET", response("200 OK", "Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n"), 200, b"ok"),
    ],
)
def test_the_end_of_a_response(stage: Http2Stage, method: str, answer: bytes, status: int, body: bytes) -> None:
    """Every framing of HTTP/1 ends with END_STREAM, and the backend's connection is used again."""
    client = stage.client()
    number = client.asks(method)
    stage.server().sends(answer)
    reply = client.reply(number)
    assert (reply.status, reply.body, reply.ended, reply.reset) == (status, body, True, None)
    client.asks()
    assert len(stage.opened) == 1
    client.lose()


def test_a_response_until_close_ends_its_stream(stage: Http2Stage) -> None:
    """The end of the backend's connection ends the body."""
    client = stage.client()
    number = client.asks()
    stage.server().sends(response("200 OK", body=b"all"))
    stage.server().ends()
    assert (client.reply(number).body, client.reply(number).ended) == (b"all", True)


def test_a_response_cut_short_is_reset(stage: Http2Stage) -> None:
    """What came is passed on, and the stream ends with RST_STREAM: it must not look complete. Others go on."""
    client = stage.client()
    number = client.asks()
    other = client.asks()
    stage.server(0).sends(response("200 OK", "Content-Length: 10", body=b"half"))
    stage.server(0).ends()
    reply = client.reply(number)
    assert (reply.status, reply.body, reply.ended, reply.reset) == (200, b"half", False, 2)
    stage.server(1).sends(OK)
    assert client.reply(other).ended


def test_fields_of_the_backends_connection_stay_there(stage: Http2Stage) -> None:
    """Hop-by-hop fields of HTTP/1 would be malformed in HTTP/2 (RFC 9113 section 8.2.2)."""
    client = stage.client()
    number = client.asks()
    lines = [
        "Connection: Upgrade, Keep-Alive, X-Mine",
        "Upgrade: h2,h2c",
        "Keep-Alive: timeout=5",
        "X-Mine: 1",
        "Proxy-Connection: a",
    ]
    stage.server().sends(response("200 OK", *lines, "X-Kept: 1", "Content-Length: 0"))
    reply = client.reply(number)
    names = {name for name, _ in reply.fields}
    assert reply.ended and b"x-kept" in names
    assert not names & {b"connection", b"upgrade", b"keep-alive", b"x-mine", b"proxy-connection", b"transfer-encoding"}


def test_interim_responses_come_first(stage: Http2Stage) -> None:
    """103 reaches the client before the response; a 100 answers its Expect."""
    client = stage.client()
    number = client.asks("POST", body=None, more=[(b"expect", b"100-continue"), (b"content-length", b"2")])
    stage.server().sends(response("100 Continue") + response("103 Early Hints", "Link: </a.css>"))
    assert [fields[0] for fields in client.reply(number).interim] == [(b":status", b"100"), (b":status", b"103")]
    client.peer.engine.send_data(number, b"hi", end_stream=True)
    client.flush()
    stage.server().sends(OK)
    assert client.reply(number).body == b"ok"


def test_trailers_of_a_request_end_it(stage: Http2Stage) -> None:
    """An HTTP/1 backend gets the end of the body, and no trailers."""
    client = stage.client()
    client.begins(head("POST", token=TOKEN), b"hello", [(b"x-sum", b"1")])
    assert stage.server().take().endswith(b"5\r\nhello\r\n0\r\n\r\n")
    client.lose()


def test_a_response_may_end_before_its_request(stage: Http2Stage) -> None:
    """The client is told that the rest is not wanted, without an error (RFC 9113 section 8.1); its other streams go on."""
    client = stage.client()
    number = client.asks("POST", body=None)
    stage.server().sends(response("413 Too Large", "Content-Length: 3", body=b"big"))
    reply = client.reply(number)
    assert (reply.status, reply.body, reply.ended, reply.reset) == (413, b"big", True, 0)
    number = client.asks()
    stage.server().sends(OK)
    assert client.reply(number).body == b"ok"


def test_a_refused_upload_is_answered_and_then_unwanted(stage: Http2Stage) -> None:
    """401 at once, then RST_STREAM with NO_ERROR: the client keeps the answer and stops sending."""
    client = stage.client()
    reply = client.reply(client.asks("POST", body=None, token=None))
    assert (reply.status, reply.ended, reply.reset) == (401, True, 0)


def test_a_stream_that_is_taken_back_gives_up_its_request(stage: Http2Stage) -> None:
    """The backend's connection is reset, and the other stream is served."""
    client = stage.client()
    number, other = client.asks(), client.asks()
    given_up = stage.server(0)
    client.takes_back(number)
    assert given_up.is_gone()
    stage.server(1).sends(OK)
    assert client.reply(other).body == b"ok"


def test_a_lost_connection_gives_up_all_requests(stage: Http2Stage) -> None:
    client = stage.client()
    for _ in range(3):
        client.asks()
    servers = [stage.server(at) for at in range(3)]
    client.lose(ConnectionResetError())
    assert all(server.is_gone() for server in servers) and stage.totals["connections"] == 0


def test_a_client_that_ends_its_side_has_given_up(stage: Http2Stage) -> None:
    """As over HTTP/1: without `allow_half_close` nobody waits for the responses."""
    client = stage.client()
    client.asks()
    server = stage.server()
    client.ends()
    assert server.is_gone() and client.is_gone()
    client.lose()


def test_a_half_closed_client_gets_its_responses(stage: Http2Stage) -> None:
    stage.reload(allow_half_close=True)
    client = stage.client()
    number = client.asks()
    client.ends()
    assert not client.is_gone()
    stage.server().sends(OK)
    stage.turns.turn()
    client.peer.take(client.take_raw())
    assert client.peer.replies[number].ended and client.transport.ended


def test_health_checks_are_answered_by_the_listener(stage: Http2Stage) -> None:
    client = stage.client()
    assert client.reply(client.asks(path="/healthz", token=None)).status in (200, 503)
    assert stage.opened == []


# --- flow control -------------------------------------------------------------------------------------------------------


def test_a_slow_reader_holds_up_its_own_stream_only(stage: Http2Stage) -> None:
    """Past 64 KiB that wait for one stream its backend is not read from; the other stream is answered; then it goes on."""
    client = stage.client(window=1000)
    number, other = client.asks(), client.asks()
    big, small = stage.server(0), stage.server(1)
    big.sends(response("200 OK", "Content-Length: 300000"))
    for _ in range(5):
        if not big.is_paused():
            big.sends(b"x" * 60000)
    client.flush()
    assert big.is_paused()
    small.sends(OK)
    assert client.reply(other).body == b"ok" and len(client.reply(number).body) == 1000
    while len(client.reply(number).body) < 120_000:
        client.peer.engine.acknowledge_received_data(len(client.peer.replies[number].body) and 1000, number)
        client.flush()
    assert not big.is_paused()
    client.lose()


def test_a_body_waits_in_its_window_until_the_endpoint_takes_it(turns: Turns) -> None:
    """While the endpoint connects no more than one window comes in; then all of it passes, and the window is given back."""
    stage = Http2Stage(turns)
    client = stage.client()
    body = bytes(range(256)) * 1024
    number = client.asks("POST", body=body, more=[(b"content-length", b"%d" % len(body))])
    assert client.peer.engine.queued_body_size(number) == len(body) - 65536
    server = stage.server()
    client.flush()
    assert server.take().endswith(b"\r\n\r\n" + body)
    server.sends(OK)
    assert client.reply(number).ended
    settled(stage)


@pytest.mark.parametrize("token", [TOKEN, None])
def test_the_connections_window_is_given_back(turns: Turns, token: bytes | None) -> None:
    """Bodies do not use it up, those that nobody takes neither."""
    stage = Http2Stage(turns, http2={"max_streams": 1, "window": 16384})
    client = stage.client()
    for _ in range(10):
        number = client.asks("POST", body=b"x" * 16000, token=token)
        if token:
            stage.server().sends(OK)
        assert client.reply(number).ended
    client.lose()
    settled(stage)


def test_s25_frames_of_refused_uploads_use_up_no_window(turns: Turns) -> None:
    """Each is refused while a DATA frame is on its way. All of them together are far more than the window of the connection."""
    stage = Http2Stage(turns, http2={"max_streams": 4, "window": 16384})
    client = stage.raw_client()
    client.sends(frame(SETTINGS, 1))
    for number in range(1, 101, 2):
        data = frame(DATA, 0, number, bytes(16000))
        client.sends(frame(HEADERS, 4, number, block(head("POST"))) + data[:15000])
        said = [kind for kind, *_ in frames(client.take())]
        assert RST_STREAM in said and GOAWAY not in said
        client.sends(data[15000:])
        assert GOAWAY not in [kind for kind, *_ in frames(client.take())]
    client.lose()
    settled(stage)


def test_a_response_that_is_not_read_ends(turns: Turns) -> None:
    """All of it is queued, and the client opens no window: after `stream_idle` the stream is taken back, and the connection is idle again."""
    stage = Http2Stage(turns, stream_idle=0.0)
    client = stage.client(window=10)
    number = client.asks()
    stage.server().sends(response("200 OK", "Content-Length: 100", body=b"x" * 100))
    assert client.reply(number).body == b"x" * 10
    stage.passes()
    assert client.reply(number).reset == 8
    settled(stage)


def test_a_client_that_reads_nothing_has_stalled(turns: Turns) -> None:
    """The reason is that of HTTP/1, and not that the client has closed."""
    stage = Http2Stage(turns, stream_idle=0.0)
    client = stage.client()
    client.asks()
    client.side.pause_writing()
    stage.passes()
    assert client.is_gone() and stage.totals["errors"][ErrorReason.CLIENT_STALLED] == 1
    client.lose()
    settled(stage)


def test_the_responses_of_one_connection_have_one_bound(turns: Turns) -> None:
    """A client that opens no window cannot make us hold more than 1 MiB and one read of each endpoint."""
    stage = Http2Stage(turns, max_connections=200)
    client = stage.client(window=0)
    held = 0
    for at in range(100):
        client.asks()
        server = stage.server(at)
        server.sends(response("200 OK", "Content-Length: 1000000"))
        while not server.is_paused() and held < 1 << 30:
            server.sends(b"x" * 60000)
            held += 60000
    assert 1 << 20 < held < (1 << 20) + 100 * 61000
    client.lose()
    settled(stage)


def test_input_is_not_read_while_the_client_does_not_read(stage: Http2Stage) -> None:
    """Else a client could have us queue answers to its frames without end; and its requests do not extend the time it has."""
    client = stage.client()
    client.side.pause_writing()
    client.peer.request(head(token=None))
    client.sends(client.peer.output())
    assert client.is_paused()
    client.side.resume_writing()
    assert not client.is_paused()
    client.flush()


# --- WebSocket ----------------------------------------------------------------------------------------------------------

CONNECT = [
    *((b":method", b"CONNECT"), (b":protocol", b"websocket"), *head()[1:]),
    *((b"authorization", b"Bearer " + TOKEN), (b"sec-websocket-version", b"13")),
]


def tunnel(stage: Http2Stage) -> tuple[Http2Client, int]:
    client = stage.client()
    number = client.begins(CONNECT, None)
    seen = stage.server().take()
    assert seen.startswith(b"GET / HTTP/1.1\r\n") and b"\r\nupgrade: websocket\r\n" in seen.lower()
    key = next(line[19:] for line in seen.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key: "))
    stage.server().sends(switch(key))
    assert client.reply(number).status == 200
    return client, number


def switch(key: bytes) -> bytes:
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    return SWITCH.replace(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", accept)


def test_a_websocket_is_a_tunnel_on_its_stream(stage: Http2Stage) -> None:
    """RFC 8441: CONNECT with :protocol becomes the handshake of HTTP/1; data passes both ways; an end on one side reaches the other."""
    client, number = tunnel(stage)
    assert (b"sec-websocket-accept", b"") not in [(name, b"") for name, _ in client.reply(number).fields]
    client.peer.engine.send_data(number, b"\x81\x82maskhi")
    client.flush()
    assert stage.server().take() == b"\x81\x82maskhi"
    stage.server().sends(b"\x81\x02ho")
    assert client.reply(number).body == b"\x81\x02ho"
    client.peer.engine.end_stream(number)
    client.flush()
    stage.server().ends()
    assert client.reply(number).ended


def test_a_drain_says_goodbye_in_the_tunnel(stage: Http2Stage) -> None:
    """Close frame 1001 on the stream, GOAWAY on the connection; the tunnel ends by itself."""
    client, number = tunnel(stage)
    stage.context.drain(0.0)
    assert client.reply(number).body == b"\x88\x02\x03\xe9" and client.peer.goaways
    client.peer.engine.send_data(number, b"\x88\x82mask\x6e\x88", end_stream=True)
    client.flush()
    stage.server().ends()
    assert client.reply(number).ended
    stage.context.takes_requests(False)
    client.flush()
    assert client.transport.ended
    client.lose()


def test_a_websocket_that_the_backend_refuses_is_a_response(stage: Http2Stage) -> None:
    client = stage.client()
    number = client.begins(CONNECT, None)
    stage.server().sends(response("403 Forbidden", "Content-Length: 2", body=b"no"))
    assert (client.reply(number).status, client.reply(number).body) == (403, b"no")


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize("status", ["101 Switching Protocols", "200 OK", "403 Forbidden"])
def test_what_comes_before_a_websocket_is_agreed_on_is_no_request(stage: Http2Stage, status: str, end: bool) -> None:
    """It waits for the 101. A backend that declines never sees it: it would take it for the next request on the connection, past the gate."""
    smuggled = b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"
    client = stage.client()
    client.asks()
    stage.server().sends(OK)  # the next request is sent at once, on this connection
    client.flush()
    stage.server().take()
    number = client.peer.request(CONNECT, None)
    client.peer.engine.send_data(number, smuggled, end_stream=end)
    client.flush()
    server = stage.server()
    seen = server.take()
    assert seen.startswith(b"GET / HTTP/1.1\r\n") and seen.endswith(b"\r\n\r\n") and b"/admin" not in seen
    if status.startswith("101"):
        key = next(line[19:] for line in seen.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key: "))
        server.sends(switch(key))
        client.flush()
        assert server.take() == smuggled
        client.lose()
    else:
        server.sends(response(status, "Content-Length: 2", body=b"no"))
        reply = client.reply(number)
        if status.startswith("200"):  # which would say that the tunnel is open
            assert reply.status == 502 and server.is_gone()
        else:
            assert (reply.status, reply.body) == (403, b"no")
        assert server.take() == b""


def test_a_websocket_without_token_is_refused(stage: Http2Stage) -> None:
    client = stage.client()
    fields = [field for field in CONNECT if field[0] != b"authorization"]
    assert client.reply(client.begins(fields, None)).status == 401 and stage.opened == []


# --- the beginning and the end of a connection --------------------------------------------------------------------------


def test_http_1_is_spoken_on_the_same_listener(stage: Http2Stage) -> None:
    client = stage.plain_client()
    client.sends(request())
    stage.server().sends(OK)
    assert client.take() == OK


def test_a_preface_where_http_2_is_not_spoken_is_a_bad_request(stage: Http2Stage) -> None:
    stage.listener.h2c = False
    client = stage.plain_client()
    client.sends(PREFACE + frame(SETTINGS))
    assert client.take().startswith(b"HTTP/1.1 505 ") or client.is_gone()


BEGUN = PREFACE + frame(SETTINGS)


@pytest.mark.parametrize(
    "begun", [PREFACE[:10], BEGUN + frame(1, 5, 1, b"x" * 50)[:30], BEGUN + frame(1, 1, 1, b"\x82")]
)
def test_half_a_preface_or_head_has_little_time(turns: Turns, begun: bytes) -> None:
    """`timeouts.request_head` is for it, on a connection that carries no other request."""
    stage = Http2Stage(turns, request_head=0.0)
    client = stage.plain_client()
    client.sends(begun)
    for _ in range(4):
        stage.passes()
    assert client.is_gone() or client.transport.ended


def test_an_idle_connection_is_closed_in_time(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished stream starts the clock of `timeouts.keep_alive`, with no further frame of the client."""
    stage = Http2Stage(turns)
    stage.reload(timeouts=SimpleNamespace(request_head=10.0, keep_alive=0.0, stream_idle=300.0))
    client = stage.client()
    number = client.asks()
    stage.passes()
    assert not client.transport.ended
    stage.server().sends(OK)
    turns.turn()
    stage.passes()
    client.peer.take(client.take_raw())
    assert client.peer.replies[number].ended and client.peer.goaways and client.transport.ended


def test_a_drain_ends_in_two_steps(stage: Http2Stage) -> None:
    """First no request should begin, then none is taken, and those under way are answered (RFC 9113 section 6.8)."""
    client = stage.client()
    first = client.asks("GET", "/1")
    stage.context.drain(60.0)
    client.flush()
    assert client.peer.goaways == [(2**31 - 1, 0)]
    assert stage.context.takes_requests(True)
    stage.context.takes_requests(False)
    client.flush()
    assert client.peer.goaways[-1] == (first, 0)
    assert not client.transport.ended
    stage.server().sends(OK)
    assert client.reply(first).body == b"ok"
    assert bool(client.transport.ended) is True
    client.lose()


def test_a_request_between_the_two_steps_is_served(stage: Http2Stage) -> None:
    """One that was on its way when the first GOAWAY left."""
    client = stage.client()
    stage.context.drain(60.0)
    number = client.peer.request(head(token=TOKEN))
    client.sends(client.peer.output())
    stage.server().sends(OK)
    assert client.reply(number).body == b"ok"
    client.lose()


def test_a_listener_that_leaves_ends_its_own_clients_only(stage: Http2Stage) -> None:
    client = stage.client()
    stage.context.drain_listener(stage.listener, 60.0)
    client.flush()
    assert client.peer.goaways
    client.lose()


def test_max_requests_per_connection(turns: Turns) -> None:
    """The last of them announces the end."""
    stage = Http2Stage(turns)
    stage.reload(
        limits=SimpleNamespace(
            max_request_body=None, max_response_head=65536, max_response_fields=200, max_requests_per_connection=2
        )
    )
    client = stage.client()
    client.reply(client.asks(token=None))
    assert client.peer.goaways == []
    client.reply(client.asks(token=None))
    assert client.peer.goaways == [(2**31 - 1, 0)]
    client.lose()


@pytest.mark.parametrize("acknowledged", [True, False])
def test_too_many_streams(turns: Turns, acknowledged: bool) -> None:
    """Who knows the limit has broken it; for others the stream is refused, which they may send again (RFC 9113 section 5.1.2)."""
    stage = Http2Stage(turns, http2={"max_streams": 2})
    client = stage.raw_client()
    if acknowledged:
        client.sends(frame(SETTINGS, 1))
    get = block(head(token=TOKEN))
    client.sends(b"".join(frame(HEADERS, 5, number, get) for number in (1, 3, 5)))
    found = [
        (kind, number, payload) for kind, _, number, payload in frames(client.take()) if kind in (RST_STREAM, GOAWAY)
    ]
    if acknowledged:
        assert [(kind, int.from_bytes(payload[4:8])) for kind, _, payload in found] == [(GOAWAY, 1)]
        assert stage.totals["in_flight"] == 0
    else:
        assert found == [(RST_STREAM, 5, b"\0\0\0\7")]
        for server in [stage.server(at) for at in range(2)]:
            server.sends(OK)
        assert {(number, payload) for kind, _, number, payload in frames(client.take()) if kind == DATA} == {
            (1, b"ok"),
            (3, b"ok"),
        }
        assert len(stage.opened) == 2
    client.lose()
    settled(stage)


def test_a_client_that_never_acknowledges_the_settings(turns: Turns) -> None:
    """Told SETTINGS_TIMEOUT and closed, with what it has under way (RFC 9113 section 6.5.3); one that does acknowledge them goes on."""
    stage = Http2Stage(turns, http2={"settings_timeout": 0.0})
    good, silent = stage.client(), stage.raw_client()
    silent.sends_head(head(token=TOKEN))
    number = good.asks()
    stage.passes()
    assert [int.from_bytes(payload[4:8]) for kind, _, _, payload in frames(silent.take()) if kind == GOAWAY] == [4]
    turns.later.pop()()
    assert silent.is_gone() and stage.totals["in_flight"] == 1
    stage.server().sends(OK)
    assert good.reply(number).status == 200
    good.lose()
    silent.lose()
    settled(stage)


def test_small_parts_that_come_together_leave_together(turns: Turns) -> None:
    """Twenty chunks of ten bytes in one read from the endpoint: one write to the client, so one TLS record."""
    stage = Http2Stage(turns)
    client = stage.client()
    number = client.asks()
    server = stage.server()
    server.sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.flush()
    before = client.transport.writes
    server.sends(b"a\r\n0123456789\r\n" * 20)
    assert client.reply(number).body == b"0123456789" * 20
    assert client.transport.writes == before + 1
    server.sends(b"0\r\n\r\n")
    assert client.reply(number).ended
    client.lose()
    settled(stage)


def test_a_body_larger_than_allowed(turns: Turns) -> None:
    """413 at its head if it says so, or when it gets there."""
    stage = Http2Stage(turns, max_request_body=10)
    client = stage.client()
    assert client.reply(client.asks("POST", body=b"x" * 11, more=[(b"content-length", b"11")])).status == 413
    number = client.asks("POST", body=b"x" * 11)
    stage.server()
    assert client.reply(number).status == 413
    settled(stage)


@pytest.mark.parametrize("end", ["client", "flood", "cancel"])
def test_a_lost_connection_is_freed_at_once(turns: Turns, end: str) -> None:
    """Reference counting alone frees the connection, its engine and its streams."""
    gc.collect()
    gc.disable()
    try:
        stage = Http2Stage(turns)
        client = stage.client()
        number, _ = client.asks(), client.asks("POST", body=None)
        for at in range(2):
            stage.server(at)
        if end == "cancel":
            client.takes_back(number)
        elif end == "flood":
            client.sends(frame(6, 0, 0, b"12345678") * 600)
        client.lose()
        turns.turn()
        turns.later.clear()
        del client
        kept = {"Http2Server", "Http2ServerStream", "Session"}
        assert not [found for found in gc.get_objects() if type(found).__name__ in kept]
        settled(stage)
    finally:
        gc.enable()
