"""The messages of the gRPC health service as lbjwt writes and reads them, against those of grpcio-health-checking."""

import pytest
from grpc_health.v1 import health_pb2

from lbjwt.upstream.health.grpc import failure_of, request_body

GOOD = {b"grpc-status": b"0"}
SERVING = health_pb2.HealthCheckResponse(status="SERVING").SerializeToString()


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


@pytest.mark.parametrize("service", ["", "shop.Orders", "x" * 127, "x" * 128, "x" * 255])
def test_the_request_is_that_of_protobuf(service: str) -> None:
    assert request_body(service) == framed(health_pb2.HealthCheckRequest(service=service).SerializeToString())


@pytest.mark.parametrize(
    ("state", "failure"),
    [
        ("SERVING", ""),
        ("NOT_SERVING", "the service is NOT_SERVING"),
        ("UNKNOWN", "the service is UNKNOWN"),
        ("SERVICE_UNKNOWN", "the service is SERVICE_UNKNOWN"),
    ],
)
def test_only_serving_passes(state: str, failure: str) -> None:
    message = health_pb2.HealthCheckResponse(status=state).SerializeToString()
    assert failure_of(200, GOOD, framed(message)) == failure


@pytest.mark.parametrize(
    "more",
    [b"\x10\x05", b"\x12\x03abc", b"\x1d\0\0\0\0", b"\x21" + bytes(8), b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"],
    ids=["varint", "text", "32 bits", "64 bits", "ten bytes"],
)
def test_fields_of_a_later_version_are_skipped(more: bytes) -> None:
    for message in (SERVING + more, more + SERVING):
        assert failure_of(200, GOOD, framed(message)) == ""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\0\0",
        b"\1" + framed(SERVING)[1:],
        framed(SERVING)[:-1],
        framed(SERVING) + b"\0",
        framed(b"\x08"),
        framed(b"\x08\xff"),
        framed(b"\x12\x05abc"),
        framed(b"\x0b"),
        framed(b"\x08" + b"\xff" * 11),
        framed(b"\x08\x09"),
    ],
    ids=repr,
)
def test_a_malformed_response_fails(body: bytes) -> None:
    assert failure_of(200, GOOD, body) == "the response is not a valid health message"


@pytest.mark.parametrize(
    ("status", "fields", "failure"),
    [
        (0, {}, "the connection was closed without a whole response head"),
        (503, {}, "status 503"),
        (200, {}, "the response has no grpc-status"),
        (200, {b"grpc-status": b"5"}, "the health service does not know the service (grpc-status 5)"),
        (200, {b"grpc-status": b"12"}, "the server has no health service (grpc-status 12)"),
        (200, {b"grpc-status": b"14"}, "grpc-status 14"),
        (200, {b"grpc-status": b"x\n"}, "the grpc-status is malformed"),
    ],
)
def test_failures_say_why_and_nothing_that_the_endpoint_wrote(
    status: int, fields: dict[bytes, bytes], failure: str
) -> None:
    assert failure_of(status, fields, framed(SERVING)) == failure
