"""ProxyContext scripts for the exchange: what a client sends, what the endpoint must see, what comes back. Each runs whole and byte by byte."""

import re
from collections.abc import Iterator

import pytest

from tests.playbooks.messages import OK, SWITCH, UPGRADE, bodies
from tests.playbooks.stage import AUTH, Stage, request, response


@pytest.fixture
def stage(pieces: int | None) -> Iterator[Stage]:
    stage = Stage(pieces)
    yield stage
    assert stage.totals["in_flight"] == 0, "an exchange was not finished"
    for endpoint in range(len(stage.endpoints)):
        assert stage.board.endpoint_totals(endpoint)["in_flight"] == 0, "an endpoint is charged for ever"


def test_a_good_request_is_forwarded_and_answered(stage: Stage) -> None:
    """The endpoint sees the request with the identity header, the client the response."""
    client = stage.client()
    client.sends(request("GET", "/a?b=c", "Accept: */*"))
    seen = stage.server().take()
    assert seen.startswith(b"GET /a?b=c HTTP/1.1\r\nHost: api.test\r\n")
    assert b"\r\nX-Jwt-Sub: alice\r\n" in seen and b"\r\nX-Forwarded-For: 192.0.2.7\r\n" in seen
    stage.server().sends(OK)
    assert client.take() == OK
    assert not client.is_gone()


def test_a_request_without_token_reaches_nobody(stage: Stage) -> None:
    """401 with a plain challenge, the connection stays, and no endpoint connection is opened."""
    client = stage.client()
    client.sends(request(auth=b""))
    answer = client.take()
    assert (
        answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
        and b'\r\nWWW-Authenticate: Bearer realm="lbjwt"\r\n' in answer
    )
    assert not client.is_gone() and stage.opened == []


def test_two_tokens_are_one_too_many(stage: Stage) -> None:
    """Two Authorization fields get 400 invalid_request (RFC 6750 section 2), whatever they hold (THREATS P5)."""
    client = stage.client()
    client.sends(request(auth=AUTH + AUTH))
    answer = client.take()
    assert answer.startswith(b"HTTP/1.1 400 ") and b'error="invalid_request"' in answer
    assert stage.opened == []


def test_a_refused_body_is_skipped_and_the_connection_used_again(stage: Stage) -> None:
    """A small body with a length behind a refused head is dropped; the next request on the connection is served."""
    client = stage.client()
    client.sends(request("POST", "/", "Content-Length: 11", body=b"hello world", auth=b""))
    assert client.take().startswith(b"HTTP/1.1 401 ")
    client.sends(request("GET", "/next"))
    assert stage.server().take().startswith(b"GET /next ")
    stage.server().sends(OK)
    assert client.take() == OK


def test_a_refused_body_of_unknown_length_ends_the_connection(stage: Stage) -> None:
    """Behind a refused chunked request the connection ends, after the answer, and what follows is not taken for a request (THREATS H16)."""
    client = stage.client()
    client.sends(
        request(
            "POST",
            "/",
            "Transfer-Encoding: chunked",
            body=b"5\r\nhello\r\n0\r\n\r\n" + request("GET", "/smuggled"),
            auth=b"",
        )
    )
    answer = client.take()
    assert answer.count(b"HTTP/1.1 ") == 1 and b"Connection: close" in answer
    assert client.transport.ended and stage.opened == []
    client.lose()


def test_requests_on_one_connection_share_one_endpoint_connection(stage: Stage) -> None:
    """Keep-alive on both sides: the second request goes out on the connection of the first."""
    client = stage.client()
    for _ in range(3):
        client.sends(request())
        stage.server().sends(OK)
        assert client.take() == OK
    assert len(stage.opened) == 1


def test_pipelined_requests_are_answered_in_order(stage: Stage) -> None:
    """The second request of a pipeline is sent to the endpoint only after the first was answered (THREATS H15)."""
    client = stage.client()
    client.sends(request("GET", "/1") + request("GET", "/2") + request("GET", "/3", auth=b""))
    for number in (b"1", b"2"):
        seen = stage.server().take()
        assert seen.startswith(b"GET /" + number) and seen.count(b"GET ") == 1
        stage.server().sends(response("200 OK", "Content-Length: 1", body=number))
    got = client.take()
    assert re.findall(rb"HTTP/1.1 (\d+)", got) == [b"200", b"200", b"401"]
    assert got.index(b"\r\n\r\n1") < got.index(b"\r\n\r\n2")


