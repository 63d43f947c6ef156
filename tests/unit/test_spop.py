"""Numbers, hellos and questions of SPOP, against a second implementation (tests.harness.spop)."""

from __future__ import annotations

import ipaddress

import pytest

from lbjwt.spop._frames import SpopStatus, hello_to, number_of, number_text
from lbjwt.spop._question import described
from tests.harness.spop import hello, notify, pairs, question, text, varint

TABLE = {  # SPOE.txt section 3.1: the ends of each length
    0: 1, 239: 1, 240: 2, 2287: 2, 2288: 3, 264431: 3, 264432: 4, 33818863: 4, 33818864: 5, 4328786159: 5, 4328786160: 6, 2**64 - 1: 10,
}  # fmt: skip


def payload(frame: bytes) -> bytes:
    """What stands behind length, type, flags and the two numbers, of one byte each."""
    return frame[11:]


@pytest.mark.parametrize(("value", "size"), TABLE.items())
def test_numbers_have_the_lengths_of_the_specification(value, size):
    written = number_text(value)
    assert len(written) == size
    assert written == varint(value)
    assert number_of(written + b"\xff") == (value, size)
    assert [number_of(written[:cut]) for cut in range(size)] == [None] * size


def test_a_number_without_end_is_none():
    assert number_of(b"\xff" * 40) is None


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, SpopStatus.NORMAL),
        ({"supported_versions": "3.0, 2.1", "healthcheck": False}, SpopStatus.NORMAL),
        ({"capabilities": ""}, SpopStatus.NORMAL),
        ({"supported_versions": "1.2,3.0"}, SpopStatus.UNSUPPORTED_VERSION),
        ({"supported_versions": "12.0"}, SpopStatus.UNSUPPORTED_VERSION),
        ({"supported_versions": None}, SpopStatus.NO_VERSION),
        ({"supported_versions": 2}, SpopStatus.INVALID),
        ({"max_frame_size": None}, SpopStatus.NO_MAX_FRAME_SIZE),
        ({"max_frame_size": 255}, SpopStatus.BAD_MAX_FRAME_SIZE),
        ({"max_frame_size": 2**40}, SpopStatus.BAD_MAX_FRAME_SIZE),
        ({"max_frame_size": "256"}, SpopStatus.INVALID),
        ({"capabilities": None}, SpopStatus.NO_CAPABILITIES),
    ],
)
def test_a_hello_is_accepted_or_says_what_is_wrong(changes, status):
    assert hello_to(payload(hello(**changes)))[0] == status


def test_a_hello_says_how_large_frames_may_be_and_what_it_is_for():
    assert hello_to(payload(hello(max_frame_size=256, healthcheck=True)))[1:] == (256, True)
    assert hello_to(payload(hello()))[1:] == (16380, False)


def test_a_question_becomes_a_head_with_its_client_and_scheme():
    asked = question(("authorization", "Bearer a.b.c"), ("cookie", "a=1"), method="POST", target="/orders?page=2")
    head = b"POST /orders?page=2 HTTP/1.1\r\nhost: api.example\r\nauthorization: Bearer a.b.c\r\ncookie: a=1\r\n\r\n"
    assert described(payload(notify(asked))) == (head, bytes([192, 0, 2, 1]), False)
    there = ipaddress.ip_address("2001:db8::1")
    assert described(payload(notify(question(client="2001:db8::1", https=True))))[1:] == (there.packed, True)


def test_a_client_on_a_unix_socket_has_no_address():
    assert described(payload(notify(question() | {"client": None})))[1] == b""


def test_other_arguments_mean_nothing():
    assert described(payload(notify(question() | {"id": "abc", "n": 7}))) == described(payload(notify(question())))


def test_what_is_the_proxys_own_is_left_out():
    own = [
        ("content-length", "7"),
        ("Transfer-Encoding", "chunked"),
        ("connection", "x"),
        ("upgrade", "h2c"),
        ("expect", "100-continue"),
    ]
    assert described(payload(notify(question(*own)))) == described(payload(notify(question())))


@pytest.mark.parametrize("name", ["method", "target", "headers", "client", "https"])
def test_every_argument_has_to_come_once_and_be_of_its_type(name):
    """A sample that HAProxy does not have comes as null, and what was not described cannot be judged."""
    asked = question()
    assert described(payload(notify({key: value for key, value in asked.items() if key != name}))) is None
    assert described(payload(notify(asked | {name: 7}))) is None
    if name != "client":
        assert described(payload(notify(asked | {name: None}))) is None
    twice = text("check") + b"\x06" + pairs(asked) + pairs({name: asked[name]})
    assert described(twice) is None


def test_two_messages_are_two_questions_and_are_refused():
    assert described(payload(notify(question())) * 2) is None


@pytest.mark.parametrize("headers", [
    b"", text("host") + text("a"), text("host") + text("a") + b"\0", b"\0\x01a", b"\0\0\0\0", text("a b") + text("c") + b"\0\0",
    text("a") + text("b\r\nc: d") + b"\0\0", text("a") + text("b\0") + b"\0\0", text("") + text("b") + b"\0\0",
])  # fmt: skip
def test_a_list_of_headers_has_an_end_and_no_header_ends_its_line_or_its_name(headers):
    assert described(payload(notify(question(headers=headers)))) is None


@pytest.mark.parametrize(
    ("method", "target"), [("", "/"), ("GET ", "/"), ("GET", ""), ("GET", "/ b"), ("GET", "/\r\na: b"), ("GET", "/#")]
)
def test_a_request_line_has_two_spaces(method, target):
    assert described(payload(notify(question(method=method, target=target)))) is None


def test_no_part_of_a_question_is_a_question():
    """Every cut is refused, and a byte that is another one is read by nobody beyond the end."""
    whole = payload(notify(question(("authorization", "Bearer a"))))
    assert [cut for cut in range(len(whole)) if described(whole[:cut]) is not None] == []
    for at in range(len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            described(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
