"""
The check of a gRPC server by its health service: `/grpc.health.v1.Health/Check` with the name of a service.

The two messages have one field each, so they are written and read here. Nothing that the endpoint sent is in the result but statuses.

Source: "GRPC Health Checking Protocol" and health.proto of gRPC, the gRPC protocol over HTTP/2, the wire format of Protocol Buffers.
"""

from typing import Final

SERVING: Final = 1
STATES: Final = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
NOT_FOUND: Final = 5
UNIMPLEMENTED: Final = 12

MAX_SERVICE: Final = 255
"""Bytes of the name of a service."""

_STRING: Final = 1 << 3 | 2
_ENUM: Final = 1 << 3
_WIRE_SIZES: Final = {1: 8, 5: 4}


def request_body(service: str) -> bytes:
    """A `HealthCheckRequest` as the one message of a call. service: "" asks for the server as a whole."""
    name = service.encode()
    message = b"" if not name else bytes([_STRING]) + _varint(len(name)) + name
    return b"\0" + len(message).to_bytes(4, "big") + message


def request_fields(https: bool, host: str) -> list[tuple[bytes, bytes]]:
    """The head of the call."""
    return [
        (b":method", b"POST"),
        (b":scheme", b"https" if https else b"http"),
        (b":path", b"/grpc.health.v1.Health/Check"),
        (b":authority", host.encode()),
        (b"content-type", b"application/grpc"),
        (b"user-agent", b"lbjwt-health-check"),
        (b"te", b"trailers"),
    ]


def failure_of(status: int, fields: dict[bytes, bytes], body: bytes) -> str:
    """
    "" when the response says that the service is serving, else why it does not.

    Args:
        status: Of HTTP; 0: no response head came.
        fields: Of head and trailers.
    """
    if not status:
        return "the connection was closed without a whole response head"
    if status != 200:
        return f"status {status}"
    told = fields.get(b"grpc-status")
    if told is None:
        return "the response has no grpc-status"
    if told != b"0":
        number = int(told) if told.isdigit() and len(told) <= 2 else -1
        if number == NOT_FOUND:
            return "the health service does not know the service (grpc-status 5)"
        if number == UNIMPLEMENTED:
            return "the server has no health service (grpc-status 12)"
        return f"grpc-status {number}" if number >= 0 else "the grpc-status is malformed"
    state = _state(body)
    if state == SERVING:
        return ""
    return f"the service is {STATES[state]}" if state in STATES else "the response is not a valid health message"


def _state(body: bytes) -> int:
    """The status in a `HealthCheckResponse`; -1: it is malformed."""
    if len(body) < 5 or body[0] != 0 or int.from_bytes(body[1:5], "big") != len(body) - 5:
        return -1
    at, state = 5, 0
    while at < len(body):
        tag, at = _read_varint(body, at)
        kind = tag & 7
        if tag < 0:
            return -1
        if kind == 0:
            value, at = _read_varint(body, at)
            if value < 0:
                return -1
            state = value if tag == _ENUM else state
        elif kind == 2:
            size, at = _read_varint(body, at)
            if size < 0:
                return -1
            at += size
        elif kind in _WIRE_SIZES:
            at += _WIRE_SIZES[kind]
        else:
            return -1
    return state if at == len(body) else -1


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number and where it ends; -1 when it does not end within ten bytes."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        number |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return number, at
    return -1, at
