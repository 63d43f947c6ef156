"""What a client does to its own request says nothing about the endpoint: a slow upload, a response that is not read, a trial that stalls."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.playbooks.ejection_stage import state
from tests.playbooks.messages import OK
from tests.playbooks.stage import Client, Server, Stage, request, response

TIMEOUTS, RESETS = 2, 3
PATIENCE = 0.52  # seconds: a little more than lbjwt lets pass before an end may be the client's doing
UPLOAD = request("POST", "/", "Content-Length: 5000", body=b"a")


def dies(server: Server) -> None:
    server.lose(ConnectionResetError())


def gives_up(server: Server) -> None:
    server.ends()


def counted(stage: Stage) -> tuple[int, int]:
    """Resets in a row, and failures for the success rate."""
    return state(stage)["consecutive"][RESETS], stage.board.endpoint_totals(0)["failures"]


def uploads(stage: Stage) -> Client:
    """A client that sent one byte of its body."""
    client = stage.client()
    client.sends(UPLOAD)
    return client


def downloads(stage: Stage) -> Client:
    """A client that stopped reading the response, so that the endpoint is not read any more."""
    client = stage.client()
    client.sends(request())
    server = stage.server()
    server.sends(response("200 OK", "Content-Length: 5000", body=b"a"))
    client.side.pause_writing()
    assert server.is_paused()
    return client


# --- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", [dies, gives_up])
def test_an_endpoint_that_gives_up_a_stalled_upload_has_not_failed(ends: Callable[[Server], None]) -> None:
    """The client sent one byte of 5,000 and stopped, or sends one now and then: it gets 502, and nothing counts."""
    stage = Stage(endpoints=2)
    stalled, trickling = uploads(stage), uploads(stage)
    assert [stage.server(at).endpoint.row for at in (0, 1)] == [0, 1]
    time.sleep(PATIENCE)
    trickling.sends(b"b")
    for at, client in enumerate([stalled, trickling]):
        ends(stage.server(at))
        assert client.take().startswith(b"HTTP/1.1 502 ")
        assert state(stage, at)["consecutive"] == [0, 0, 0, 0] and stage.board.endpoint_totals(at)["failures"] == 0


def test_an_endpoint_that_gives_up_a_client_that_does_not_read_has_not_failed() -> None:
    """While the client still does not read, after it read on, and when the pauses add up."""
    stage = Stage()
    clients = [downloads(stage) for _ in range(3)]
    time.sleep(PATIENCE / 2)
    clients[2].side.resume_writing()
    clients[2].side.pause_writing()
    time.sleep(PATIENCE / 2)
    clients[1].side.resume_writing()
    for at, client in enumerate(clients):
        dies(stage.server(at))
        client.lose()
    assert counted(stage) == (0, 0)


@pytest.mark.parametrize("ends", [dies, gives_up])
def test_an_endpoint_that_ends_at_once_has_failed(ends: Callable[[Server], None]) -> None:
    """Nobody gave it a reason: neither an upload that is under way nor a pause of a moment excuses it."""
    stage = Stage()
    for begins in (uploads, downloads):
        client = begins(stage)
        ends(stage.server())
        client.lose()
    assert counted(stage) == (2, 2)


def test_an_endpoint_that_does_not_take_an_upload_has_failed() -> None:
    """The client would send on, but the endpoint reads nothing, and resets in the end."""
    stage = Stage()
    client = uploads(stage)
    stage.server().side.pause_writing()
    time.sleep(PATIENCE)
    dies(stage.server())
    assert client.take().startswith(b"HTTP/1.1 502 ") and counted(stage) == (1, 1)


# --- trials -----------------------------------------------------------------------------------------------------------


def on_trial(cause: int, endpoints: int = 1) -> Stage:
    """Endpoint 0 was ejected for that cause, and its time is over."""
    stage = Stage(endpoints=endpoints)
    stage.board.endpoint_states.set(0, "on_trial", 1 + cause)
    stage.board.endpoint_states.set(0, "ejected_until", time.monotonic() - 0.02)
    return stage


def is_held(stage: Stage) -> bool:
    return state(stage)["ejected_until"] > time.monotonic()


@pytest.mark.parametrize("cause", range(4))
def test_an_upload_under_way_tries_no_endpoint_at_first(cause: int) -> None:
    """Whatever the cause was, as the client may stop at any time: it goes to the other one, and a whole request tries the endpoint."""
    stage = on_trial(cause, endpoints=2)
    uploads(stage)
    assert stage.server().endpoint.row == 1 and not is_held(stage)
    stage.client().sends(request())
    assert stage.server().endpoint.row == 0 and is_held(stage)


def test_a_trial_whose_upload_stalls_goes_to_the_next_request() -> None:
    """It does not keep the endpoint out for as long as a connect and a response may take; what becomes of the upload says nothing bad."""
    stage = on_trial(TIMEOUTS)
    stalled = uploads(stage)
    first = stage.server()
    stage.context.expire()
    assert is_held(stage)
    time.sleep(PATIENCE)
    stage.context.expire()
    assert not is_held(stage) and state(stage)["on_trial"]
    client = stage.client()
    client.sends(request())
    assert is_held(stage)
    dies(first)
    assert stalled.take().startswith(b"HTTP/1.1 502 ") and is_held(stage)
    assert state(stage)["ejections"] == [0, 0, 0, 0, 0]
    stage.server().sends(OK)
    assert client.take() == OK and not state(stage)["on_trial"]


def test_a_slow_upload_puts_its_endpoint_back_all_the_same() -> None:
    """A service that gets nothing but slow uploads has its endpoint back as well: the response is good."""
    stage = on_trial(TIMEOUTS)
    client = uploads(stage)
    stage.server()
    time.sleep(PATIENCE)
    stage.context.expire()
    client.sends(b"a" * 4999)
    stage.server().sends(OK)
    assert client.take() == OK and not state(stage)["on_trial"]