def test_a_body_with_a_length_is_streamed(stage: Stage) -> None:
    """The endpoint gets the head, then the body as it comes, byte for byte."""
    client = stage.client()
    body = bytes(range(256)) * 8
    client.sends(request("POST", "/up", f"Content-Length: {len(body)}", body=body[:100]))
    stage.server()
    client.sends(body[100:])
    seen = stage.server().take()
    assert f"\r\nContent-Length: {len(body)}\r\n".encode() in seen and seen.endswith(b"\r\n\r\n" + body)
    stage.server().sends(OK)
    assert client.take() == OK and not client.is_gone()


def test_a_chunked_body_is_streamed_chunked(stage: Stage) -> None:
    """A chunked upload arrives as a chunked message with the same content; extensions and trailers stay behind."""
    client = stage.client()
    client.sends(request("POST", "/up", "Transfer-Encoding: chunked", body=b"5;x=y\r\nhello\r\n"))
    stage.server()
    client.sends(b"6\r\n world\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
    seen = stage.server().take()
    assert b"\r\nTransfer-Encoding: chunked\r\n" in seen and bodies(seen) == b"hello world"
    assert b"Bearer x" not in seen
    stage.server().sends(OK)
    assert client.take() == OK


def test_broken_chunks_get_400_and_reach_nobody_whole(stage: Stage) -> None:
    """An upload whose framing breaks is answered 400, and the endpoint's connection is reset."""
    client = stage.client()
    client.sends(request("POST", "/up", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"))
    stage.server()
    client.sends(b"zz\r\n")
    assert client.take().startswith(b"HTTP/1.1 400 ")
    assert stage.server().transport.aborted and not stage.server().take().endswith(b"0\r\n\r\n")
    client.lose()


def test_a_body_over_the_limit_gets_413(pieces: int | None) -> None:
    """A declared length over the limit is refused before a byte goes out, a chunked one when it passes the limit."""
    stage = Stage(pieces, max_request_body=8)
    client = stage.client()
    client.sends(request("POST", "/", "Content-Length: 9", body=b"123456789"))
    assert client.take().startswith(b"HTTP/1.1 413 ") and stage.opened == []
    client.lose()
    client = stage.client()
    client.sends(request("POST", "/", "Transfer-Encoding: chunked", body=b"9\r\n123456789\r\n0\r\n\r\n"))
    if stage.opened:
        stage.server()
    assert client.take().startswith(b"HTTP/1.1 413 ")
    client.lose()
    assert stage.totals["in_flight"] == 0


def test_a_chunked_response_is_relayed_chunked(stage: Stage) -> None:
    """The client gets the same content, chunk by chunk, and the connection stays."""
    client = stage.client()
    client.sends(request())
    stage.server().sends(
        response("200 OK", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n")
    )
    got = client.take()
    assert bodies(got) == b"hello world" and not client.is_gone()


def test_a_response_that_ends_with_the_connection(stage: Stage) -> None:
    """A close-delimited response reaches an HTTP/1.1 client chunked, so that its end shows."""
    client = stage.client()
    client.sends(request())
    stage.server().sends(response("200 OK", body=b"hello"))
    stage.server().sends(b" world")
    stage.server().ends()
    got = client.take()
    assert b"\r\nTransfer-Encoding: chunked\r\n" in got and bodies(got) == b"hello world"


def test_an_unmeasured_body_ends_with_the_connection_of_an_http10_client(stage: Stage) -> None:
    """Keep-alive or not: without chunks and length, only the end of the connection tells an HTTP/1.0 client that it has all."""
    client = stage.client()
    client.sends(request("GET", "/", "Connection: keep-alive", version="1.0"))
    stage.server().sends(response("200 OK", "Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n"))
    answer = client.take()
    assert answer.endswith(b"\r\n\r\nok") and b"\r\nConnection: close\r\n" in answer and client.is_gone()


def test_an_http10_client_gets_no_chunks(stage: Stage) -> None:
    """To an HTTP/1.0 client a chunked response goes plain and ends with the connection."""
    client = stage.client()
    client.sends(request(version="1.0"))
    stage.server().sends(response("200 OK", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"))
    got = client.take()
    assert (
        b"chunked" not in got and got.endswith(b"\r\n\r\nhello") and client.is_gone() and not client.transport.aborted
    )


@pytest.mark.parametrize("cut", ["Content-Length: 10", "Transfer-Encoding: chunked"])
def test_a_truncated_response_never_looks_complete(stage: Stage, cut: str) -> None:
    """When the endpoint's connection ends inside a body, the client's is reset without a last chunk (THREATS Q4)."""
    client = stage.client()
    client.sends(request())
    stage.server().sends(response("200 OK", cut, body=b"5\r\nhello\r\n"[:8]))
    stage.server().ends()
    got = client.take()
    assert client.transport.aborted and not got.endswith(b"0\r\n\r\n")
    client.lose()


def test_surplus_bytes_reach_nobody_and_end_the_connection(stage: Stage) -> None:
    """A byte behind a whole response is not forwarded and the connection is not used again (RFC 9112 section 6.3) (THREATS Q1)."""
    client = stage.client()
    client.sends(request())
    stage.server().sends(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    assert client.take() == OK
    client.sends(request())
    assert len(stage.opened) == 2
    stage.server(1).sends(OK)
    assert client.take() == OK
    assert stage.server(0).is_gone()


def test_a_refused_head_may_go_on_for_a_mebibyte() -> None:
    """What follows a refused head is dropped so that its sender gets the answer; after 1 MiB of it the connection is reset."""
    client = Stage().client()
    client.sends(b"GET /" + b"u" * 65531)
    assert client.take().startswith(b"HTTP/1.1 414 ")
    for _ in range(16):
        client.sends(b"u" * 65536)
    assert client.transport.ended and not client.is_gone()
    client.sends(b"u")
    assert client.transport.aborted
    client.lose()


def test_the_end_of_the_worker_closes_idle_connections_and_cuts_busy_ones(stage: Stage) -> None:
    """At the end of the worker an idle endpoint connection is closed in the ordinary way, one with a response under way is reset."""
    first, second = stage.client(), stage.client()
    first.sends(request())
    second.sends(request())
    idle, busy = stage.server(0), stage.server(1)
    idle.sends(OK)
    stage.context.close()
    assert idle.transport.closed and not idle.transport.aborted
    assert busy.transport.aborted
    for peer in (first, second, idle, busy):
        peer.lose()


def test_bytes_on_an_idle_connection_end_it(stage: Stage) -> None:
    """An endpoint that speaks first loses its pooled connection; the next request goes out on a new one (THREATS Q2)."""
    client = stage.client()
    client.sends(request())
    stage.server().sends(OK)
    stage.server(0).sends(b"H")
    assert stage.server(0).is_gone()
    client.take()
    client.sends(request())
    assert len(stage.opened) == 2
    stage.server(1).sends(OK)
    assert client.take() == OK


@pytest.mark.parametrize(("status", "fields"), [("204 No Content", ()), ("304 Not Modified", ("Content-Length: 5",))])
def test_bodiless_statuses(stage: Stage, status: str, fields: tuple[str, ...]) -> None:
    """204 and 304 end at their head; the connection goes on (THREATS Q3)."""
    client = stage.client()
    client.sends(request())
    stage.server().sends(response(status, *fields))
    assert client.take().startswith(b"HTTP/1.1 " + status.encode())
    client.sends(request())
    stage.server().sends(OK)
    assert client.take() == OK and len(stage.opened) == 1


def test_head_has_no_body_whatever_the_length_says(stage: Stage) -> None:
    """The response to HEAD keeps its Content-Length and has no body; a body all the same costs the endpoint its connection."""
    client = stage.client()
    client.sends(request("HEAD"))
    stage.server().sends(response("200 OK", "Content-Length: 5"))
    assert client.take() == response("200 OK", "Content-Length: 5")
    client.sends(request("HEAD"))
    stage.server().sends(response("200 OK", "Content-Length: 5", body=b"hello"))
    assert client.take() == response("200 OK", "Content-Length: 5")
    assert stage.server(0).is_gone()


def test_interim_responses_are_relayed(stage: Stage) -> None:
    """100 and 103 go to the client before the final response."""
    client = stage.client()
    client.sends(request("POST", "/", "Expect: 100-continue", "Content-Length: 2"))
    assert b"\r\nExpect: 100-continue\r\n" in stage.server().take()
    stage.server().sends(response("100 Continue") + response("103 Early Hints", "Link: </a>"))
    assert client.take() == response("100 Continue") + response("103 Early Hints", "Link: </a>")
    client.sends(b"hi")
    assert stage.server().take() == b"hi"
    stage.server().sends(OK)
    assert client.take() == OK


def test_a_flood_of_interim_responses_is_502(stage: Stage) -> None:
    """More than eight interim responses end the connection to the endpoint (THREATS Q3)."""
    client = stage.client()
    client.sends(request())
    stage.server().sends(response("100 Continue") * 9)
    assert b"HTTP/1.1 502 " in client.take() and stage.server().transport.aborted


def test_an_early_response_ends_both_connections(stage: Stage) -> None:
    """A final response during an upload is delivered whole; then both connections end, for the rest of the upload stands between (THREATS Q5)."""
    client = stage.client()
    client.sends(request("POST", "/", "Content-Length: 1000", body=b"begin"))
    stage.server().take()
    stage.server().sends(response("413 Content Too Large", "Content-Length: 3", body=b"no\n"))
    got = client.take()
    assert got.startswith(b"HTTP/1.1 413 ") and b"\r\nConnection: close\r\n" in got and got.endswith(b"no\n")
    assert client.transport.ended and stage.server(0).is_gone()
    client.sends(b"more of the upload")
    assert stage.server(0).take() == b""
    client.lose()


def test_expect_without_body_sent_closes_after_a_refusal(stage: Stage) -> None:
    """A refused client that waits for 100 may or may not send its body: the connection ends (THREATS H13)."""
    client = stage.client()
    client.sends(request("POST", "/", "Expect: 100-continue", "Content-Length: 5", auth=b""))
    got = client.take()
    assert got.startswith(b"HTTP/1.1 401 ") and b"\r\nConnection: close\r\n" in got and client.transport.ended
    client.lose()


# --- endpoints that die -----------------------------------------------------------------------------------------------


def test_connect_failure_tries_the_next_endpoint(pieces: int | None) -> None:
    """A refused connection costs the client nothing while another endpoint is there."""
    stage = Stage(pieces, endpoints=2)
    client = stage.client()
    client.sends(request())
    stage.opened[0].refuses()
    assert len(stage.opened) == 2
    stage.server(1).sends(OK)
    assert client.take() == OK


def test_no_endpoint_left_is_503(pieces: int | None) -> None:
    """When every endpoint refused, the client gets 503 with Retry-After, and the connection stays."""
    stage = Stage(pieces, endpoints=2)
    client = stage.client()
    client.sends(request())
    stage.opened[0].refuses()
    stage.opened[1].refuses()
    got = client.take()
    assert got.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 1\r\n" in got and not client.is_gone()
    assert stage.totals["in_flight"] == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_an_idempotent_request_is_sent_again_when_its_connection_dies(stage: Stage, method: str) -> None:
    """A reused connection that ends before the first response byte: the request goes out once more, on a new connection."""
    client = stage.client()
    client.sends(request())
    stage.server(0).sends(OK)
    client.take()
    client.sends(request(method, "/again"))
    stage.server(0).ends()
    assert len(stage.opened) == 2
    assert stage.server(1).take().startswith(f"{method} /again ".encode())
    stage.server(1).sends(response("204 No Content"))
    assert client.take().startswith(b"HTTP/1.1 204 ")


def test_a_post_is_never_sent_twice(stage: Stage) -> None:
    """RFC 9110 section 9.2.2: when a POST may have been received, the answer is 502 (THREATS Q9)."""
    client = stage.client()
    client.sends(request())
    stage.server(0).sends(OK)
    client.take()
    client.sends(request("POST", "/", "Content-Length: 2", body=b"hi"))
    stage.server(0).ends()
    assert client.take().startswith(b"HTTP/1.1 502 ")
    assert len(stage.opened) == 1


def test_a_request_is_sent_again_on_a_connection_nobody_used(stage: Stage) -> None:
    """When a pooled connection dies, the others of the pool may be dead as well: the request goes out again on a new one."""
    clients = [stage.client(), stage.client()]
    for client in clients:
        client.sends(request())
        stage.server().take()
    for number, client in enumerate(clients):
        stage.server(number).sends(OK)
        assert client.take() == OK
    clients[0].sends(request("GET", "/again"))
    assert stage.server(1).take().startswith(b"GET /again ")
    stage.server(1).lose()
    assert len(stage.opened) == 3 and stage.server(0).take() == b""
    assert stage.server(2).take().startswith(b"GET /again ")
    stage.server(2).sends(OK)
    assert clients[0].take() == OK


def test_a_request_is_not_sent_a_third_time(stage: Stage) -> None:
    """One retry by default; then 502."""
    client = stage.client()
    client.sends(request())
    stage.server(0).ends()
    stage.server(1).ends()
    assert client.take().startswith(b"HTTP/1.1 502 ") and len(stage.opened) == 2


def test_no_retry_once_a_response_byte_came(stage: Stage) -> None:
    """An endpoint that dies inside its response head has answered: 502, and nothing is sent again."""
    client = stage.client()
    client.sends(request())
    stage.server(0).sends(b"HTTP/1.1 200 OK\r\nContent-")
    stage.server(0).ends()
    assert client.take().startswith(b"HTTP/1.1 502 ") and len(stage.opened) == 1


@pytest.mark.parametrize(
    "broken",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"garbage\r\n\r\n",
    ],
)
def test_a_malformed_response_is_502(pieces: int | None, broken: bytes) -> None:
    """A response that breaks a MUST gives 502 (or a cut, where its head was good), and its connection is not used again (THREATS Q6, Q7)."""
    stage = Stage(pieces)
    client = stage.client()
    client.sends(request())
    stage.server(0).sends(broken)
    assert client.take().startswith(b"HTTP/1.1 502 ") or client.transport.aborted
    assert stage.server(0).transport.aborted
    client.lose()
    assert stage.totals["in_flight"] == 0


# --- clients that leave -----------------------------------------------------------------------------------------------


def test_a_client_that_leaves_ends_its_exchange(stage: Stage) -> None:
    """The endpoint's connection is reset, not returned to the pool."""
    client = stage.client()
    client.sends(request())
    server = stage.server()
    client.lose()
    assert server.transport.aborted


def test_a_client_that_leaves_during_connect_leaves_a_good_connection(stage: Stage) -> None:
    """A connection that was being made for a client that left serves the next one."""
    client = stage.client()
    client.sends(request())
    client.lose()
    stage.server(0)
    other = stage.client()
    other.sends(request())
    assert len(stage.opened) == 1
    stage.server(0).sends(OK)
    assert other.take() == OK


def test_a_client_that_closes_ends_its_request(stage: Stage) -> None:
    """The endpoint's connection is closed at once, whether it has begun to answer or not, and even if the response so far was not read."""
    for begun in (b"", response("200 OK", "Content-Length: 100", body=b"begin")):
        client = stage.client()
        client.transport.queued = 1000
        client.sends(request())
        stage.server().sends(begun)
        client.ends()
        assert stage.opened[-1].transport.aborted and stage.totals["in_flight"] == 0
        assert client.transport.aborted
        client.lose()


def test_a_client_that_closes_in_the_middle_of_its_body_ends_its_request(stage: Stage) -> None:
    """No endpoint waits for a body that will not come."""
    client = stage.client()
    client.sends(request("POST", "/", "Content-Length: 10", body=b"begin"))
    server = stage.server()
    client.ends()
    assert server.transport.aborted and stage.totals["in_flight"] == 0
    client.lose()


def test_half_close_still_gets_the_answer(stage: Stage) -> None:
    """With allow_half_close a client that ends its side after the request gets the response, then the connection ends."""
    stage.reload(allow_half_close=True)
    client = stage.client()
    client.sends(request())
    client.ends()
    assert not client.is_gone()
    stage.server().sends(OK)
    assert b"\r\nConnection: close\r\n" in client.take() and client.is_gone()


# --- tunnels ----------------------------------------------------------------------------------------------------------


def test_a_websocket_becomes_a_tunnel(stage: Stage) -> None:
    """After 101, bytes pass both ways untouched; what the client sent before it is held until then."""
    client = stage.client()
    client.sends(request("GET", "/ws", *UPGRADE))
    server = stage.server()
    assert b"\r\nUpgrade: websocket\r\n" in server.take()
    client.sends(b"early")
    assert server.take() == b""
    server.sends(SWITCH + b"hello")
    got = client.take()
    assert got.startswith(b"HTTP/1.1 101 ") and got.endswith(b"\r\n\r\nhello")
    assert server.take() == b"early"
    client.sends(b"\x81\x02hi")
    assert server.take() == b"\x81\x02hi"
    server.sends(b"\x81\x02yo")
    assert client.take() == b"\x81\x02yo"
    server.lose()
    assert client.is_gone()
    client.lose()


def test_a_refused_upgrade_is_an_ordinary_response(stage: Stage) -> None:
    """An endpoint that answers 200 instead of 101 gets no tunnel; early client bytes are taken as the next request, not as its."""
    client = stage.client()
    client.sends(request("GET", "/ws", *UPGRADE))
    client.sends(request("GET", "/after"))
    stage.server().take()
    stage.server().sends(OK)
    assert client.take() == OK
    assert stage.server().take().startswith(b"GET /after ")
    stage.server().sends(OK)
    assert client.take() == OK


# --- back-pressure and time -------------------------------------------------------------------------------------------


def test_a_slow_client_stops_the_endpoint(stage: Stage) -> None:
    """While the client's transport is full, nothing more is read from the endpoint (THREATS Q12)."""
    client = stage.client()
    client.sends(request())
    server = stage.server()
    server.sends(response("200 OK", "Content-Length: 100", body=b"x" * 10))
    client.side.pause_writing()
    assert server.is_paused()
    client.side.resume_writing()
    assert not server.is_paused()
    server.sends(b"x" * 90)
    assert client.take().endswith(b"x" * 100)


def test_refusals_nobody_reads(stage: Stage) -> None:
    """A client that does not read its answers gets no further ones until it does; then all, in order."""
    client = stage.client()
    client.sends(request(auth=b""))
    client.take()
    client.side.pause_writing()
    client.sends(request(auth=b"") + request("GET", "/last"))
    assert client.is_paused() and client.take() == b""
    client.side.resume_writing()
    assert client.take().count(b"HTTP/1.1 401 ") == 1
    assert stage.server().take().startswith(b"GET /last ")
    stage.server().sends(OK)
    assert client.take() == OK
    client.lose()


def test_a_slow_endpoint_stops_the_upload(stage: Stage) -> None:
    """While the endpoint's transport is full, the client's bytes stay where they are; afterwards none is missing."""
    client = stage.client()
    client.sends(request("POST", "/", "Content-Length: 60", body=b"a" * 10))
    server = stage.server()
    server.side.pause_writing()
    client.sends(b"b" * 20)
    assert client.is_paused() and b"b" not in server.take().partition(b"\r\n\r\n")[2]
    server.side.resume_writing()
    assert not client.is_paused()
    client.sends(b"c" * 30)
    assert server.take() == b"b" * 20 + b"c" * 30
    server.sends(OK)
    assert client.take() == OK


def test_draining_ends_connections_with_their_answer(stage: Stage) -> None:
    """While the worker stops, each answer says Connection: close and the connection ends behind it."""
    client = stage.client()
    client.sends(request())
    stage.context.drain(1.0)
    stage.server().sends(OK)
    assert b"\r\nConnection: close\r\n" in client.take() and client.is_gone()
