"""A WebSocket while the worker stops: a Close frame 1001 between two frames; the reply goes on to the endpoint. RFC 6455 section 5.5."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.playbooks.messages import SWITCH, UPGRADE
from tests.playbooks.stage import AUTH, Client, Server, Stage, request
from tests.playbooks.tls_stage import TlsStage, Turns

GOING_AWAY = b"\x88\x02\x03\xe9"
HELLO = b"\x81\x05hello"
LONG = b"\x82\x7e\x01\x2c" + b"x" * 300
CLOSE = b"\x88\x02\x03\xe8"
REPLY = b"\x88\x82abcd" + bytes(a ^ b for a, b in zip(b"\x03\xe9", b"ab", strict=True))
"""The Close frame of a client, masked."""


@pytest.fixture(params=["whole", "byte by byte", "TLS"])
def stage(request: pytest.FixtureRequest, files: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    pieces = 1 if "byte" in request.param else None
    turns = Turns()
    if "TLS" in request.param:
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: turns)
    make: Callable[[], Stage] = lambda: (  # noqa: E731
        TlsStage(turns, files, pieces) if "TLS" in request.param else Stage(pieces)
    )
    stage = make()
    yield stage
    turns.turn()
    assert stage.totals["in_flight"] == 0, "an exchange was not finished"


def opened(stage: Stage) -> tuple[Client, Server]:
    """A WebSocket over which the endpoint has said hello."""
    client = stage.client()
    client.sends(request("GET", "/", *UPGRADE, auth=AUTH))
    server = stage.server()
    server.take()
    server.sends(SWITCH + HELLO)
    assert client.take().endswith(b"\r\n\r\n" + HELLO)
    return client, server


def ends(client: Client, server: Server) -> None:
    """The closing handshake: the client's reply reaches the endpoint, which ends its side."""
    client.sends(REPLY)
    assert server.take() == REPLY
    server.sends(CLOSE)
    server.ends()
    assert client.take() == b""
    client.ends()
    assert client.is_gone() or client.transport.ended
    client.lose()
    server.lose()


def test_a_quiet_websocket_is_told_at_once(stage: Stage) -> None:
    """The Close frame comes at once, and nothing of the endpoint behind it."""
    client, server = opened(stage)
    stage.context.drain(1.0)
    assert client.take() == GOING_AWAY
    server.sends(HELLO)
    assert client.take() == b"" and not client.is_gone()
    ends(client, server)


@pytest.mark.parametrize("begun", [1, 2, 3, 4, 5, 150, len(LONG) - 1])
def test_never_in_the_middle_of_a_frame(stage: Stage, begun: int) -> None:
    """With a frame under way the Close frame waits for its end; the frame behind it, sent in the same breath, is dropped."""
    client, server = opened(stage)
    server.sends(LONG[:begun])
    stage.context.drain(1.0)
    assert client.take() == LONG[:begun]
    server.sends(LONG[begun:] + HELLO)
    assert client.take() == LONG[begun:] + GOING_AWAY
    ends(client, server)


def test_an_endpoint_that_closes_itself_is_not_interrupted(stage: Stage) -> None:
    """Behind the Close frame of the endpoint there is no second one, begun or sent before the drain."""
    client, server = opened(stage)
    server.sends(CLOSE[:3])
    stage.context.drain(1.0)
    server.sends(CLOSE[3:])
    assert client.take() == CLOSE
    client.sends(REPLY)
    assert server.take() == REPLY
    server.ends()
    client.ends()
    client.lose()
    server.lose()


def test_a_websocket_that_opens_during_the_drain_is_told(stage: Stage) -> None:
    """Its 101 was under way: the client learns it with the first place for a frame."""
    client = stage.client()
    client.sends(request("GET", "/", *UPGRADE, auth=AUTH))
    server = stage.server()
    server.take()
    stage.context.drain(1.0)
    server.sends(SWITCH)
    got = client.take()
    assert got.startswith(b"HTTP/1.1 101 ") and got.endswith(b"\r\n\r\n" + GOING_AWAY)
    ends(client, server)


def test_once_is_enough(stage: Stage) -> None:
    """A second look of the drain says nothing again."""
    client, server = opened(stage)
    stage.context.drain(1.0)
    stage.context.drain(1.0)
    assert client.take() == GOING_AWAY
    ends(client, server)


def test_what_is_no_stream_of_frames_keeps_its_time(stage: Stage) -> None:
    """An endpoint that masks its frames breaks the protocol: nothing is put between its bytes."""
    client, server = opened(stage)
    server.sends(b"\x81\x85abcdhello")
    client.take()
    stage.context.drain(1.0)
    server.sends(b"more")
    assert client.take() == b"more" and not client.is_gone()
    server.ends()
    client.ends()
    client.lose()
    server.lose()
