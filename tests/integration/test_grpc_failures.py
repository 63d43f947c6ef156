"""What gRPC clients are told when lbjwt refuses a call, when its service fails, and when a stream has to end: always a grpc-status."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import grpc
import ngh2
import pytest

from tests.harness.client import Client
from tests.harness.http2 import CANCEL, Http2Client, Reply, head
from tests.harness.ports import free_port
from tests.harness.waiting import eventually
from tests.integration.grpc_scene import Calls, GrpcStage, Service, failure, served

Scene = tuple[GrpcStage, Service]
TYPE = [(b"content-type", b"application/grpc")]
MESSAGE = b"\0\0\0\0\2hi"
CODE = grpc.StatusCode
FLOOD = 1 << 20
"""Bytes of a message that no window has room for."""
WEB = MESSAGE + b"\x80\0\0\0\x0fgrpc-status:0\r\n"
"""A response of gRPC-Web: its trailers stand in the body."""


class Raw:
    """
    An endpoint of HTTP/2 that breaks off, within a message (`/raw.Service/Half`) or behind one (`Whole`), or never ends (`Hang`, `Endless`, `Flood`).
    """

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.timeouts: list[bytes | None] = []
        """What each request said of its deadline."""
        self.stuck = threading.Event()
        """A `Flood` has sent all that there is room for."""

    def run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        engine = ngh2.Connection(ngh2.Role.SERVER)
        engine.initiate_connection()
        with suppress(OSError), connection:
            while True:
                while data := engine.data_to_send():
                    connection.sendall(data)
                if not (data := connection.recv(65536)):
                    return
                engine.receive_data(data)
                for event in engine.events():
                    if isinstance(event, ngh2.RequestReceived):
                        self.answer(engine, connection, event)

    def answer(self, engine: Any, connection: socket.socket, event: Any) -> None:
        fields = dict(event.headers)
        path = fields[b":path"]
        self.timeouts.append(fields.get(b"grpc-timeout"))
        if path == b"/raw.Service/Hang":
            return
        if path == b"/raw.Service/Web":
            engine.send_response(event.stream_id, [(b":status", b"200"), (b"content-type", fields[b"content-type"])])
            engine.send_data(event.stream_id, WEB, end_stream=True)
            return
        if path == b"/raw.Service/Html":
            engine.send_response(event.stream_id, [(b":status", b"503")], end_stream=True)
            return
        engine.send_response(event.stream_id, [(b":status", b"200"), *TYPE])
        if path == b"/raw.Service/Flood":
            engine.send_data(event.stream_id, b"\0" + FLOOD.to_bytes(4, "big") + bytes(FLOOD))
            while data := engine.data_to_send():
                connection.sendall(data)
            self.stuck.set()
            return
        engine.send_data(event.stream_id, MESSAGE + (b"\0\0\0\1\0half" if path.endswith(b"Half") else b""))
        if path == b"/raw.Service/Endless":
            return
        while data := engine.data_to_send():
            connection.sendall(data)
        engine.reset_stream(event.stream_id, 2)


@contextmanager
def raw() -> Iterator[Raw]:
    server = Raw()
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.socket.shutdown(socket.SHUT_RDWR)
        server.socket.close()
        thread.join()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    service = Service()

    def cluster(port: int, **more: Any) -> dict[str, Any]:
        return {"endpoints": [{"address": f"127.0.0.1:{port}"}], "protocol": "http2", "ejection": False, **more}

    with served(service) as port, served(Service()) as other, raw() as broken:
        clusters = {
            "slow": cluster(port, response_timeout="300ms"),
            "down": cluster(free_port()),
            "broken": cluster(broken.port, ejection={"consecutive_resets": 1}),
            "two": {
                "endpoints": [{"address": f"127.0.0.1:{port}"}, {"address": f"127.0.0.1:{other}"}],
                "protocol": "http2",
                "balancing": "round_robin",
                "ejection": {"consecutive_5xx": 2, "base_time": "60s"},
            },
        }
        routes = [
            {"name": "echo", "prefix": "/test.Echo", "cluster": "main"},
            {"name": "scoped", "hosts": ["scoped"], "prefix": "/", "cluster": "main", "scopes": {"all": ["admin"]}},
            {
                "name": "again",
                "hosts": ["again"],
                "prefix": "/",
                "cluster": "main",
                "retry": {"on": ["grpc_unavailable"]},
            },
            {"name": "slow", "hosts": ["slow"], "prefix": "/", "cluster": "slow"},
            {"name": "down", "hosts": ["down"], "prefix": "/", "cluster": "down"},
            {"name": "two", "hosts": ["two"], "prefix": "/", "cluster": "two"},
            {"name": "broken", "prefix": "/raw.Service", "cluster": "broken"},
            {"name": "tells", "path": "/raw.Service/Tells", "cluster": "down", "refusals": {"expose_reason": True}},
        ]
        with GrpcStage(
            tmp_path_factory.mktemp("grpc"),
            [port],
            clusters=clusters,
            routes=routes,
            revocation={},
            limits={"max_request_body": "256KiB"},
        ) as stage:
            service.raw = broken
            yield stage, service


def calls(scene: Scene, host: str = "any", **options: Any) -> Calls:
    """Calls to the route of this host."""
    return scene[0].calls(host=host, **options)


@contextmanager
def client(scene: Scene) -> Iterator[Http2Client]:
    with Http2Client(scene[0].plain) as made:
        yield made


def call(scene: Scene, path: str, *more: tuple[bytes, bytes], host: str = "x", body: bytes | None = MESSAGE) -> Reply:
    """One call by hand, which has no deadline of its own. body: None: nothing of it is sent."""
    with client(scene) as made:
        fields = head("POST", path, host=host, token=scene[0].token, more=[*TYPE, (b"te", b"trailers"), *more])
        return made.reply(made.begin(fields, body))


def status_in_head(reply: Reply, content_type: str = "application/grpc") -> int:
    """Of a response of ours: Trailers-Only."""
    assert (reply.status, reply.body, reply.trailers) == (200, b"", None) and reply.reset in (None, 0)
    assert reply.field("content-type") == content_type and reply.field("grpc-message")
    return int(reply.field("grpc-status"))


def status_in_trailers(reply: Reply) -> int:
    assert reply.reset in (None, 0) and reply.trailers is not None, reply
    return int(dict(reply.trailers)[b"grpc-status"])


def test_refused_calls_have_the_status_of_their_reason(scene: Scene) -> None:
    assert failure(lambda: calls(scene, token=None).unary()(b""))[0] is CODE.UNAUTHENTICATED
    assert failure(lambda: calls(scene, token="x.y.z").unary()(b""))[0] is CODE.UNAUTHENTICATED
    assert failure(lambda: calls(scene, "scoped").unary()(b""))[0] is CODE.PERMISSION_DENIED
    assert failure(lambda: calls(scene).unary("/no.Such/Method")(b""))[0] is CODE.UNIMPLEMENTED


@pytest.mark.parametrize("kind", ["upload", "chat"])
def test_a_refused_stream_ends_although_its_client_would_go_on(scene: Scene, kind: str) -> None:
    released = threading.Event()

    def messages() -> Iterator[bytes]:
        yield b"a"
        released.wait(20)

    refused = calls(scene, token=None)
    try:
        begin = refused.upload() if kind == "upload" else lambda requests: next(refused.chat()(requests))
        told = failure(lambda: begin(messages()))
    finally:
        released.set()
    assert told == (CODE.UNAUTHENTICATED, "unauthorized")


def test_failures_of_endpoints_are_unavailable_or_late(scene: Scene) -> None:
    assert failure(lambda: calls(scene, "down").unary()(b"")) == (CODE.UNAVAILABLE, "service unavailable")
    assert failure(lambda: calls(scene, "slow").unary("Hang")(b"")) == (CODE.DEADLINE_EXCEEDED, "gateway timeout")
    assert failure(lambda: calls(scene).unary()(b"x" * (300 << 10)))[0] is CODE.RESOURCE_EXHAUSTED


def test_a_reason_is_told_where_the_route_says_so(scene: Scene) -> None:
    reply = call(scene, "/raw.Service/Tells")
    assert status_in_head(reply) == 14 and reply.field("grpc-message").startswith("service unavailable: ")


def test_an_http_status_of_an_endpoint_stays_what_it_is(scene: Scene) -> None:
    """It is a response like any other; a gRPC library maps it."""
    assert call(scene, "/raw.Service/Html").status == 503


@pytest.mark.parametrize("method", ["Half", "Whole"])
def test_a_response_that_breaks_off_ends_with_a_status(scene: Scene, method: str) -> None:
    """In trailers, within a message or behind one; a client of grpcio has had what came before."""
    reply = call(scene, f"/raw.Service/{method}")
    assert reply.status == 200 and reply.body.startswith(MESSAGE) and status_in_trailers(reply) == 14
    stream = calls(scene).download(f"/raw.Service/{method}")(b"")
    assert next(stream) == b"hi"
    assert failure(lambda: next(stream))[0] is CODE.UNAVAILABLE


def test_a_stream_whose_token_is_withdrawn_ends_as_unauthenticated(scene: Scene) -> None:
    stage, service = scene
    mine = Calls(stage.channel(), stage.tokens.mint(jti="withdrawn"))
    stream = mine.download("Endless")(b"")
    assert next(stream) == b"first"
    service.cancelled.clear()
    assert stage.balancer.admin_post("/revocations", {"jti": "withdrawn"})[0] in (200, 201, 202)
    assert failure(lambda: next(stream)) == (CODE.UNAUTHENTICATED, "unauthorized")
    assert service.cancelled.wait(30)


def test_calls_are_counted_by_the_status_that_their_client_got(scene: Scene) -> None:
    """From the service, in head or trailers; from lbjwt, in its place or behind a part of a response; none if the client takes it back."""
    stage = scene[0]

    def count(status: str) -> float:
        return stage.balancer.metric("lbjwt_grpc_calls_total", grpc_status=status)

    assert eventually(lambda: stage.balancer.metric("lbjwt_requests_in_flight") == 0), "of the tests before"
    before = {status: count(status) for status in ("0", "5", "14", "16", "13", "none")}
    requests = stage.balancer.metric("lbjwt_http2_requests_total")
    assert calls(scene).unary()(b"x") == b"x"
    assert failure(lambda: calls(scene).unary("Fail")(b"NOT_FOUND"))[0] is CODE.NOT_FOUND
    assert failure(lambda: calls(scene, "down").unary()(b""))[0] is CODE.UNAVAILABLE
    assert failure(lambda: calls(scene, token=None).unary()(b""))[0] is CODE.UNAUTHENTICATED
    assert status_in_trailers(call(scene, "/raw.Service/Half")) == 14
    assert status_in_head(call(scene, "/test.Echo/%2funary")) == 13
    with client(scene) as made:
        number = made.begin(head("POST", "/raw.Service/Hang", token=stage.token, more=TYPE), MESSAGE)
        made.peer.engine.reset_stream(number, CANCEL)
        made.flush()
        assert eventually(lambda: count("none") > before["none"])
    assert [count(status) - before[status] for status in ("0", "5", "14", "16", "13")] == [1, 1, 2, 1, 1]
    assert stage.balancer.metric("lbjwt_http2_requests_total") == requests + 7


# --- deadlines ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["test.Echo", "raw.Service"])
def test_the_deadline_of_a_client_ends_its_call(scene: Scene, service: str) -> None:
    """
    Where the client keeps no time itself: before the response and within a stream, whether the service keeps it or not. A service that ends the
    stream when the deadline has passed is not to blame.
    """
    late = (b"grpc-timeout", b"150m")
    body = b"\0\0\0\0\0"
    assert status_in_head(call(scene, f"/{service}/Hang", late, body=body)) == 4
    # Time enough for the response to begin, on a busy machine too.
    reply = call(scene, f"/{service}/Endless", (b"grpc-timeout", b"3S"), body=body)
    assert reply.body.startswith(b"\0\0\0\0") and status_in_trailers(reply) == 4
    cluster = "main" if service == "test.Echo" else "broken"
    assert scene[0].balancer.metric("lbjwt_endpoint_ejected", cluster=cluster) == 0
    # A service of gRPC may say it first, as its own status.
    assert service == "test.Echo" or eventually(
        lambda: scene[0].balancer.metric("lbjwt_errors_total", reason="deadline_exceeded") >= 2
    )


def test_a_deadline_is_passed_on_as_it_came(scene: Scene) -> None:
    service = scene[1]
    assert calls(scene).unary()(b"x", timeout=1000.0) == b"x"
    assert 900.0 < (service.remaining[-1] or 0.0) <= 1000.0
    for text in (b"99999999H", b"soon"):  # the second one is malformed, and no deadline for lbjwt
        assert call(scene, "/raw.Service/Html", (b"grpc-timeout", text)).status == 503
        assert service.raw.timeouts[-1] == text


# --- retries and health -------------------------------------------------------------------------------------------------


def test_unavailable_is_sent_again_only_where_the_route_says_so(scene: Scene) -> None:
    service = scene[1]
    service.failures = [CODE.UNAVAILABLE]
    service.calls.clear()
    assert calls(scene, "again").unary("Flaky")(b"payload" * 1000) == b"payload" * 1000
    assert service.calls == ["Flaky", "Flaky"]
    service.failures = [CODE.UNAVAILABLE]
    service.calls.clear()
    assert failure(lambda: calls(scene).unary("Flaky")(b"payload"))[0] is CODE.UNAVAILABLE
    assert service.calls == ["Flaky"]


@pytest.mark.parametrize(
    ("status", "size"), [(CODE.ABORTED, 1), (CODE.UNAVAILABLE, 200 << 10)], ids=["another status", "too large to keep"]
)
def test_other_failures_are_not_sent_again(scene: Scene, status: grpc.StatusCode, size: int) -> None:
    service = scene[1]
    service.failures = [status]
    service.calls.clear()
    assert failure(lambda: calls(scene, "again").unary("Flaky")(b"x" * size))[0] is status
    assert service.calls == ["Flaky"]


def test_a_stream_that_fails_late_is_not_sent_again(scene: Scene) -> None:
    scene[1].calls.clear()
    stream = calls(scene, "again").download("FailLate")(b"UNAVAILABLE")
    assert next(stream) == b"first"
    assert failure(lambda: next(stream)) == (CODE.UNAVAILABLE, "late")
    assert scene[1].calls == ["FailLate"]


def test_statuses_that_blame_the_service_eject_its_endpoint(scene: Scene) -> None:
    """INTERNAL without a message and UNAVAILABLE behind one count as a 5xx does, NOT_FOUND does not."""
    two = calls(scene, "two")

    def ejected() -> float:
        return scene[0].balancer.metric("lbjwt_endpoint_ejected", cluster="two")

    for _ in range(8):
        assert failure(lambda: two.unary("Fail")(b"NOT_FOUND"))[0] is CODE.NOT_FOUND
    assert ejected() == 0
    for _ in range(4):
        assert failure(lambda: two.unary("Fail")(b"INTERNAL"))[0] is CODE.INTERNAL
        assert failure(lambda: list(two.download("FailLate")(b"UNAVAILABLE")))[0] is CODE.UNAVAILABLE
    assert eventually(lambda: ejected() == 1)


# --- gRPC-Web -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["application/grpc-web", "application/grpc-web-text"])
def test_grpc_web_callers_get_the_status_in_a_head_of_their_type(scene: Scene, kind: str) -> None:
    """Refusals and failures, over HTTP/2."""
    with client(scene) as made:
        fields = head("POST", "/test.Echo/Unary", more=[(b"content-type", f"{kind}+proto".encode())])
        assert status_in_head(made.reply(made.begin(fields, b"x")), kind) == 16
        fields = head("POST", "/x", host="down", token=scene[0].token, more=[(b"content-type", kind.encode())])
        assert status_in_head(made.reply(made.begin(fields, b"x")), kind) == 14


@pytest.mark.parametrize("kind", ["application/grpc-web+proto", "application/grpc-web-text"])
def test_grpc_web_passes_untouched(scene: Scene, kind: str) -> None:
    """From clients of HTTP/2 and of HTTP/1.1, with the trailers in the body."""
    stage = scene[0]
    with client(scene) as made:
        fields = head("POST", "/raw.Service/Web", token=stage.token, more=[(b"content-type", kind.encode())])
        reply = made.reply(made.begin(fields, b"any"))
    assert (reply.body, reply.trailers, reply.field("content-type")) == (WEB, None, kind)
    with Client(stage.plain) as old:
        answer = old.ask(
            "/raw.Service/Web", method="POST", token=stage.token, fields=[f"Content-Type: {kind}"], body=b"any"
        )
    assert (answer.status, answer.body) == (200, WEB)


def test_a_head_that_is_refused_is_told_in_grpc_too(scene: Scene) -> None:
    """It never became a call: the path cannot be read in one way, the length is over the limit."""
    assert status_in_head(call(scene, "/test.Echo/%2funary")) == 13
    assert status_in_head(call(scene, "/test.Echo/Unary", (b"content-length", b"999999"), body=None)) == 8


def test_over_http1_failures_keep_their_status(scene: Scene) -> None:
    """It is no gRPC: often another proxy asks, which needs the status. Refusals of tokens say it in gRPC all the same."""
    stage = scene[0]
    kind = ["Content-Type: application/grpc"]
    with Client(stage.plain) as old:
        answer = old.ask("/x", host="down", method="POST", token=stage.token, fields=kind, body=b"any")
        assert (answer.status, answer.field("grpc-status")) == (503, "")
        answer = old.ask("/test.Echo/Unary", method="POST", fields=kind, body=b"any")
        assert (answer.status, answer.field("grpc-status")) == (200, "16")


def test_a_client_that_does_not_read_is_reset(scene: Scene) -> None:
    """Trailers would stand behind what it has not read."""
    stage, service = scene
    service.raw.stuck.clear()
    with Http2Client(stage.plain, window=1000) as made:
        token = stage.tokens.mint(jti="unread")
        number = made.begin(head("POST", "/raw.Service/Flood", host="x", token=token, more=TYPE), MESSAGE)
        made.until(lambda: made.peer.replies[number].status == 200)
        assert service.raw.stuck.wait(20)
        assert stage.balancer.admin_post("/revocations", {"jti": "unread"})[0] in (200, 201, 202)
        reply = made.reply(number)
    assert (reply.status, reply.trailers, reply.reset) == (200, None, CANCEL)
