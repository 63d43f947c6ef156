"""gRPC end to end: a client and a service of grpcio with the balancer between them, over TLS and over plain HTTP/2."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.harness.certificates import files  # noqa: F401 - a fixture
from tests.integration.grpc_scene import PATIENCE, Calls, GrpcStage, Service, failure, served

Scene = tuple[GrpcStage, Service]


@pytest.fixture(scope="module")
def scene(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:  # noqa: F811
    service = Service()
    with (
        served(service) as port,
        GrpcStage(tmp_path_factory.mktemp("grpc"), [port], files) as stage,
    ):
        yield stage, service


@pytest.fixture(params=["tls", "h2c"])
def calls(scene: Scene, request: pytest.FixtureRequest) -> Calls:
    return scene[0].calls(tls=request.param == "tls")


def test_calls_of_all_four_kinds_arrive_and_are_answered(calls: Calls) -> None:
    assert calls.unary()(b"hello") == b"hello"
    assert calls.upload()(iter([b"a" * 10, b"", b"b" * 5])) == b"15"
    assert list(calls.download()(b"50")) == [b"%d" % number for number in range(50)]
    assert list(calls.chat()(iter([b"a", b"b"]))) == [b"A", b"B", b"bye"]


def test_a_chat_goes_on_in_both_directions_until_the_client_half_closes(calls: Calls) -> None:
    """Each message is answered before the next one is sent; the service speaks once more after the client's end."""
    said: list[bytes] = [b"one", b"two", b"three"]
    heard: list[bytes] = []
    turn = iter(said)

    def talk() -> Iterator[bytes]:
        for number, word in enumerate(turn):
            while len(heard) < number:
                time.sleep(0.001)
            yield word

    for answer in calls.chat()(talk()):
        heard.append(answer)
    assert heard == [b"ONE", b"TWO", b"THREE", b"bye"]


def test_metadata_arrives_in_both_directions_with_every_byte(scene: Scene, calls: Calls) -> None:
    blob = bytes(range(256))
    _, call = calls.unary().with_call(b"", metadata=[("answer-bin", blob), ("word", "a, b;c")])
    assert dict(call.initial_metadata())["head-bin"] == blob
    assert dict(call.trailing_metadata()) == {"tail-bin": blob, "tail": "text"}
    seen = scene[1].metadata[-1]
    assert seen["word"] == "a, b;c" and seen["answer-bin"] == blob and seen["x-jwt-sub"] == "alice"


def test_a_status_of_the_service_arrives_with_its_message_and_details(calls: Calls) -> None:
    for name in ("NOT_FOUND", "UNAVAILABLE", "INTERNAL", "UNAUTHENTICATED"):
        with pytest.raises(grpc.RpcError) as error:
            calls.unary("Fail")(name.encode())
        assert error.value.code() is grpc.StatusCode[name] and error.value.details() == "as asked: 50 % of ümlauts"
        assert dict(error.value.trailing_metadata())["why-bin"] == b"\0\xff"
    stream = calls.download("FailLate")(b"ABORTED")
    assert next(stream) == b"first"
    assert failure(lambda: next(stream)) == (grpc.StatusCode.ABORTED, "late")


def test_a_service_may_end_a_chat_that_its_client_would_go_on_with(calls: Calls) -> None:
    released = threading.Event()

    def talk() -> Iterator[bytes]:
        yield b"one"
        released.wait(PATIENCE)

    chat = calls.chat("EndEarly")(talk())
    try:
        assert next(chat) == b"ONE"
        assert failure(lambda: next(chat)) == (grpc.StatusCode.OUT_OF_RANGE, "enough")
    finally:
        released.set()


def test_large_messages_arrive_whole(calls: Calls) -> None:
    blob = bytes(range(256)) * (4 << 10)
    assert calls.unary()(blob) == blob
    assert b"".join(calls.chat()(iter([b"x" * (1 << 20)]))) == b"X" * (1 << 20) + b"bye"


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_messages_arrive(scene: Scene, compression: grpc.Compression) -> None:
    blob = b"again and " * 100_000
    assert scene[0].calls(tls=True, compression=compression).unary()(blob) == blob


def test_many_calls_at_once_share_a_connection(calls: Calls) -> None:
    futures = [calls.unary().future(b"%d" % number * 100) for number in range(300)]
    assert [future.result() for future in futures] == [b"%d" % number * 100 for number in range(300)]


@pytest.mark.parametrize("method", ["Hang", "Endless"])
def test_a_cancel_of_the_client_reaches_the_service(scene: Scene, calls: Calls, method: str) -> None:
    """Before the response has begun, and during a stream."""
    service = scene[1]
    service.cancelled.clear()
    if method == "Hang":
        call = calls.unary("Hang").future(b"")
        assert service.arrived.acquire(timeout=PATIENCE)
    else:
        call = calls.download("Endless")(b"")
        assert next(call) == b"first"
    call.cancel()
    assert service.cancelled.wait(0.75 * PATIENCE), "it ends by itself only after PATIENCE"
