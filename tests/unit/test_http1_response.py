"""Response heads: the corpus whole, in every segmentation and with bytes behind it; what is written for the client."""

from __future__ import annotations

import itertools
import random

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbjwt.http1._request import Method, Parse
from lbjwt.http1._response import Body, ResponseHead
from tests.corpus.http1_responses import CASES, SWITCH, Case, head
from tests.harness.examples import examples
from tests.unit.http1_readers import Fields, named, response_by_httptools

NEVER_SENT_ON = {
    *(b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"te", b"trailer", b"upgrade"),
}
FRAMING = {b"connection", b"content-length", b"transfer-encoding"}


def feed(response: ResponseHead, wire: bytes | memoryview, request: str, seen: int = 0) -> Parse:
    method, _, upgrade = request.partition("+")
    return Parse(int(response.parse_bytes(wire, Method[method], upgrade_asked=bool(upgrade), seen=seen)))


def reading(response: ResponseHead, answer: Parse) -> object:
    if answer != Parse.COMPLETE:
        return named(response.problem)
    return Body(int(response.body)).name, response.content_length, response.keep_alive


def read(wire: bytes | memoryview, request: str = "GET", seen: int = 0) -> object:
    response = ResponseHead()
    return reading(response, feed(response, wire, request, seen))


def parse(wire: bytes, request: str = "GET") -> ResponseHead:
    response = ResponseHead()
    assert feed(response, wire, request) == Parse.COMPLETE, response.problem
    return response


def read_by_h11(wire: bytes, request: str) -> tuple[int, bytes, Fields]:
    connection = h11.Connection(h11.CLIENT)
    asked = [("Host", "a"), *([("Connection", "upgrade"), ("Upgrade", "websocket")] if "upgrade" in request else [])]
    connection.send(h11.Request(method=request.partition("+")[0], target="/", headers=asked))
    connection.send(h11.EndOfMessage())
    connection.receive_data(wire)
    event = connection.next_event()
    assert isinstance(event, (h11.Response, h11.InformationalResponse))
    return event.status_code, event.reason, list(event.headers)


