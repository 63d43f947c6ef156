"""Which failures say something about an endpoint, and which requests it is tried with."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from lbjwt.upstream._retry import RetryRule
from tests.playbooks.messages import OK, SWITCH, UPGRADE
from tests.playbooks.stage import Client, Server, Stage, request

CONNECT_FAILURES, TIMEOUTS = 1, 2
POST = request("POST", "/", "Content-Length: 2", body=b"hi")


def state(stage: Stage, at: int = 0) -> dict[str, Any]:
    """What all workers know of an endpoint."""
    return stage.board.endpoint_states.read(at)


def is_held(stage: Stage, at: int = 0) -> bool:
    """It gets no request now: it is ejected, or one request tries it."""
    return state(stage, at)["ejected_until"] > time.monotonic()


def put_on_trial(stage: Stage, cause: int, at: int = 0, *, since: float = 0.02) -> None:
    """An endpoint was ejected for that cause, and its time has been over for so many seconds."""
    stage.board.endpoint_states.set(at, "on_trial", 1 + cause)
    stage.board.endpoint_states.set(at, "ejections_in_row", 1)
    stage.board.endpoint_states.set(at, "ejected_until", time.monotonic() - since)


def number_of(server: Server) -> int:
    return server.stage.endpoints.index(server.endpoint)


# --- the deadline of a route ------------------------------------------------------------------------------------------


def test_a_deadline_that_the_queue_used_up_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The endpoint had the request for a moment of its deadline: no failure is counted, and none is logged."""
    stage = Stage(max_connections=1, retry=RetryRule(timeout=0.3))
    first, second = stage.client(), stage.client()
    with caplog.at_level(logging.INFO, "lbjwt.endpoints"):
        first.sends(request())
        second.sends(request("GET", "/second"))
        time.sleep(0.2)
        stage.server().sends(OK)
        assert stage.server().take().endswith(b"\r\n\r\n") and second.take() == b""
        time.sleep(0.11)
        stage.context.expire()
    assert second.take().startswith(b"HTTP/1.1 504 ")
    assert state(stage)["consecutive"] == [0, 0, 0, 0]
    assert stage.board.endpoint_totals(0)["failures"] == 0 and caplog.messages == []


def test_a_deadline_that_one_endpoint_used_up_is_its_timeout() -> None:
    """It had the request from the first to the last moment."""
    stage = Stage(retry=RetryRule(timeout=0.0))
    client = stage.client()
    client.sends(request())
    stage.server()
    stage.context.expire()
    assert client.take().startswith(b"HTTP/1.1 504 ")
    assert state(stage)["consecutive"][TIMEOUTS] == stage.board.endpoint_totals(0)["failures"] == 1


# --- connecting under a deadline --------------------------------------------------------------------------------------


def connecting(stage: Stage, data: bytes | None = None) -> tuple[Client, Server]:
    """A client whose request waits for a connection to endpoint 0, and that connection."""
    client = stage.client()
    client.sends(data or request())
    (server,) = stage.opened
    assert number_of(server) == 0
    return client, server


@pytest.mark.parametrize("data", [request(), POST], ids=["GET", "POST"])
def test_connecting_takes_half_of_the_deadline_at_most(data: bytes) -> None:
    """Then the request goes to another endpoint; the connection is still being opened, and its outcome is the verdict."""
    stage = Stage(endpoints=2, retry=RetryRule(timeout=0.3))
    client, silent = connecting(stage, data)
    stage.context.expire()
    assert len(stage.opened) == 1
    time.sleep(0.16)
    stage.context.expire()
    assert len(stage.opened) == 2 and not silent.is_gone() and not is_held(stage)
    stage.server().sends(OK)
    assert client.take() == OK
    silent.refuses()
    assert state(stage)["ejections"][CONNECT_FAILURES] == 1


def test_without_another_endpoint_connecting_may_take_all_of_the_deadline() -> None:
    """Half of it is over: there is nothing better to do than to wait."""
    stage = Stage(retry=RetryRule(timeout=0.1))
    client, server = connecting(stage)
    time.sleep(0.06)
    stage.context.expire()
    stage.server().sends(OK)
    assert client.take() == OK and stage.opened == [server]


