"""WebSocket to endpoints of HTTP/2: extended CONNECT (RFC 8441)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

import ngh2
import pytest

from tests.harness.client import Client, request
from tests.harness.http2_endpoint import (
    CANCEL,
    ENABLE_CONNECT,
    MAX_STREAMS,
    EndpointConnection,
    Request,
    echo,
    reset,
    serving,
)
from tests.harness.waiting import eventually
from tests.integration.http2_scene import Http2Scene, http2_scene

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
WITH_CONNECT = {MAX_STREAMS: 100, ENABLE_CONNECT: 1}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http2Scene]:
    """One balancer for all tests of this module."""
    with http2_scene(tmp_path_factory.mktemp("http2")) as made:
        yield made


def upgrade(scene: Http2Scene, path: str = "/main/chat") -> Client:
    """A client that has sent its handshake."""
    client = scene.client()
    fields = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Protocol: chat",
    ]
    client.send(request(path, token=scene.token, fields=fields))
    return client


def fields_of(connection: EndpointConnection) -> dict[bytes, bytes]:
    """Of the first request."""
    return dict(connection.until(ngh2.RequestReceived).headers)


def test_a_tunnel_carries_bytes_both_ways_until_both_have_ended(scene: Http2Scene) -> None:
    """The endpoint gets CONNECT with :protocol, the client 101 with the answer to its own key."""
    seen: list[dict[bytes, bytes]] = []

    def script(connection: EndpointConnection) -> None:
        seen.append(fields_of(connection))
        at = connection.head()
        connection.engine.send_response(at, [(b":status", b"200"), (b"sec-websocket-protocol", b"chat")])
        connection.flush()
        got = b""
        while True:
            for event in connection.receive():
                if isinstance(event, ngh2.DataReceived):
                    got += event.data
                    if event.data:
                        connection.engine.send_data(at, event.data)
                    if event.end_stream:
                        connection.engine.end_stream(at)
                        connection.flush()
                        serving(echo)(connection)
            connection.flush()

    scene.one.play(script, WITH_CONNECT)
    with upgrade(scene) as client:
        response = client.response()
        accept = base64.b64encode(hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        assert response.status == 101
        assert response.field("sec-websocket-accept").encode() == accept
        assert response.field("sec-websocket-protocol") == "chat"
        client.socket.sendall(b"\x81\x02hi")
        assert client.receive() == b"\x81\x02hi"
        client.half_close()
        assert client.is_closed()
    (fields,) = seen
    assert (fields[b":method"], fields[b":protocol"], fields[b":path"]) == (b"CONNECT", b"websocket", b"/main/chat")
    assert fields[b"sec-websocket-version"] == b"13"
    assert not {b"sec-websocket-key", b"connection", b"upgrade", b"te"} & fields.keys()


def test_an_endpoint_without_extended_connect_gets_no_handshake(scene: Http2Scene) -> None:
    """502 at once, with its reason in the log; other requests on the connection go on, and the endpoint does not count as bad."""
    scene.one.play(serving(echo))
    assert scene.ask("/main/x").status == 200
    with upgrade(scene) as client:
        assert client.response().status == 502
    assert scene.ask("/main/y").status == 200
    assert (len(scene.one.connections), scene.one.begun) == (1, 2)
    # by its reason, not by a count: records of earlier tests may come late as well
    assert eventually(
        lambda: "websocket_unsupported" in [record.get("reason") for record in scene.balancer.access_log()]
    )


def test_an_endpoint_may_refuse_the_handshake(scene: Http2Scene) -> None:
    """Its response is the client's."""

    def answer(connection: EndpointConnection, asked: Request) -> None:
        del asked

    def script(connection: EndpointConnection) -> None:
        connection.respond(connection.head(), b"no", status=403)
        serving(answer)(connection)

    scene.one.play(script, WITH_CONNECT)
    with upgrade(scene) as client:
        response = client.response()
        assert (response.status, response.body) == (403, b"no")


@pytest.mark.parametrize("body", [b"", b"no", b"much more than that"], ids=["none", "too short", "too long"])
def test_h23_a_refusal_of_another_length_is_not_passed_on(scene: Http2Scene, body: bytes) -> None:
    """The engine does not compare where the request was CONNECT. A client would take what is too much for its next response."""

    def script(connection: EndpointConnection) -> None:
        connection.respond(connection.head(), body, status=403, more=[(b"content-length", b"5")])
        connection.until(ngh2.StreamReset)
        serving(echo)(connection)

    scene.one.play(script, WITH_CONNECT)
    with upgrade(scene) as client:
        response = client.response()
        assert response.status == 502 if not body else not response.is_complete
        assert body or client.ask("/main/next", token=scene.token).body == b"/main/next"


@pytest.mark.parametrize("status", [201, 204])
def test_h24_another_success_than_200_is_no_tunnel(scene: Http2Scene, status: int) -> None:
    """The endpoint takes it for one (RFC 9110 section 9.3.6), the client does not: 502."""
    scene.one.play(lambda connection: connection.respond(connection.head(), status=status), WITH_CONNECT)
    with upgrade(scene) as client:
        assert client.response().status == 502


def test_a_tunnel_that_the_endpoint_takes_back_ends_for_the_client(scene: Http2Scene) -> None:
    """RST_STREAM after the switch: the connection of the client closes, and that of the endpoint goes on."""

    def script(connection: EndpointConnection) -> None:
        at = connection.head()
        connection.engine.send_response(at, [(b":status", b"200")])
        connection.raw(reset(at, CANCEL))
        serving(echo)(connection)

    scene.one.play(script, WITH_CONNECT)
    with upgrade(scene) as client:
        client.response()
        assert client.is_closed()
    assert scene.ask("/main/next").body == b"/main/next"
    assert len(scene.one.connections) == 1


def test_a_client_that_leaves_its_tunnel_takes_the_stream_back(scene: Http2Scene) -> None:
    """A reset of the client's connection is RST_STREAM with CANCEL (RFC 8441 section 5.3)."""

    def script(connection: EndpointConnection) -> None:
        connection.engine.send_response(connection.head(), [(b":status", b"200")])
        connection.flush()
        connection.until(ngh2.StreamReset)
        serving(echo)(connection)

    scene.one.play(script, WITH_CONNECT)
    client = upgrade(scene)
    assert client.response().status == 101
    client.abort()
    assert scene.ask("/main/next").body == b"/main/next"
    assert scene.one.connections[0].until(ngh2.StreamReset).error_code == CANCEL
