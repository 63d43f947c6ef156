"""The harness's own reader of HTTP: whole, byte by byte, with bytes left over, and strict."""

from __future__ import annotations

import pytest

from tests.harness.corpus import ACCEPTED_REQUESTS, MALFORMED_RESPONSES
from tests.harness.wire import DATA, END, HEAD, Head, MessageReader, RequestReader, ResponseReader, WireError, chunk


def read(reader: MessageReader, data: bytes, size: int) -> list[tuple[bytes, bytes]]:
    """(start line, body) of every whole message in the bytes, fed in pieces."""
    found: list[tuple[bytes, bytes]] = []
    start, body = b"", b""
    for at in range(0, len(data), size):
        for kind, value in reader.feed(data[at : at + size]):
            if kind is HEAD:
                assert isinstance(value, Head)
                start, body = value.start, b""
            elif kind is DATA:
                assert isinstance(value, bytes)
                body += value
            elif kind is END:
                found.append((start, body))
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100_000])
def test_requests_are_read_in_any_pieces(size: int) -> None:
    """The same messages come out however the bytes are cut."""
    data = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: x\r\n\r\n"
    data += b"PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(
        b"chunked body", 5, b"X-T: 1\r\n"
    )
    assert read(RequestReader(), data, size) == [
        (b"POST /a HTTP/1.1", b"hello"),
        (b"GET /b HTTP/1.1", b""),
        (b"PUT /c HTTP/1.1", b"chunked body"),
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100_000])
def test_responses_are_read_by_the_methods_they_answer(size: int) -> None:
    """HEAD, 204 and interim responses have no body; what follows them is the next message."""
    reader = ResponseReader()
    for method in (b"HEAD", b"GET", b"GET"):
        reader.expect(method)
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 103 Hint\r\n\r\nHTTP/1.1 204 None\r\n\r\n"
    data += b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    assert [line[9:12] for line, _ in read(reader, data, size)] == [b"200", b"103", b"204", b"200"]
    assert not reader.is_midway


def test_a_response_nobody_asked_for_is_an_error() -> None:
    """A second response to one request does not pass unnoticed."""
    reader = ResponseReader()
    reader.expect(b"GET")
    with pytest.raises(WireError, match="nobody asked"):
        read(reader, b"HTTP/1.1 204 A\r\n\r\nHTTP/1.1 200 B\r\nContent-Length: 0\r\n\r\n", 1000)


@pytest.mark.parametrize("cut", [1, 3, 30, 45])
def test_a_cut_message_is_midway(cut: int) -> None:
    """An end of stream inside a message is told from one between messages."""
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome body"
    reader = ResponseReader()
    reader.expect(b"GET")
    assert read(reader, data[:-cut], 10) == []
    assert reader.is_midway


@pytest.mark.parametrize(
    "line",
    [b"X-A : b", b"X A: b", b"X-A: a\nb", b"X-A: a\rb", b"X-A: a\x00", b": b", b" X-A: b", b"X-A"],
)
def test_malformed_fields_are_errors(line: bytes) -> None:
    """No field line is repaired."""
    with pytest.raises(WireError):
        read(RequestReader(), b"GET / HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n\r\n", 1000)


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 1\r\nContent-Length: 1",
        b"Content-Length: +1",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 1",
    ],
)
def test_ambiguous_framing_is_an_error(fields: bytes) -> None:
    """A proxy that forwards ambiguous framing is caught by the backend."""
    with pytest.raises(WireError):
        read(RequestReader(), b"POST / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n\r\n", 1000)


@pytest.mark.parametrize(("name", "data"), ACCEPTED_REQUESTS, ids=[name for name, _ in ACCEPTED_REQUESTS])
def test_the_accepted_corpus_is_compliant(name: str, data: bytes) -> None:
    """What the balancer must accept, the strict reader accepts."""
    assert len(read(RequestReader(), data.removeprefix(b"\r\n"), 1)) == 1


def test_the_malformed_corpus_has_distinct_names() -> None:
    """At least two hundred cases, each to be named in a report."""
    assert len({name for name, _ in MALFORMED_RESPONSES}) == len(MALFORMED_RESPONSES) >= 200
