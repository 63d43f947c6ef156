"""Endpoints that break HTTP/2: their request gets 502, nothing they chose reaches the client, and no other request loses anything."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import pytest

from tests.harness.client import Response
from tests.harness.http2_endpoint import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INTERNAL_ERROR,
    MAX_STREAMS,
    PING,
    SETTINGS,
    WINDOW_UPDATE,
    EndpointConnection,
    Script,
    block,
    echo,
    frame,
    goaway,
    reset,
    serving,
)  # fmt: skip
from tests.integration.http2_scene import Http2Scene, http2_scene

OK = block((b":status", b"200"))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http2Scene]:
    """One balancer for all tests of this module."""
    with http2_scene(tmp_path_factory.mktemp("http2")) as made:
        yield made


def headers(stream: int, payload: bytes, end: int = 0) -> bytes:
    """A HEADERS frame with its whole block."""
    return frame(HEADERS, END_HEADERS | end, stream, payload)


def data(stream: int, payload: bytes, end: int = 0) -> bytes:
    """A DATA frame."""
    return frame(DATA, end, stream, payload)


# What the endpoint sends in answer to the POST on stream `at`. None of it is a response.
NO_RESPONSE: dict[str, Callable[[int], bytes]] = {
    "bad_hpack": lambda at: headers(at, b"\xff\xff\xff\xff\xff\xff"),
    "index_of_no_entry": lambda at: headers(at, b"\xbe"),
    "even_stream": lambda at: headers(2, OK, END_STREAM),
    "idle_stream": lambda at: headers(at + 1000, OK, END_STREAM),
    "stream_0": lambda at: headers(0, OK, END_STREAM),
    "data_without_headers": lambda at: data(at, b"x", END_STREAM),
    "no_status": lambda at: headers(at, block((b"x", b"y")), END_STREAM),
    "two_statuses": lambda at: headers(at, OK + OK, END_STREAM),
    "status_of_four_digits": lambda at: headers(at, block((b":status", b"2000")), END_STREAM),
    "status_is_a_word": lambda at: headers(at, block((b":status", b"yes")), END_STREAM),
    "status_101": lambda at: headers(at, block((b":status", b"101")), END_STREAM),
    "status_000": lambda at: headers(at, block((b":status", b"000")), END_STREAM),
    "status_600": lambda at: headers(at, block((b":status", b"600")), END_STREAM),
    "pseudo_of_a_request": lambda at: headers(at, OK + block((b":path", b"/")), END_STREAM),
    "unknown_pseudo": lambda at: headers(at, OK + block((b":evil", b"1")), END_STREAM),
    "pseudo_behind_regular": lambda at: headers(at, block((b"x", b"y"), (b":status", b"200")), END_STREAM),
    "upper_case": lambda at: headers(at, OK + block((b"X-Evil", b"1")), END_STREAM),
    "space_in_name": lambda at: headers(at, OK + block((b"x evil", b"1")), END_STREAM),
    "empty_name": lambda at: headers(at, OK + block((b"", b"1")), END_STREAM),
    "line_end_in_name": lambda at: headers(at, OK + block((b"x: 1\r\nx-evil", b"1")), END_STREAM),
    "line_end_in_value": lambda at: headers(at, OK + block((b"x", b"1\r\nx-evil: 1")), END_STREAM),
    "lf_in_value": lambda at: headers(at, OK + block((b"x", b"1\nx-evil: 1")), END_STREAM),
    "nul_in_value": lambda at: headers(at, OK + block((b"x", b"1\0x-evil")), END_STREAM),
    "connection": lambda at: headers(at, OK + block((b"connection", b"x-evil")), END_STREAM),
    "transfer_encoding": lambda at: headers(at, OK + block((b"transfer-encoding", b"chunked")), END_STREAM),
    "upgrade": lambda at: headers(at, OK + block((b"upgrade", b"x-evil")), END_STREAM),
    "length_and_no_body": lambda at: headers(at, OK + block((b"content-length", b"5")), END_STREAM),
    "two_lengths": lambda at: headers(at, OK + block((b"content-length", b"1"), (b"content-length", b"2"))) + data(at, b"x", END_STREAM),
    "length_is_a_word": lambda at: headers(at, OK + block((b"content-length", b"five"))) + data(at, b"x", END_STREAM),
    "negative_length": lambda at: headers(at, OK + block((b"content-length", b"-1"))) + data(at, b"x", END_STREAM),
    "interims_for_ever": lambda at: headers(at, block((b":status", b"103"))) * 9 + headers(at, OK, END_STREAM),
    "data_behind_an_interim": lambda at: headers(at, block((b":status", b"103"))) + data(at, b"") + headers(at, OK, END_STREAM),
    "interim_that_ends": lambda at: headers(at, block((b":status", b"103")), END_STREAM),
    "head_too_large": lambda at: frame(HEADERS, END_STREAM, at, OK) + frame(CONTINUATION, 0, at, block(*[(b"x", b"v" * 120)] * 125)) * 6
    + frame(CONTINUATION, END_HEADERS, at),
    "too_many_fields": lambda at: headers(at, OK + block(*[(b"x", b"")] * 1500), END_STREAM),
    "continuation_of_nothing": lambda at: frame(CONTINUATION, END_HEADERS, at, OK),
    "block_that_is_interrupted": lambda at: frame(HEADERS, 0, at, OK) + frame(PING, payload=b"12345678"),
    "continuation_flood": lambda at: frame(HEADERS, 0, at, OK) + frame(CONTINUATION, 0, at, b"") * 20_000,
    "push_promise": lambda at: frame(5, END_HEADERS, at, struct.pack(">I", 2) + block((b":path", b"/"))),
    "window_overflow": lambda at: frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", (1 << 31) - 1)),
    "stream_window_overflow": lambda at: frame(WINDOW_UPDATE, 0, at, struct.pack(">I", (1 << 31) - 1)),
    "window_update_of_0": lambda at: frame(WINDOW_UPDATE, 0, at, bytes(4)),
    "settings_of_a_wrong_size": lambda at: frame(SETTINGS, payload=b"12345"),
    "window_setting_too_large": lambda at: frame(SETTINGS, payload=struct.pack(">HI", 4, 1 << 31)),
    "frame_too_large": lambda at: data(at, bytes(20_000)),
    "ping_of_a_wrong_size": lambda at: frame(PING, payload=b"1"),
    "control_flood": lambda at: frame(PING, payload=b"12345678") * 30_000,
    "http1": lambda at: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "reset": lambda at: reset(at, INTERNAL_ERROR),
    "goaway": lambda at: goaway(at, INTERNAL_ERROR),
    "end": lambda at: b"",
}  # fmt: skip


@pytest.mark.parametrize("name", NO_RESPONSE)
def test_what_is_no_response_becomes_502(scene: Http2Scene, name: str) -> None:
    """The POST is sent once, and the next request is answered as if nothing had been."""
    hostile = [True]

    def script(connection: EndpointConnection) -> None:
        if hostile:
            hostile.pop()
            connection.raw(NO_RESPONSE[name](connection.request().stream))
            if name in ("end", "goaway"):
                return
        serving(echo)(connection)

    scene.one.play(script)
    response = scene.ask("/main/x", method="POST", body=b"x")
    assert (response.status, response.is_complete) == (502, True)
    assert response.head is not None
    assert not any(b"evil" in name or b"evil" in value for name, value in response.head.fields)
    assert scene.one.begun == 1
    assert scene.ask("/main/next").body == b"/main/next"


CUT_SHORT: dict[str, Callable[[int], bytes]] = {
    "reset": lambda at: reset(at, INTERNAL_ERROR),
    "reset_without_error": lambda at: reset(at, 0),
    "end": lambda at: b"",
    "too_little": lambda at: data(at, b"", END_STREAM),
    "too_much": lambda at: data(at, b"x" * 200, END_STREAM),
    "pseudo_in_trailers": lambda at: headers(at, block((b":status", b"200")), END_STREAM),
    "trailers_that_do_not_end": lambda at: headers(at, block((b"x", b"1"))),
    "upper_case_in_trailers": lambda at: headers(at, block((b"X-Evil", b"1")), END_STREAM),
    "line_end_in_trailers": lambda at: headers(at, block((b"x", b"1\r\nx-evil: 1")), END_STREAM),
    "broken_connection": lambda at: headers(0, OK),
}


@pytest.mark.parametrize(
    ("name", "length"),
    [(name, length) for name in CUT_SHORT for length in (b"100", None) if length or not name.startswith("too_")],
)
def test_a_response_that_goes_wrong_does_not_look_complete(scene: Http2Scene, name: str, length: bytes | None) -> None:
    """Its head and half of its body came. The client sees that it was cut short, and it is not asked for again."""

    def script(connection: EndpointConnection) -> None:
        at = connection.request().stream
        fields = OK if length is None else OK + block((b"content-length", length))
        connection.raw(headers(at, fields), data(at, b"x" * 50), CUT_SHORT[name](at))
        if name != "end":
            connection.drain()

    scene.one.play(script)
    response = scene.ask("/main/x")
    assert (response.status, response.is_complete) == (200, False)
    assert scene.one.begun == 1


def test_others_on_the_connection_lose_nothing_by_one_bad_stream(scene: Http2Scene) -> None:
    """Nineteen good responses beside one malformed one."""

    def script(connection: EndpointConnection) -> None:
        asked = [connection.request() for _ in range(20)]
        connection.raw(headers(asked[7].stream, OK + block((b"connection", b"close")), END_STREAM))
        for one in asked:
            if one is not asked[7]:
                connection.respond(one.stream, b"good")
        connection.drain()

    scene.one.play(script)
    statuses = sorted(response.status for response in scene.ask_at_once(20))
    assert statuses == [200] * 19 + [502]


# --- connections that do not open


def silent(connection: EndpointConnection) -> None:
    """Says nothing at all."""
    while connection.socket.recv(65536):
        pass


def says(answer: bytes, close: bool = False) -> Script:
    def script(connection: EndpointConnection) -> None:
        connection.socket.recv(65536)
        connection.socket.sendall(answer)
        if not close:
            silent(connection)

    return script


NOT_OPEN: dict[str, tuple[Script, str]] = {
    "http1": (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "it does not speak HTTP/2"),
    "noise": (says(b"220 mail.example ESMTP\r\n" * 10), "it does not speak HTTP/2"),
    "closes": (says(b"", close=True), "it closed the connection instead of opening HTTP/2"),
    "silent": (silent, "no HTTP/2 SETTINGS within 1.5 s"),
    "goaway": (says(goaway(0)), "it does not speak HTTP/2"),
    "no_streams": (says(frame(SETTINGS, payload=struct.pack(">HI", MAX_STREAMS, 0))), "it allows no HTTP/2 stream"),
}


@pytest.mark.parametrize("name", NOT_OPEN)
def test_a_connection_that_does_not_open_costs_no_request(scene: Http2Scene, name: str) -> None:
    """503 as for a refused connect, also for a POST, and the log says what is wrong. No request was sent."""
    script, cause = NOT_OPEN[name]
    scene.one.play(script, None)
    logged = len(scene.balancer.stderr)
    response: Response = scene.ask("/quick/x", method="POST", body=b"x")
    assert response.status == 503
    assert scene.one.begun == 0
    scene.one.play(serving(echo))
    assert scene.ask("/quick/x").status == 200
    line = scene.balancer.stderr[logged:]
    assert cause in line or "fails: " not in line  # an endpoint that fails now and then does not fill the log
