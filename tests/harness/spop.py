"""SPOP as HAProxy speaks it, written apart from lbjwt's: frames to send, and what is in those that come."""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import Any, Final, Self

HAPROXY_HELLO: Final = 1
HAPROXY_DISCONNECT: Final = 2
NOTIFY: Final = 3
AGENT_HELLO: Final = 101
AGENT_DISCONNECT: Final = 102
ACK: Final = 103


def varint(value: int) -> bytes:
    if value < 240:
        return bytes([value])
    out = bytearray([value & 0x0F | 0xF0])
    value = (value - 240) >> 4
    while value >= 128:
        out.append(value & 0x7F | 0x80)
        value = (value - 128) >> 7
    return bytes(out) + bytes([value])


def text(value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return varint(len(data)) + data


def typed(value: Any) -> bytes:
    """bytes are BINARY, an address is one, None is NULL."""
    if value is None:
        return b"\x00"
    if isinstance(value, bool):
        return b"\x11" if value else b"\x01"
    if isinstance(value, int):
        return b"\x03" + varint(value)
    if isinstance(value, ipaddress.IPv4Address):
        return b"\x06" + value.packed
    if isinstance(value, ipaddress.IPv6Address):
        return b"\x07" + value.packed
    return (b"\x09" if isinstance(value, bytes) else b"\x08") + text(value)


def pairs(values: dict[str, Any]) -> bytes:
    return b"".join(text(name) + typed(value) for name, value in values.items())


def frame(kind: int, payload: bytes, stream: int = 0, number: int = 0, flags: int = 1) -> bytes:
    body = struct.pack(">BL", kind, flags) + varint(stream) + varint(number) + payload
    return struct.pack(">L", len(body)) + body


def hello(**changes: Any) -> bytes:
    """A HAPROXY-HELLO; underscores of names are hyphens, and None leaves a name out."""
    said = {
        "supported_versions": "2.0",
        "max_frame_size": 16380,
        "capabilities": "pipelining,async",
        "engine_id": "0123",
        **changes,
    }
    return frame(
        HAPROXY_HELLO, pairs({name.replace("_", "-"): value for name, value in said.items() if value is not None})
    )


def headers(*fields: tuple[str, str]) -> bytes:
    """As `req.hdrs_bin`."""
    return b"".join(text(name) + text(value) for name, value in (*fields, ("", "")))


def question(
    *fields: tuple[str, str],
    method: str = "GET",
    target: str = "/",
    client: str = "192.0.2.1",
    host: str = "api.example",
    https: bool = False,
    **changes: Any,
) -> dict[str, Any]:
    """The arguments of a message; `changes` replace them."""
    return {
        "method": method,
        "target": target,
        "headers": headers(("host", host), *fields),
        "client": ipaddress.ip_address(client),
        "https": https,
        **changes,
    }


def notify(arguments: dict[str, Any], stream: int = 1, number: int = 1) -> bytes:
    return frame(NOTIFY, text("check") + bytes([len(arguments)]) + pairs(arguments), stream, number)


class Reader:
    """Reads what stands in a payload, from its beginning."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        assert self.at + size <= len(self.data)
        self.at += size
        return self.data[self.at - size : self.at]

    def varint(self) -> int:
        value = self.take(1)[0]
        if value < 240:
            return value
        shift = 4
        while True:
            byte = self.take(1)[0]
            value += byte << shift
            shift += 7
            if byte < 128:
                return value

    def text(self) -> bytes:
        return self.take(self.varint())

    def typed(self) -> Any:
        kind = self.take(1)[0]
        match kind & 15:
            case 0:
                return None
            case 1:
                return bool(kind & 0x10)
            case 2 | 3 | 4 | 5:
                return self.varint()
            case 8 | 9:
                return self.text().decode()
        raise AssertionError(f"type {kind}")

    def is_over(self) -> bool:
        return self.at == len(self.data)


def read(data: bytes) -> tuple[int, int, int, dict[str, Any]]:
    """Type, stream, number and what is said of one frame without its length: names and values, or variables."""
    reader = Reader(data)
    kind, flags = struct.unpack(">BL", reader.take(5))
    assert flags == 1
    stream, number = reader.varint(), reader.varint()
    said: dict[str, Any] = {}
    while not reader.is_over():
        if kind == ACK:
            assert reader.take(3) == b"\x01\x03\x02"  # set-var, three arguments, of the transaction
        name = reader.text().decode()
        assert name not in said
        said[name] = reader.typed()
    return kind, stream, number, said


def frames(data: bytes) -> list[tuple[int, int, int, dict[str, Any]]]:
    """All frames in these bytes."""
    found = []
    while data:
        (size,) = struct.unpack(">L", data[:4])
        assert len(data) >= 4 + size
        found.append(read(data[4 : 4 + size]))
        data = data[4 + size :]
    return found


class Connection:
    """HAProxy's end of a connection to an agent."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self._stream = self.socket.makefile("rb")
        self._number = 0

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> tuple[int, int, int, dict[str, Any]]:
        """The next frame; EOFError when the agent closed the connection."""
        length = self._stream.read(4)
        if len(length) < 4:
            raise EOFError
        return read(self._stream.read(struct.unpack(">L", length)[0]))

    def greet(self, **changes: Any) -> dict[str, Any]:
        """Exchange hellos; what the agent said."""
        self.send(hello(**changes))
        kind, _, _, said = self.receive()
        assert kind == AGENT_HELLO, said
        return said

    def ask(self, *fields: tuple[str, str], **arguments: Any) -> dict[str, Any]:
        """Ask about one request; the variables of the answer."""
        self._number += 1
        self.send(notify(question(*fields, **arguments), 7, self._number))
        kind, stream, number, said = self.receive()
        assert (kind, stream, number) == (ACK, 7, self._number), said
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self.socket.close()
