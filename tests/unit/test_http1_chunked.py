"""The chunked decoder: whole, byte by byte, with bytes left over, and against a plain model."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbjwt.http1._chunked import ChunkedDecoder
from tests.harness.examples import examples
from tests.unit.http1_readers import named


def take(decoder: ChunkedDecoder, data: bytearray) -> tuple[int, bytes]:
    """The bytes consumed (or -1) and the bytes decoded, which are moved together in `data`."""
    consumed = decoder.feed(data, len(data))
    return consumed, bytes(data[decoder.body_at : decoder.body_at + decoder.body_size])


REST = b"GET /next HTTP/1.1\r\n"

GOOD = {
    "empty": (b"0\r\n\r\n", b""),
    "one chunk": (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "three chunks": (b"1\r\na\r\n2\r\nbc\r\nA\r\n0123456789\r\n0\r\n\r\n", b"abc0123456789"),
    "size in both cases": (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
    "leading zeros": (b"000000000000005\r\nhello\r\n000\r\n\r\n", b"hello"),
    "data that looks like framing": (b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n"),
    "extension": (b'5;a=b;c="d e\t\xe9"\r\nhello\r\n0;last\r\n\r\n', b"hello"),
    "white space in an extension": (b'5;  a\t = \tb ; c = "" ;d\r\nhello\r\n0\r\n\r\n', b"hello"),
    "quoted pairs in an extension": (b'5;a="\\"\\\\ \\\xe9;=\t"\r\nhello\r\n0\r\n\r\n', b"hello"),
    "largest extension": (b"5;" + b"a" * 255 + b"\r\nhello\r\n0\r\n\r\n", b"hello"),
    "all extensions": ((b"1;" + b"a" * 255 + b"\r\nx\r\n") * 16 + b"0\r\n\r\n", b"x" * 16),
    "trailer": (b"1\r\na\r\n0\r\nX-Sum: 1\r\nAuthorization: Bearer x\r\nEmpty:\r\n\r\n", b"a"),
    "trailer with obs-text and tab": (b"0\r\nA:\t\xe9 b\r\n\r\n", b""),
    "64 trailer fields": (b"0\r\n" + b"A: b\r\n" * 64 + b"\r\n", b""),
    "largest trailer section": (b"0\r\nA:" + b"b" * (8192 - 6) + b"\r\n\r\n", b""),
}

BAD = {
    "no size": (b"\r\n", "chunk_size"),
    "letter": (b"g\r\n", "chunk_size"),
    "0x": (b"0x5\r\n", "chunk_size"),
    "plus": (b"+5\r\n", "chunk_size"),
    "minus": (b"-5\r\n", "chunk_size"),
    "space before": (b" 5\r\n", "chunk_size"),
    "space behind": (b"5 \r\n", "chunk_size"),
    "tab behind": (b"5\t\r\n", "chunk_size"),
    "space before an extension": (b"5 ;a\r\n", "chunk_size"),
    "underscore": (b"1_0\r\n", "chunk_size"),
    "16 digits (p11)": (b"ffffffffffffffff\r\n", "chunk_size"),
    "16 digits, small": (b"0000000000000005\r\n", "chunk_size"),
    "obs-text": (b"\xb5\r\n", "chunk_size"),
    "NUL": (b"5\x00\r\n", "chunk_size"),
    "bare LF after a size": (b"5\nhello\r\n", "chunk_size"),
    "bare CR after a size": (b"5\rhello\r\n", "chunk_line_end"),
    "bare LF after an extension": (b"5;a\nhello\r\n", "chunk_extension"),
    "bare CR in an extension": (b"5;a\rb\r\nhello\r\n", "chunk_line_end"),
    "NUL in an extension": (b"5;\x00\r\n", "chunk_extension"),
    "DEL in an extension": (b"5;\x7f\r\n", "chunk_extension"),
    "extension without name": (b"5;\r\n", "chunk_extension"),
    "extension without name, before another": (b"5;;a\r\n", "chunk_extension"),
    "extension of white space": (b"5; \r\n", "chunk_extension"),
    "extension value without name": (b"5;=a\r\n", "chunk_extension"),
    "extension name that is no token": (b"5;a/b\r\n", "chunk_extension"),
    "extension name with obs-text": (b"5;\xe9\r\n", "chunk_extension"),
    "quoted extension name": (b'5;"a"\r\n', "chunk_extension"),
    "extension without value": (b"5;a=\r\n", "chunk_extension"),
    "extension without value, before another": (b"5;a=;b\r\n", "chunk_extension"),
    "extension value that is no token": (b"5;a=b/c\r\n", "chunk_extension"),
    "extension with two values": (b"5;a=b=c\r\n", "chunk_extension"),
    "two names in an extension": (b"5;a b\r\n", "chunk_extension"),
    "two tokens for a value": (b"5;a=b c\r\n", "chunk_extension"),
    "value that goes on behind its quotes": (b'5;a="b"c\r\n', "chunk_extension"),
    "quote within a value": (b'5;a=b"c"\r\n', "chunk_extension"),
    "quotes that are not closed": (b'5;a="b\r\nhello\r\n', "chunk_extension"),
    "quotes closed by an escaped one only": (b'5;a="b\\"\r\nhello\r\n', "chunk_extension"),
    "CRLF within quotes": (b'5;a="\r\nhello\r\n0\r\n\r\n"\r\n', "chunk_extension"),
    "escaped line end": (b'5;a="\\\r\n', "chunk_extension"),
    "white space at the end of an extension": (b"5;a \r\n", "chunk_extension"),
    "white space at the end of a value": (b"5;a=b\t\r\n", "chunk_extension"),
    "white space at the end of a quoted value": (b'5;a="b" \r\n', "chunk_extension"),
    "extension too large": (b"5;" + b"a" * 256 + b"\r\n", "chunk_extension_too_large"),
    "extension without end (H9)": (b"5;" + b"a" * 65536, "chunk_extension_too_large"),
    "extensions too large": ((b"1;" + b"a" * 255 + b"\r\nx\r\n") * 16 + b"1;a\r\n", "chunk_extension_too_large"),
    "data too long": (b"5\r\nhello!\r\n", "chunk_data_end"),
    "data too short": (b"5\r\nhell\r\n0\r\n\r\n", "chunk_data_end"),
    "no line end after data": (b"5\r\nhello0\r\n\r\n", "chunk_data_end"),
    "bare LF after data": (b"5\r\nhello\n0\r\n\r\n", "chunk_data_end"),
    "bare CR after data": (b"5\r\nhello\r0\r\n\r\n", "chunk_data_end"),
    "folded trailer": (b"0\r\nA: b\r\n c\r\n\r\n", "trailer"),
    "trailer without colon": (b"0\r\nAbc\r\n\r\n", "trailer"),
    "trailer without name": (b"0\r\n: a\r\n\r\n", "trailer"),
    "trailer with space in the name": (b"0\r\nA : b\r\n\r\n", "trailer"),
    "trailer with NUL": (b"0\r\nA: \x00\r\n\r\n", "trailer"),
    "trailer with bare LF": (b"0\r\nA: b\n\r\n", "trailer"),
    "trailer with bare CR": (b"0\r\nA: b\rc\r\n\r\n", "trailer"),
    "bare LF at the end": (b"0\r\n\n", "trailer"),
    "bare CR at the end": (b"0\r\n\rx", "trailer"),
    "a request for a trailer": (b"0\r\nGET / HTTP/1.1\r\n\r\n", "trailer"),
    "65 trailer fields": (b"0\r\n" + b"A: b\r\n" * 65, "trailer_too_large"),
    "trailer section too large": (b"0\r\nA:" + b"b" * 8192, "trailer_too_large"),
}


def decode(pieces: list[bytes], max_body: int = -1) -> tuple[bytes, int, ChunkedDecoder]:
    """Body, bytes consumed and the decoder after as many of the pieces as it wanted."""
    decoder = ChunkedDecoder()
    decoder.start(max_body)
    body, consumed = b"", 0
    for piece in pieces:
        count, decoded = take(decoder, bytearray(piece))
        body += decoded
        if count < 0:
            break
        assert count == len(piece) or decoder.done
        consumed += count
        if decoder.done:
            break
    assert decoder.problem or decoder.body_bytes == len(body)
    return body, consumed, decoder


def each_byte(wire: bytes) -> list[bytes]:
    return [wire[at : at + 1] for at in range(len(wire))]


@pytest.mark.parametrize("name", GOOD)
def test_a_whole_body_is_decoded(name):
    """Whole, byte by byte and in any two pieces: the same body, and not a byte of what follows it."""
    wire, body = GOOD[name]
    splits = [[wire[:at], wire[at:] + REST] for at in range(1, min(len(wire), 300))]
    for pieces in ([wire], [wire + REST], each_byte(wire + REST), *splits):
        decoded, consumed, decoder = decode(pieces)
        assert (decoded, consumed, decoder.done, named(decoder.problem)) == (body, len(wire), True, None)


@pytest.mark.parametrize("name", GOOD)
def test_an_unfinished_body_is_never_done(name):
    """A body cut anywhere is neither complete nor refused (Q4)."""
    wire, body = GOOD[name]
    for size in range(min(len(wire), 600)):
        decoded, consumed, decoder = decode([wire[:size]])
        assert (consumed, decoder.done, named(decoder.problem)) == (size, False, None)
        assert body.startswith(decoded)


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_body_is_refused(name):
    """Whole and byte by byte the same refusal (H8, H9, H10)."""
    wire, problem = BAD[name]
    for pieces in ([wire], [wire + REST], each_byte(wire)):
        _, _, decoder = decode(pieces)
        assert (named(decoder.problem), decoder.done) == (problem, False)


def test_the_limit_is_exact():
    """A body as large as allowed passes; one byte more is refused before it is decoded, whatever the chunks (p11)."""
    wire = b"5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\n"
    assert decode([wire], 8)[0] == b"helloabc"
    for pieces in ([wire], each_byte(wire)):
        body, _, decoder = decode(pieces, 7)
        assert (body, named(decoder.problem)) == (b"hello", "body_too_large")
    assert decode([b"fffffffffffffff\r\n"], 2**62)[2].problem == 0
    assert named(decode([b"fffffffffffffff\r\n"], 2**59)[2].problem) == "body_too_large"
    assert named(decode([b"1\r\na\r\n"], 0)[2].problem) == "body_too_large"
    assert decode([b"0\r\n\r\n"], 0)[2].done


def test_a_decoder_is_used_again():
    """After a body, or a refusal, the next message starts afresh."""
    decoder = ChunkedDecoder()
    for wire in (
        b"5\r\nhello\r\n0\r\nA: b\r\n\r\n",
        b"zz",
        b"3\r\nabc\r\n0\r\n\r\n",
        b"2\r\nab",
        b"1\r\nx\r\n0\r\n\r\n",
    ):
        decoder.start(-1)
        consumed, body = take(decoder, bytearray(wire))
    assert (consumed, body, decoder.done, decoder.body_bytes) == (len(wire), b"x", True, 1)


def test_decoded_bytes_lie_together_in_the_data():
    """Several chunks in one piece come out as one run of bytes at body_at."""
    decoder = ChunkedDecoder()
    decoder.start(-1)
    data = bytearray(b"1;x\r\na\r\n2\r\nbc\r\n3\r\nde")
    assert take(decoder, data) == (len(data), b"abcde")
    assert (decoder.body_at, decoder.body_size) == (5, 5)
    assert data[5:10] == b"abcde"


TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
QUOTED = rb'"(?:[^\x00-\x08\x0a-\x1f\x7f"\\]|\\[^\x00-\x08\x0a-\x1f\x7f])*"'
EXTENSION = rb";[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (TOKEN, TOKEN, QUOTED)
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})((?:%b(?:[ \t]*%b)*)?)\r\n" % (EXTENSION, EXTENSION))
"""RFC 9112 section 7.1.1, but for white space before the first semicolon, which is refused."""


def model(wire: bytes) -> tuple[bytes, int] | None:
    """Body and size of a chunked message by regular expressions on the whole of it; None when it is none."""
    body, at, extensions = b"", 0, 0
    while True:
        line = CHUNK_LINE.match(wire, at)
        if line is None or len(line[2] or b"") > 256:
            return None
        extensions += len(line[2] or b"")
        if extensions > 4096:
            return None
        at, size = line.end(), int(line[1], 16)
        if size == 0:
            break
        if wire[at + size : at + size + 2] != b"\r\n":
            return None
        body, at = body + wire[at : at + size], at + size + 2
    trailer = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n").match(wire, at)
    return (body, trailer.end()) if trailer else None


CHUNKS = st.lists(
    st.tuples(st.binary(min_size=1, max_size=40), st.sampled_from([b"", b";a", b';b="c"', b'; b = "\\"" ;c'])),
    max_size=6,
)


def encode(chunks: list[tuple[bytes, bytes]], trailer: bytes) -> bytes:
    return (
        b"".join(b"%x%s\r\n%s\r\n" % (len(data), extension, data) for data, extension in chunks)
        + b"0\r\n"
        + trailer
        + b"\r\n"
    )


@settings(max_examples=examples(400), deadline=None)
@given(
    CHUNKS,
    st.sampled_from([b"", b"A: b\r\n", b"A: b\r\nC:\r\n"]),
    st.binary(max_size=20),
    st.lists(st.integers(1, 30), max_size=30),
)
def test_any_body_in_any_pieces(chunks, trailer, rest, sizes):
    """Any body, in any pieces, with anything behind it, is decoded whole and ends where it ends."""
    wire = encode(chunks, trailer)
    pieces, at = [], 0
    for size in sizes:
        pieces.append((wire + rest)[at : at + size])
        at += size
    pieces.append((wire + rest)[at:])
    body, consumed, decoder = decode([piece for piece in pieces if piece])
    assert (body, consumed, decoder.done) == (b"".join(data for data, _ in chunks), len(wire), True)


@settings(max_examples=examples(600), deadline=None)
@given(
    CHUNKS,
    st.sampled_from([b"", b"A: b\r\n"]),
    st.integers(0, 200),
    st.sampled_from(b'\r\n\t 0;:aF="\\/\x00\xff\x7f'),
    st.booleans(),
)
def test_a_mutated_body_agrees_with_the_model(chunks, trailer, at, byte, insert):
    """With one byte changed or put in anywhere, the decoder accepts exactly what the model accepts."""
    wire = encode(chunks, trailer)
    at %= len(wire)
    wire = wire[:at] + bytes([byte]) + wire[at + (not insert) :]
    expected = model(wire)
    for pieces in ([wire], each_byte(wire)):
        body, consumed, decoder = decode(pieces)
        assert ((body, consumed) if decoder.done else None) == expected