def test_a_route_that_sends_nothing_elsewhere_waits_as_well() -> None:
    """`on` without connect_failure."""
    stage = Stage(endpoints=2, retry=RetryRule(timeout=0.1, on=["reset"]))
    client, server = connecting(stage)
    time.sleep(0.06)
    stage.context.expire()
    stage.server().sends(OK)
    assert client.take() == OK and stage.opened == [server]


@pytest.mark.parametrize("leaves", ["share", "client", "deadline"])
def test_the_connection_of_a_trial_ends_the_trial(leaves: str) -> None:
    """Its request left: no other one tries the silent endpoint until the connection has failed, which ejects it again."""
    stage = Stage(endpoints=2, retry=RetryRule(timeout=0.0 if leaves == "deadline" else 0.1))
    put_on_trial(stage, CONNECT_FAILURES)
    client, silent = connecting(stage)
    if leaves == "client":
        client.lose()
    else:
        time.sleep(0.06 if leaves == "share" else 0.0)
        stage.context.expire()
    assert is_held(stage)
    before = state(stage)["ejections"][CONNECT_FAILURES]
    silent.refuses()
    assert is_held(stage) and state(stage)["ejections"][CONNECT_FAILURES] == before + 1
    client.lose()


def test_a_connection_that_outlived_its_trial_hands_it_on() -> None:
    """It is open in the end: the next request tries the endpoint, on this connection."""
    stage = Stage()
    put_on_trial(stage, TIMEOUTS)
    client, slow = connecting(stage)
    client.lose()
    assert is_held(stage)
    stage.server()
    assert not is_held(stage)
    client = stage.client()
    client.sends(request())
    assert slow.take().startswith(b"GET ")
    slow.sends(OK)
    assert client.take() == OK and state(stage)["on_trial"] == 0


# --- what says nothing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_reset_of_an_idle_connection_is_no_failure(method: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither for the success rate nor for the log, whether the request may be sent again or not."""
    stage = Stage()
    client = stage.client()
    with caplog.at_level(logging.INFO, "lbjwt.endpoints"):
        client.sends(request())
        stage.server().sends(OK)
        client.sends(request(method, "/", "Content-Length: 0"))
        stage.opened[0].lose(ConnectionResetError())
        if method == "GET":
            stage.server(1).sends(OK)
    assert stage.board.endpoint_totals(0)["failures"] == 0 and caplog.messages == []
    assert stage.cluster.ejector.results([0]) == [(2, 2) if method == "GET" else (1, 1)]


def test_the_end_of_a_websocket_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """However it ends."""
    stage = Stage()
    client = stage.client()
    with caplog.at_level(logging.INFO, "lbjwt.endpoints"):
        client.sends(request("GET", "/", *UPGRADE))
        stage.server().sends(SWITCH)
        stage.server().lose(ConnectionResetError())
    assert stage.board.endpoint_totals(0)["failures"] == 0 and caplog.messages == []


# --- trials -----------------------------------------------------------------------------------------------------------


def test_a_post_tries_no_endpoint_while_another_is_usable() -> None:
    """A failed trial would be its client's error; the next GET tries the endpoint."""
    stage = Stage(endpoints=2)
    put_on_trial(stage, TIMEOUTS)
    for _ in range(3):
        stage.client().sends(POST)
    assert [number_of(server) for server in stage.opened] == [1, 1, 1] and not is_held(stage)
    stage.client().sends(request())
    assert number_of(stage.opened[-1]) == 0 and is_held(stage)


@pytest.mark.parametrize(
    ("endpoints", "cause", "since"),
    [(1, TIMEOUTS, 0.02), (2, TIMEOUTS, 1.1), (2, CONNECT_FAILURES, 0.02)],
    ids=["no other", "no GET for a second", "connecting costs nothing"],
)
def test_a_post_tries_an_endpoint_when_it_has_to(endpoints: int, cause: int, since: float) -> None:
    """A service that gets nothing but POST has its endpoint back as well."""
    stage = Stage(endpoints=endpoints)
    put_on_trial(stage, cause, since=since)
    client = stage.client()
    client.sends(POST)
    assert number_of(stage.opened[0]) == 0
    stage.server().sends(OK)
    assert client.take() == OK and state(stage)["on_trial"] == 0