def sent_on(wire: bytes, request: str = "GET", **options) -> Fields:
    """The fields of the head written for `wire`; h11 and httptools have to read it alike."""
    written = parse(wire, request).write_bytes(**options)
    by_h11 = read_by_h11(written, request)
    assert by_h11 == response_by_httptools(written)
    return by_h11[2]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_corpus_is_read_as_stated(case: Case):
    """Each case of the corpus is read, or refused, as is written beside it, whatever follows the head."""
    assert read(case.wire, case.request) == case.reading
    for rest in (b"hello", b"HTTP/1.1 200 OK\r\n\r\n", b"\x00\r\n\r\n"):
        response = ResponseHead()
        answer = feed(response, case.wire + rest, case.request)
        assert reading(response, answer) == case.reading
        if answer == Parse.COMPLETE:
            assert response.size == len(case.wire)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_reading_does_not_depend_on_segmentation(case: Case):
    """Byte by byte and in every two parts the reading of the whole comes."""
    response, view = ResponseHead(), memoryview(case.wire)
    answer, seen = Parse.NEED_MORE, 0
    for size in range(1, len(view) + 1):
        answer = feed(response, view[:size], case.request, seen)
        if answer != Parse.NEED_MORE:
            break
        seen = size
    assert reading(response, answer) == case.reading
    step = max(1, len(view) // 400)
    for first in itertools.chain(range(1, len(view), step), range(max(1, len(view) - 10), len(view))):
        response = ResponseHead()
        answer = feed(response, view[:first], case.request)
        if answer == Parse.NEED_MORE:
            assert read(view, case.request, first) == case.reading, first
        else:
            assert reading(response, answer) == case.reading, first


def test_nothing_depends_on_the_heads_before():
    """Heads of the corpus in random orders through one ResponseHead are read and written as each is alone."""

    def outcome(response: ResponseHead, case: Case) -> object:
        answer = feed(response, case.wire, case.request)
        if answer != Parse.COMPLETE:
            return answer, response.problem, response.status, response.size
        facts = (response.size, response.status, response.websocket, response.fields())
        return reading(response, answer), facts, response.write_bytes()

    alone = {case.name: outcome(ResponseHead(), case) for case in CASES}
    response = ResponseHead()
    for seed in range(5):
        for case in random.Random(seed).sample(CASES, len(CASES)):
            assert outcome(response, case) == alone[case.name], case.name


@pytest.mark.parametrize(
    "case", [case for case in CASES if not isinstance(case.reading, str)], ids=lambda case: case.name
)
@pytest.mark.parametrize("keep_alive", [False, True])
def test_what_is_written_reads_the_same_everywhere(case: Case, keep_alive: bool):
    """h11 and httptools read the written head alike, and none of the endpoint's hop-by-hop fields is in it."""
    names = [name for name, _ in sent_on(case.wire, case.request, keep_alive=keep_alive)]
    assert not (NEVER_SENT_ON - ({b"upgrade"} if parse(case.wire, case.request).websocket else set())) & set(names)
    assert all(names.count(name) <= 1 for name in FRAMING)


@pytest.mark.parametrize(
    ("wire", "request_", "http10", "keep_alive", "framing"),
    [
        (head(b"Content-Length: 005"), "GET", False, True, [(b"content-length", b"5")]),
        (head(b"Content-Length: 5"), "GET", False, False, [(b"content-length", b"5"), (b"connection", b"close")]),
        (head(b"Content-Length: 5"), "GET", True, True, [(b"content-length", b"5"), (b"connection", b"keep-alive")]),
        (head(b"Content-Length: 5"), "HEAD", False, True, [(b"content-length", b"5")]),
        (head(b"Transfer-Encoding: chunked"), "HEAD", False, True, []),
        (head(b"Transfer-Encoding: chunked"), "GET", False, True, [(b"transfer-encoding", b"chunked")]),
        (head(b"Transfer-Encoding: chunked"), "GET", True, True, [(b"connection", b"close")]),
        (head(), "GET", False, True, [(b"transfer-encoding", b"chunked")]),
        (head(), "GET", True, True, [(b"connection", b"close")]),
        (head(b"Content-Length: 9", start=b"HTTP/1.1 204 No Content"), "GET", False, True, []),
        (
            head(b"Content-Length: 9", start=b"HTTP/1.1 304 Not Modified"),
            "GET",
            False,
            True,
            [(b"content-length", b"9")],
        ),
        (head(b"Content-Length: 9", start=b"HTTP/1.1 100 Continue"), "POST", False, False, []),
        (SWITCH, "GET+upgrade", False, False, [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]),
    ],
)
def test_framing_is_written_for_the_client(wire, request_, http10, keep_alive, framing):
    """Length, chunked and Connection are ours, by the client's version and what it may do next (RFC 9112 sections 6, 9)."""
    written = parse(wire, request_).write_bytes(http10=http10, keep_alive=keep_alive)
    assert response_by_httptools(written)[2] == framing


def test_fields_keep_their_order_and_values():
    """End-to-end fields come out in order and untouched; hop-by-hop and nominated ones are gone (RFC 9110 section 7.6.1)."""
    wire = head(
        *(
            b"Server: x",
            b"Set-Cookie: a=b",
            b"connection: X-Hop, close",
            b"x-hop: 1",
            b"Set-Cookie: \xe9",
            b"Keep-Alive: timeout=5",
        ),
        *(
            b"Proxy-Authenticate: Basic",
            b"Trailer: a",
            b"TE: b",
            b"Proxy-Connection: c",
            b"Upgrade: h2c",
            b"A_b:",
            b"Content-Length: 1",
        ),
        start=b"HTTP/1.0 404 Nicht  da",
    )
    assert parse(wire).write_bytes() == (
        b"HTTP/1.1 404 Nicht  da\r\nServer: x\r\nSet-Cookie: a=b\r\nSet-Cookie: \xe9\r\nA_b: \r\nContent-Length: 1\r\n\r\n"
    )


def test_facts_of_a_head():
    """Status, websocket and fields are told as they are; the reason phrase is written as it came."""
    response = parse(head(b"Content-Length: 1", start=b"HTTP/1.1 418 I'm a teapot"))
    assert (response.status, response.websocket) == (418, False)
    assert response.write_bytes().startswith(b"HTTP/1.1 418 I'm a teapot\r\n")
    assert parse(head(start=b"HTTP/1.1 200")).write_bytes().startswith(b"HTTP/1.1 200 \r\n")
    assert parse(SWITCH, "GET+upgrade").websocket
    assert parse(head(b"A: b")).fields() == [(b"A", b"b")]


def test_limits_are_the_callers():
    """Each limit holds at its own value and not one byte or line before."""
    wire = head(b"A: b", b"C: d")
    for max_head, max_fields, problem in (
        (len(wire), 2, None),
        (len(wire) - 1, 2, "response_head_too_large"),
        (len(wire), 1, "response_too_many_fields"),
    ):
        response = ResponseHead()
        response.parse_bytes(wire, Method.GET, max_head=max_head, max_fields=max_fields)
        assert named(response.problem) == problem


TOKENS = st.text("abcXYZ019-_.!", min_size=1, max_size=10).map(str.encode)
SPECIAL = sorted(NEVER_SENT_ON | FRAMING | {b"set-cookie", b"x-hop", b"server"})
NAMES = st.one_of(
    TOKENS,
    st.sampled_from(SPECIAL),
    st.sampled_from(SPECIAL).map(bytes.title),
    st.sampled_from(SPECIAL).map(bytes.upper),
)
VALUES = st.one_of(
    st.binary(max_size=30).map(lambda raw: bytes(byte for byte in raw if byte >= 0x20 and byte != 0x7F)),
    st.sampled_from([b"chunked", b"5", b"0", b"close", b"keep-alive, x-hop", b"upgrade", b"websocket"]),
)
LINES = st.lists(st.tuples(NAMES, st.sampled_from([b":", b": ", b":\t "]), VALUES).map(b"".join), max_size=10)


@settings(max_examples=examples(500), deadline=None)
@given(
    status=st.sampled_from([100, 101, 103, 200, 204, 206, 301, 304, 404, 500, 599]),
    version=st.sampled_from([b"1.0", b"1.1"]),
    lines=LINES,
    request_=st.sampled_from(["GET", "HEAD", "POST", "GET+upgrade"]),
    keep_alive=st.booleans(),
)
def test_any_accepted_head_is_rewritten_cleanly(status, version, lines, request_, keep_alive):
    """Whatever head is accepted: read alike by h11 and httptools, forbidden names gone, all others there in order."""
    response = ResponseHead()
    if feed(response, head(*lines, start=b"HTTP/%s %d x" % (version, status)), request_) != Parse.COMPLETE:
        assert response.problem
        return
    written = response.write_bytes(keep_alive=keep_alive)
    code, reason, fields = read_by_h11(written, request_)
    assert (code, reason, fields) == response_by_httptools(written)
    assert (code, reason) == (status, b"x")
    names = [name for name, _ in fields]
    assert not set(names) & (NEVER_SENT_ON - ({b"upgrade"} if response.websocket else set()))
    assert all(names.count(name) <= 1 for name in FRAMING)
    assert not (b"content-length" in names and b"transfer-encoding" in names)
    nominated = {
        option.strip(b" \t").lower()
        for name, value in response.fields()
        if name.lower() == b"connection"
        for option in value.split(b",")
    } - {b"close", b"keep-alive", b"upgrade"}
    plain = [
        (name.lower(), value)
        for name, value in response.fields()
        if name.lower() not in NEVER_SENT_ON | FRAMING | nominated
    ]
    assert [pair for pair in fields if pair[0] not in FRAMING | NEVER_SENT_ON] == plain


@settings(max_examples=examples(300), deadline=None)
@given(st.binary(max_size=200), st.integers(0, 40))
def test_garbage_is_never_trouble(garbage, cut):
    """Any bytes behind any part of a response get a reading, the same one in two pieces as in one."""
    wire = head(b"Content-Length: 5")[:cut] + garbage
    half = len(wire) // 2
    response = ResponseHead()
    answer = feed(response, wire[:half], "GET")
    if answer == Parse.NEED_MORE:
        assert read(wire, seen=half) == read(wire)
    else:
        assert reading(response, answer) == read(wire)


def test_fields_of_ours_are_written_last():
    """Lines handed to `write` stand behind all others, however many there are, and change nothing else."""
    wire = head(b"A: b", b"Content-Length: 0")
    plain = parse(wire).write_bytes()
    for extra in (b"", b"X: y\r\n", b"X: y\r\n" * 2000):
        assert parse(wire).write_bytes(extra=extra) == plain[:-2] + extra + b"\r\n"
