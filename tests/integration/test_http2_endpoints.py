"""HTTP/2 to endpoints: many requests on one connection, its limits, and what is sent again when it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import ngh2
import pytest

from tests.harness.client import request
from tests.harness.http2_endpoint import (
    CANCEL,
    DATA,
    END_STREAM,
    INITIAL_WINDOW,
    INTERNAL_ERROR,
    MAX_STREAMS,
    REFUSED_STREAM,
    EndpointConnection,
    Request,
    Script,
    echo,
    frame,
    goaway,
    reset,
    serving,
)  # fmt: skip
from tests.integration.http2_scene import Http2Scene, eventually, http2_scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http2Scene]:
    """One balancer for all tests of this module."""
    with http2_scene(tmp_path_factory.mktemp("http2")) as made:
        yield made


@pytest.fixture(autouse=True)
def _as_new(scene: Http2Scene) -> Iterator[None]:
    scene.one.play(serving(echo))
    scene.two.play(serving(echo))
    yield
    assert not [*scene.one.faults, *scene.two.faults]


def test_a_request_and_its_response_lose_nothing(scene: Http2Scene) -> None:
    """Method, path, fields and body arrive; status, fields, body and trailers come back."""
    seen: list[Request] = []

    def answer(connection: EndpointConnection, asked: Request) -> None:
        seen.append(asked)
        connection.respond(
            asked.stream, b"made", status=201, more=[(b"x-one", b"1"), (b"x-one", b"2")], trailers=[(b"x-sum", b"9")]
        )

    scene.one.play(serving(answer))
    response = scene.ask("/main/a?b=c", method="POST", body=b"hello", fields=["X-Ask: yes"])
    assert response.head is not None
    assert (response.status, response.body, response.head.get_all(b"x-one")) == (201, b"made", [b"1", b"2"])
    (asked,) = seen
    assert (asked.field(b":method"), asked.path, asked.body) == (b"POST", "/main/a?b=c", b"hello")
    assert asked.field(b":authority") == b"example.test"
    assert (asked.field(b"x-ask"), asked.field(b"x-jwt-sub"), asked.field(b"te")) == (b"yes", b"alice", b"trailers")
    assert not {b"host", b"connection", b"transfer-encoding"} & {name for name, _ in asked.fields}


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_a_response_without_a_body_may_end_in_a_frame_of_its_own(scene: Http2Scene, method: str, status: int) -> None:
    """HEADERS without END_STREAM, then an empty DATA frame: no chunk reaches the client, and its connection goes on."""

    def answer(connection: EndpointConnection, asked: Request) -> None:
        connection.engine.send_response(asked.stream, [(b":status", b"%d" % status)])
        connection.raw(frame(DATA, END_STREAM, asked.stream))

    scene.one.play(serving(answer))
    with scene.client() as client:
        for _ in range(2):
            response = client.ask("/main/x", method=method, token=scene.token)
            assert (response.status, response.body, response.is_complete) == (status, b"", True)


def test_requests_share_a_connection_and_more_than_it_takes_open_another(scene: Http2Scene) -> None:
    """Twenty at once on one connection; where two are allowed on each of two connections, five need both, and the fifth waits."""

    def together(connection: EndpointConnection) -> None:
        for asked in [connection.request() for _ in range(20)]:
            connection.respond(asked.stream, b"all")
        connection.drain()

    scene.one.play(together)
    assert {response.body for response in scene.ask_at_once(20)} == {b"all"}
    assert len(scene.one.connections) == 1

    def in_pairs(connection: EndpointConnection) -> None:
        pair = [connection.request() for _ in range(2)]
        eventually(lambda: scene.one.begun >= 4)
        for asked in pair:
            connection.respond(asked.stream, b"two")
        serving(echo)(connection)

    scene.one.play(in_pairs)
    bodies = [response.body for response in scene.ask_at_once(5, "/few/{}")]
    assert len(bodies) == 5 and bodies.count(b"two") == 4
    assert len(scene.one.connections) == 2


@pytest.mark.parametrize("allowed", [1, 7, 100])
def test_with_one_connection_all_requests_get_their_turn(scene: Http2Scene, allowed: int) -> None:
    """`max_connections: 1` and 300 requests at once: each is answered once, whatever the endpoint allows at a time."""
    scene.one.play(serving(echo), {MAX_STREAMS: allowed})
    responses = scene.ask_at_once(300, "/single/{}")
    assert [response.body.decode() for response in responses] == [f"/single/{at}" for at in range(300)]
    assert (len(scene.one.connections), scene.one.begun) == (1, 300)


def test_an_endpoint_may_change_what_it_allows(scene: Http2Scene) -> None:
    """From 100 to 1 and back: no stream above the limit, none is refused."""

    def changing(connection: EndpointConnection) -> None:
        for allowed in (1, 3):
            asked = connection.request()
            connection.engine.update_settings({MAX_STREAMS: allowed})
            connection.respond(asked.stream, b"x")
        serving(echo)(connection)

    scene.one.play(changing)
    assert scene.ask("/single/a").status == 200
    assert scene.ask("/single/b").status == 200
    assert {response.status for response in scene.ask_at_once(20, "/single/{}")} == {200}
    assert len(scene.one.connections) == 1
    assert not any(isinstance(event, ngh2.StreamReset) for event in scene.one.connections[0].events)


def test_an_upload_goes_on_when_the_endpoint_makes_room(scene: Http2Scene) -> None:
    """1 MiB through windows of 16 KiB, which is far more than lbjwt holds: it arrives whole."""
    body = bytes(range(256)) * 4096

    def answer(connection: EndpointConnection, asked: Request) -> None:
        connection.respond(asked.stream, b"%d %d" % (len(asked.body), asked.body == body))

    scene.one.play(serving(answer), {INITIAL_WINDOW: 16384})
    assert scene.ask(method="PUT", body=body).body == b"1048576 1"


def test_a_client_that_does_not_read_holds_back_its_own_response_only(scene: Http2Scene) -> None:
    """16 MiB for a client that stops reading: the endpoint cannot send it all, and other requests on the connection go on."""
    sent = []

    def answer(connection: EndpointConnection, asked: Request) -> None:
        if asked.path != "/main/large":
            echo(connection, asked)
            return
        connection.engine.send_response(asked.stream, [(b":status", b"200")])
        connection.engine.send_data(asked.stream, bytes(16 << 20), end_stream=True)
        connection.flush()
        sent.append(asked.stream)

    scene.one.play(serving(answer))
    with scene.client() as client:
        client.send(request("/main/large", token=scene.token))
        eventually(lambda: bool(sent))
        assert scene.ask("/main/other").body == b"/main/other"
        (connection,) = scene.one.connections
        assert connection.engine.queued_body_size(sent[0]) > 8 << 20
        response = client.response()
        assert (response.status, len(response.body)) == (200, 16 << 20)


def test_a_response_may_come_before_the_request_ends(scene: Http2Scene) -> None:
    """The client gets it, and the endpoint is told that no more of the request comes."""

    def early(connection: EndpointConnection) -> None:
        connection.respond(connection.head(), b"enough", status=413)
        connection.until(ngh2.StreamReset)
        serving(echo)(connection)

    scene.one.play(early)
    with scene.client() as client:
        client.send(
            request(method="POST", target="/main/x", token=scene.token, fields=["Content-Length: 100000"]) + b"begin"
        )
        response = client.response()
    assert (response.status, response.body) == (413, b"enough")
    assert scene.ask("/main/next").body == b"/main/next"
    assert len(scene.one.connections) == 1


def test_a_client_that_leaves_takes_its_stream_back_and_no_other(scene: Http2Scene) -> None:
    """RST_STREAM with CANCEL; the connection goes on."""

    def script(connection: EndpointConnection) -> None:
        connection.request()
        connection.until(ngh2.StreamReset)
        serving(echo)(connection)

    scene.one.play(script)
    client = scene.client()
    client.send(request("/main/gone", token=scene.token))
    eventually(lambda: scene.one.begun == 1)
    client.close()
    assert scene.ask("/main/next").body == b"/main/next"
    (connection,) = scene.one.connections
    assert connection.until(ngh2.StreamReset).error_code == CANCEL


# --- refused, lost, sent again


def first_refuses(how: str) -> Script:
    """The first connection refuses its first request, in one of the ways that say that nothing was processed."""
    seen: list[int] = []

    def script(connection: EndpointConnection) -> None:
        if not seen:
            seen.append(1)
            stream = connection.head()
            if how != "refused_early":
                connection.request()
            if how.startswith("refused"):
                connection.raw(reset(stream, REFUSED_STREAM))
            elif how == "goaway":
                connection.raw(goaway(0))
            else:
                connection.raw(goaway((1 << 31) - 1), goaway(0))
            connection.drain() if how == "stays" else serving(echo)(connection)
        serving(echo)(connection)

    return script


@pytest.mark.parametrize("how", ["refused", "goaway", "two_goaways"])
@pytest.mark.parametrize(
    ("method", "body"), [("GET", None), ("POST", b""), ("POST", b"kept"), ("PATCH", b"x" * 60_000)]
)
def test_what_was_not_processed_is_sent_again(scene: Http2Scene, how: str, method: str, body: bytes | None) -> None:
    """Whatever its method, once, with its whole body."""
    before = scene.balancer.metric("lbjwt_endpoint_refused_requests_total", cluster="main")
    scene.one.play(first_refuses(how))
    response = scene.ask("/main/x", method=method, body=body)
    assert (response.status, response.body) == (200, body or b"/main/x")
    assert scene.one.begun == 2
    eventually(lambda: scene.balancer.metric("lbjwt_endpoint_refused_requests_total", cluster="main") == before + 1)


def test_a_body_that_is_not_kept_is_not_sent_again(scene: Http2Scene) -> None:
    """Above 64 KiB: 502, and the reason says that the endpoint refused it."""
    scene.one.play(first_refuses("refused"))
    assert scene.ask("/main/x", method="POST", body=b"x" * 70_000).status == 502
    assert scene.one.begun == 1


def test_an_endpoint_that_always_refuses_gets_a_request_a_bounded_number_of_times(scene: Http2Scene) -> None:
    """`retries: 2`: three times over both endpoints, then 502; neither counts as failing."""

    def refuse(connection: EndpointConnection, asked: Request) -> None:
        connection.raw(reset(asked.stream, REFUSED_STREAM))

    scene.one.play(serving(refuse))
    scene.two.play(serving(refuse))
    assert scene.ask("/pair/x", method="POST", body=b"x").status == 502
    assert scene.one.begun + scene.two.begun == 3


@pytest.mark.parametrize(("method", "times"), [("GET", 2), ("POST", 1)])
@pytest.mark.parametrize("how", ["reset", "lost", "goaway_then_lost"])
def test_what_may_have_been_processed_is_sent_again_only_if_harmless(
    scene: Http2Scene, how: str, method: str, times: int
) -> None:
    """The endpoint had the request: a GET goes once more, a POST never."""

    def script(connection: EndpointConnection) -> None:
        asked = connection.request()
        while how == "reset":
            connection.raw(reset(asked.stream, INTERNAL_ERROR))
            asked = connection.request()
        if how == "goaway_then_lost":
            connection.raw(goaway(asked.stream))

    scene.one.play(script)
    assert scene.ask("/main/x", method=method, body=b"x" if method == "POST" else None).status == 502
    assert scene.one.begun == times


def test_goaway_lets_what_was_processed_end(scene: Http2Scene) -> None:
    """Ten requests under way on a connection that is told to end: all are answered there, the next one goes to a new connection."""
    told = threading.Event()

    def script(connection: EndpointConnection) -> None:
        if not told.is_set():
            asked = [connection.request() for _ in range(10)]
            connection.raw(goaway(asked[-1].stream))
            told.set()
            for one in asked:
                connection.respond(one.stream, b"late")
        serving(echo)(connection)

    scene.one.play(script)
    assert {response.body for response in scene.ask_at_once(10)} == {b"late"}
    assert scene.ask("/main/next").body == b"/main/next"
    assert len(scene.one.connections) == 2
    assert scene.balancer.metric("lbjwt_endpoint_goaways_total", cluster="main") >= 1


def test_a_connection_that_ends_takes_no_other_request_with_it(scene: Http2Scene) -> None:
    """It dies under 20 GETs: all of them are answered by the next connection."""
    dying = threading.Event()

    def script(connection: EndpointConnection) -> None:
        if dying.is_set():
            dying.clear()
            connection.head(20)
            return
        serving(echo)(connection)

    scene.one.play(script)
    assert {response.status for response in scene.ask_at_once(100)} == {200}  # of which the retry budget is a share
    scene.one.close_connections()
    dying.set()
    assert {response.status for response in scene.ask_at_once(20)} == {200}
    assert scene.one.begun == 140


# --- clocks


def test_an_endpoint_that_does_not_answer_a_ping_loses_the_connection(scene: Http2Scene) -> None:
    """A GET that waits for a dead endpoint is sent again on another connection."""
    first = threading.Event()

    def script(connection: EndpointConnection) -> None:
        if first.is_set():
            serving(echo)(connection)
        connection.request()
        first.set()
        while b"".join([connection.socket.recv(65536)]):
            pass  # nothing is answered any more

    scene.one.play(script)
    assert scene.ask("/pinging/x").status == 200
    assert scene.balancer.metric("lbjwt_endpoint_ping_timeouts_total", cluster="pinging") == 1
    assert "no answer to an HTTP/2 PING within 2 s" in scene.balancer.stderr


def test_a_response_timeout_takes_the_stream_back(scene: Http2Scene) -> None:
    """504 for this request; the connection stays."""

    def answer(connection: EndpointConnection, asked: Request) -> None:
        if asked.path != "/quick/slow":
            echo(connection, asked)

    scene.one.play(serving(answer))
    assert scene.ask("/quick/x").status == 200
    (first,) = scene.one.connections
    assert scene.ask("/quick/slow").status == 504
    eventually(lambda: any(isinstance(event, ngh2.StreamReset) for event in first.events))
    assert (
        scene.ask("/quick/y").status == 200
    )  # on another one if it comes before the endpoint has answered a PING on the first
    assert not any(isinstance(event, ngh2.GoAwayReceived) for event in first.events)


def test_a_connection_that_has_gone_silent_gets_no_more_requests(scene: Http2Scene) -> None:
    """One request is lost on it. It is asked with a PING, and the next request does not wait for the answer."""
    first = threading.Event()

    def script(connection: EndpointConnection) -> None:
        if first.is_set():
            serving(echo)(connection)
        first.set()
        echo(connection, connection.request())
        while b"".join([connection.socket.recv(65536)]):
            pass  # nothing is answered any more

    scene.one.play(script)
    assert scene.ask("/quick/x").status == 200
    assert scene.ask("/quick/lost").status == 504
    assert 200 in [scene.ask("/quick/y").status for _ in range(3)], "all of them waited on the first connection"
    assert len(scene.one.connections) >= 2


def test_an_old_connection_gets_no_more_requests(scene: Http2Scene) -> None:
    """The one under way ends well, the next one opens a connection."""
    under_way: list[int] = []

    def answer(connection: EndpointConnection, asked: Request) -> None:
        if asked.path == "/aging/long":
            under_way.append(asked.stream)
        else:
            echo(connection, asked)

    scene.one.play(serving(answer))
    with scene.client() as client:
        client.send(request("/aging/long", token=scene.token))
        eventually(lambda: bool(under_way))
        eventually(lambda: scene.ask("/aging/short").status == 200 and len(scene.one.connections) == 2)
        first, second = scene.one.connections
        first.respond(under_way[0], b"at last")
        assert client.response().body == b"at last"
    eventually(lambda: any(isinstance(event, ngh2.GoAwayReceived) for event in first.events))
    assert second.heads


def test_a_reload_that_drops_the_endpoint_ends_its_connection_with_its_last_request(scene: Http2Scene) -> None:
    """The request under way ends well on the connection, new ones go to the other endpoint, then the connection is closed with GOAWAY."""
    under_way: list[int] = []

    def answer(connection: EndpointConnection, asked: Request) -> None:
        if asked.path == "/moving/long":
            under_way.append(asked.stream)
        else:
            connection.respond(asked.stream, b"one")

    scene.one.play(serving(answer))
    scene.two.play(serving(lambda connection, asked: connection.respond(asked.stream, b"two")))
    with scene.client() as client:
        client.send(request("/moving/long", token=scene.token))
        eventually(lambda: bool(under_way))
        assert scene.ask("/moving/x").body == b"one"
        scene.move("moving", scene.two)
        assert scene.ask("/moving/x").body == b"two"
        (first,) = scene.one.connections
        assert not any(isinstance(event, ngh2.GoAwayReceived) for event in first.events)
        first.respond(under_way[0], b"at last")
        assert client.response().body == b"at last"
    eventually(lambda: any(isinstance(event, ngh2.GoAwayReceived) for event in first.events))


def test_a_reload_that_lowers_the_limit_leaves_connections_their_requests(scene: Http2Scene) -> None:
    """Three requests on two connections, of which one has room for another: with one connection allowed they end well, and the worker goes on."""
    under_way: list[tuple[EndpointConnection, int]] = []
    scene.one.play(serving(lambda connection, asked: under_way.append((connection, asked.stream))))
    with ExitStack() as stack:
        clients = [stack.enter_context(scene.client()) for _ in range(3)]
        for at, client in enumerate(clients):
            client.send(request(f"/few/{at}", token=scene.token))
        eventually(lambda: len(under_way) == 3)
        assert len(scene.one.connections) == 2
        scene.change("few", max_connections=1)
        try:
            scene.two.play(serving(lambda connection, asked: connection.respond(asked.stream, b"two")))
            scene.move("moving", scene.two)  # the worker has applied both
            assert scene.ask("/moving/x").body == b"two"
            for connection, stream in under_way:
                connection.respond(stream, b"whole")
            assert [client.response().body for client in clients] == [b"whole"] * 3
        finally:
            scene.change("few", max_connections=2)
