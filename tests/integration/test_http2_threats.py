"""Attacks by HTTP/2 on a running lbjwt, as frames that no library would send: what reaches the endpoint, and what becomes of the attacker."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import pytest
from hpack import Decoder, Encoder

from tests.harness.ports import free_port
from tests.harness.stage import Stage

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, END_HEADERS = 1, 4
ENHANCE_YOUR_CALM: Final = 11
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

Fields = list[tuple[str, str]]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A listener that speaks HTTP/2 without TLS, and an endpoint that reads HTTP/1.1 strictly; no request without a good token may reach it."""
    port = free_port()
    listeners = [{"address": f"127.0.0.1:{port}", "h2c": True}]
    with Stage(tmp_path_factory.mktemp("threats"), listeners=listeners) as stage:
        stage.balancer.port = port
        yield stage


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """RFC 9113 section 4.1."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


class Attacker:
    """One connection: what is sent is up to the test, what comes back is read frame by frame."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._reader = self._socket.makefile("rb")
        self._encoder, self._decoder = Encoder(), Decoder()
        self.send(PREFACE + frame(SETTINGS))

    def send(self, data: bytes) -> None:
        """Bytes as they are; nothing if lbjwt has ended the connection already."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def block(self, fields: Fields) -> bytes:
        """Any names and values."""
        return self._encoder.encode(fields, huffman=False)

    def ask(self, stream: int, fields: Fields, body: bytes | None = None) -> str:
        """What became of a request: its status, "reset", "goaway N" or "closed"."""
        flags = END_HEADERS | (END_STREAM if body is None else 0)
        self.send(frame(HEADERS, flags, stream, self.block(fields)))
        if body is not None:
            self.send(frame(DATA, END_STREAM, stream, body))
        return self.outcome(stream)

    def outcome(self, stream: int = 0) -> str:
        """The end of a stream (0: of the connection)."""
        status = ""
        try:
            while head := self._reader.read(9):
                size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
                number = int.from_bytes(head[5:], "big")
                payload = self._reader.read(size)
                if kind == HEADERS:
                    fields = {str(name): str(value) for name, value in self._decoder.decode(payload)}
                    status = fields.get(":status", status) if number == stream else status
                elif kind == GOAWAY and (code := int.from_bytes(payload[4:8], "big")):
                    return f"goaway {code}"
                elif kind == RST_STREAM and number == stream and not status:
                    return "reset"
                if status and kind in (HEADERS, DATA) and number == stream and flags & END_STREAM:
                    return status
        except ConnectionResetError:
            pass
        return "closed"

    def __enter__(self) -> Attacker:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._socket.close()


def request(stage: Stage, *more: tuple[str, str], path: str = "/r/x", method: str = "GET") -> Fields:
    """The head of a good request with a good token."""
    pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "api.example")]
    return [*pseudo, ("authorization", f"Bearer {stage.token}"), *more]


SMUGGLED: Final = "GET /smuggled HTTP/1.1\r\nHost: api.example\r\n\r\n"

HEADS: Final[dict[str, tuple[Fields, bytes | None]]] = {
    "a length that the data does not have": ([("content-length", "4")], b"abcdGET /smuggled HTTP/1.1\r\n\r\n"),
    "a length without data": ([("content-length", "4")], None),
    "two lengths": ([("content-length", "4"), ("content-length", "5")], b"abcd"),
    "a coding": ([("transfer-encoding", "chunked")], b"0\r\n\r\n" + SMUGGLED.encode()),
    "a coding in upper case": ([("Transfer-Encoding", "chunked")], b"0\r\n\r\n" + SMUGGLED.encode()),
    "a connection field": ([("connection", "authorization")], None),
    "an upgrade": ([("upgrade", "h2c")], None),
    "a line end in a value": ([("x-a", f"b\r\n\r\n{SMUGGLED}")], None),
    "a bare line feed in a value": ([("x-a", "b\nx-jwt-sub: admin")], None),
    "NUL in a value": ([("x-a", "b\x00c")], None),
    "a line end in a name": ([("x-a: b\r\nx-jwt-sub", "admin")], None),
    "a colon in a name": ([("x-jwt-sub:", "admin")], None),
    "a space in a name": ([("x-jwt-sub ", "admin")], None),
    "an empty name": ([("", "admin")], None),
    "a pseudo-header field at the end": ([("x-a", "b"), (":path", "/smuggled")], None),
    "a second authority": ([("host", "other.example")], None),
}


@pytest.mark.parametrize("name", HEADS)
def test_h21_h22_a_malformed_request_reaches_nobody(stage: Stage, name: str) -> None:
    """It is refused or reset, the endpoint sees nothing of it, and a good request after it is served."""
    more, body = HEADS[name]
    before = len(stage.seen)
    with Attacker(stage.port) as attacker:
        found = attacker.ask(1, request(stage, *more, method="GET" if body is None else "POST"), body)
        assert found in ("400", "reset", "goaway 1", "closed"), found
        if found not in ("goaway 1", "closed"):
            assert attacker.ask(3, request(stage)) == "200"
    assert not any("smuggled" in seen.target or b"admin" in seen.head for seen in stage.seen[before:])
    with Attacker(stage.port) as other:
        assert other.ask(1, request(stage)) == "200"


@pytest.mark.parametrize(
    ("pseudo", "value"),
    [
        (":path", "/r/x HTTP/1.1\r\nx-jwt-sub: admin\r\n\r\n"),
        (":path", "/r/x HTTP/1.1"),
        (":path", "r/x"),
        (":path", ""),
        (":path", "http://other.example/r/x"),
        (":method", f"GET / HTTP/1.1\r\n\r\n{SMUGGLED}"),
        (":method", "GET /smuggled HTTP/1.1"),
        (":method", "CONNECT"),
        (":authority", "api.example\r\nx-jwt-sub: admin"),
        (":authority", "user@api.example"),
        (":scheme", "http://x/?"),
        (":scheme", "ftp"),
    ],
)
def test_h22_no_pseudo_header_field_becomes_a_line_of_its_own(stage: Stage, pseudo: str, value: str) -> None:
    """What HTTP/1.1 would read as the end of a request line or of a head is refused before it is written."""
    before = len(stage.seen)
    fields = [(name, value if name == pseudo else before_it) for name, before_it in request(stage)]
    with Attacker(stage.port) as attacker:
        found = attacker.ask(1, fields)
    assert found in ("400", "405", "reset", "goaway 1", "closed"), found
    assert len(stage.seen) == before


def test_h21_a_body_is_a_body_whatever_it_looks_like(stage: Stage) -> None:
    """Without a length, lbjwt frames it itself: the endpoint reads one request, with these bytes as its body."""
    before = len(stage.seen)
    with Attacker(stage.port) as attacker:
        assert attacker.ask(1, request(stage, method="POST"), b"0\r\n\r\n" + SMUGGLED.encode()) == "200"
    (seen,) = stage.seen[before:]
    assert (seen.method, seen.body_size) == ("POST", 5 + len(SMUGGLED))


def resets(attacker: Attacker, stage: Stage) -> Iterator[bytes]:
    """Requests that are taken back at once."""
    for number in range(1, 4001, 2):
        yield frame(HEADERS, END_STREAM | END_HEADERS, number, attacker.block(request(stage))) + frame(
            RST_STREAM, 0, number, struct.pack(">I", 8)
        )


def broken(attacker: Attacker, stage: Stage) -> Iterator[bytes]:
    """Requests that the server takes back: an increment of 0 is an error of the stream (RFC 9113 section 6.9)."""
    for number in range(1, 4001, 2):
        yield frame(HEADERS, END_HEADERS, number, attacker.block(request(stage, method="POST")))
        yield frame(8, 0, number, struct.pack(">I", 0))


def empty_data(attacker: Attacker, stage: Stage) -> Iterator[bytes]:
    """A body of nothing."""
    yield frame(HEADERS, END_HEADERS, 1, attacker.block(request(stage, method="POST")))
    for _ in range(4000):
        yield frame(DATA, 0, 1)


def continuations(attacker: Attacker, stage: Stage) -> Iterator[bytes]:
    """A head without end."""
    yield frame(HEADERS, END_STREAM, 1, attacker.block(request(stage)))
    for number in range(4000):
        yield frame(CONTINUATION, 0, 1, attacker.block([(f"x-{number}", "y" * 100)]))


def bomb(attacker: Attacker, stage: Stage) -> Iterator[bytes]:
    """One field of 4,000 bytes in the table of HPACK, then named 10,000 times by a byte each."""
    entry = attacker.block([("x", "y" * 4000)])
    yield frame(HEADERS, END_STREAM | END_HEADERS, 1, attacker.block(request(stage)) + entry + b"\xbe" * 10_000)


FLOODS: Final = {
    "s21_rapid_reset": resets,
    "s21_made_you_reset": broken,
    "s22_ping": lambda attacker, stage: (frame(PING, payload=bytes(8)) for _ in range(4000)),
    "s22_settings": lambda attacker, stage: (
        frame(SETTINGS, payload=struct.pack(">HI", 4, 65535)) for _ in range(4000)
    ),
    "s22_empty_data": empty_data,
    "s23_continuation": continuations,
    "s23_hpack_bomb": bomb,
}


@pytest.mark.parametrize("name", FLOODS)
def test_s21_s22_s23_a_flood_ends_its_own_connection(stage: Stage, name: str) -> None:
    """The attacker is disconnected before it has sent all, in memory that does not grow, and somebody else is served at once."""
    before = stage.balancer.usage().rss
    with Attacker(stage.port) as attacker, Attacker(stage.port) as other:
        attacker.send(b"".join(FLOODS[name](attacker, stage)))
        found = attacker.outcome()
        assert found == "closed" or found.startswith("goaway"), found
        assert other.ask(1, request(stage)) == "200"
    assert stage.balancer.usage().rss - before < 8 << 20
    assert "Traceback" not in stage.balancer.stderr, stage.balancer.stderr


def test_s24_responses_that_nobody_reads_are_held_back(stage: Stage) -> None:
    """100 streams whose window is 0: lbjwt takes no more from the endpoint than its bound for each, of 100 MiB in all."""
    before = stage.balancer.usage().rss
    with Attacker(stage.port) as attacker:
        attacker.send(frame(SETTINGS, payload=struct.pack(">HI", 4, 0)))
        for number in range(1, 200, 2):
            head = attacker.block(request(stage, path=f"/bytes/{1 << 20}"))
            attacker.send(frame(HEADERS, END_STREAM | END_HEADERS, number, head))
        with Attacker(stage.port) as other:
            assert other.ask(1, request(stage)) == "200"
        assert stage.balancer.usage().rss - before < 40 << 20
