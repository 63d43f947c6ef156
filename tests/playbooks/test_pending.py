"""Requests that find every endpoint full: who waits, who goes next, who is refused. Whole and byte by byte."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from lbjwt._error_reason import ErrorReason
from lbjwt.proxy._client_connection import ClientConnection
from lbjwt.upstream._endpoint import Endpoint
from lbjwt.upstream._retry import RetryRule
from tests.playbooks.stage import Client, Stage, request, response

OK = response("200 OK", "Content-Length: 2", body=b"ok")


@pytest.fixture(params=[None, 1], ids=["whole", "byte by byte"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """One connection to the one endpoint, and room for two that wait."""
    stage = Stage(request.param, max_connections=1, max_pending=2)
    yield stage
    assert (stage.totals["in_flight"], stage.totals["pending"], len(stage.pending)) == (0, 0, 0)
    assert stage.board.endpoint_totals(0)["in_flight"] == 0


def asks(stage: Stage, target: str, method: str = "GET", body: bytes = b"") -> Client:
    """A client whose request is on its way."""
    client = stage.client()
    client.sends(request(method, target, f"Content-Length: {len(body)}", body=body))
    return client


def serves(stage: Stage, target: bytes, client: Client) -> None:
    """The endpoint got this request and answers it, and the client has the response."""
    assert stage.server().take().startswith(b"GET " + target + b" ")
    stage.server().sends(OK)
    assert client.take() == OK
    stage.turn()


def test_who_finds_every_endpoint_full_waits_in_line(stage: Stage) -> None:
    """Requests over max_connections wait, go out on the connection that gets free in the order they came, and none opens another one."""
    clients = [asks(stage, f"/{number}") for number in range(3)]
    assert (stage.totals["pending"], stage.totals["endpoints_full"]) == (2, 2)
    for number, client in enumerate(clients):
        assert client.take() == b""
        serves(stage, b"/%d" % number, client)
    assert len(stage.opened) == 1 and stage.totals["requests"][2] == 3


def test_a_newcomer_does_not_overtake_those_that_wait(stage: Stage) -> None:
    """A request that comes while others wait goes behind them, also when a connection is about to get free."""
    first, second = asks(stage, "/1"), asks(stage, "/2")
    stage.server().take()
    stage.server().sends(response("200 OK", "Connection: close", "Content-Length: 2", body=b"ok"))
    assert first.take().endswith(b"ok")
    first = stage.client()
    first.sends(request("GET", "/3"))  # there is room, but the queue was not asked yet
    assert len(stage.opened) == 1
    stage.turn()
    serves(stage, b"/2", second)
    serves(stage, b"/3", first)


def test_over_max_pending_is_refused_at_once(stage: Stage) -> None:
    """503 with Retry-After for the one too many, and nothing for the others."""
    clients = [asks(stage, f"/{number}") for number in range(4)]
    answer = clients[3].take()
    assert answer.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: " in answer
    assert stage.totals["endpoints_full"] == 3
    for number in range(3):
        serves(stage, b"/%d" % number, clients[number])


def test_after_pending_timeout_it_is_refused() -> None:
    """503 with Retry-After, and the connection goes on."""
    stage = Stage(max_connections=1, pending_timeout=0.0)
    first, second = asks(stage, "/1"), asks(stage, "/2")
    stage.context.expire()
    answer = second.take()
    assert answer.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: " in answer and not second.is_gone()
    serves(stage, b"/1", first)
    second.sends(request("GET", "/3"))
    serves(stage, b"/3", second)
    assert stage.totals["pending"] == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"pending_timeout": 0.0}, b"HTTP/1.1 503 "),
        ({"retry": RetryRule(timeout=0.0)}, b"HTTP/1.1 504 "),
    ],
    ids=["pending_timeout", "route timeout"],
)
def test_no_endpoint_gets_a_request_whose_time_in_the_queue_is_over(options: dict[str, Any], reason: bytes) -> None:
    """A connection gets free before the next walk over the deadlines: the request is refused, and the one behind it is not held up."""
    stage = Stage(max_connections=1, **options)
    first, second = asks(stage, "/1"), asks(stage, "/2")
    serves(stage, b"/1", first)
    assert stage.server().take() == b"" and second.take().startswith(reason)
    assert stage.totals["pending"] == 0


def test_room_that_was_taken_for_nothing_is_given_back() -> None:
    """A fault of ours while a connection is opened ends the client's connection; the next request finds the room."""

    class Exhausted(Stage):
        is_exhausted = True

        def _open(self, endpoint: Endpoint) -> ClientConnection:
            if self.is_exhausted:
                raise MemoryError
            return super()._open(endpoint)

    stage = Exhausted(max_connections=1)
    client = stage.client()
    with pytest.raises(MemoryError):
        client.sends(request("GET", "/1"))
    client.lose()
    assert stage.board.endpoint_states.read(0)["connections"] == 0
    stage.is_exhausted = False
    serves(stage, b"/2", asks(stage, "/2"))


def test_a_client_that_goes_away_leaves_the_queue(stage: Stage) -> None:
    """Its place is free at once, and no endpoint ever sees its request."""
    first, second, third = (asks(stage, f"/{number}") for number in range(3))
    second.ends()
    second.lose()
    assert stage.totals["pending"] == 1
    serves(stage, b"/0", first)
    serves(stage, b"/2", third)


def test_a_connection_on_its_way_out_takes_no_room(stage: Stage) -> None:
    """An endpoint that ends its connections makes room for the next one before the last byte of the old one was sent."""
    first, second = asks(stage, "/1"), asks(stage, "/2")
    stage.server().take()
    stage.server().sends(response("200 OK", "Connection: close", "Content-Length: 2", body=b"ok"))
    assert first.take().endswith(b"ok")
    stage.turn()  # the old connection is not lost yet: nobody told its protocol so
    assert len(stage.opened) == 2 and stage.board.endpoint_totals(0)["connections"] == 1
    serves(stage, b"/2", second)


def test_a_connect_that_fails_wakes_the_queue(stage: Stage) -> None:
    """When the only endpoint cannot be reached, the first one is told so and the next one tries."""
    first, second = asks(stage, "/1"), asks(stage, "/2")
    stage.opened[0].refuses()
    assert first.take().startswith(b"HTTP/1.1 503 ")
    stage.turn()
    serves(stage, b"/2", second)


def test_a_body_waits_with_its_request(stage: Stage) -> None:
    """Nothing of a body that comes while its request waits is read past a bound, and all of it arrives."""
    first = asks(stage, "/1")
    second = stage.client()
    second.sends(request("POST", "/2", "Content-Length: 200000"))
    second.sends(b"b" * 100_000)
    assert second.is_paused()
    serves(stage, b"/1", first)
    second.sends(b"b" * 100_000)
    assert stage.server().take().endswith(b"b" * 100_000)
    stage.server().sends(OK)
    assert second.take() == OK


def test_a_full_endpoint_is_waited_for_rather_than_a_dead_one() -> None:
    """While one endpoint is full and the other could not be reached a moment ago, a request waits for the full one."""
    stage = Stage(endpoints=2, max_connections=1)
    first = asks(stage, "/1")
    stage.opened[0].refuses()  # goes on to the other one
    second = asks(stage, "/2")
    assert len(stage.opened) == 2 and stage.totals["pending"] == 1
    serves(stage, b"/1", first)
    serves(stage, b"/2", second)
    assert len(stage.opened) == 2


def test_the_pool_keeps_what_the_load_used() -> None:
    """Connections that were used at once are all kept for the next wave: none is closed for being one too many."""
    stage = Stage(max_connections=100, max_idle=100)
    for _ in range(2):
        clients = [asks(stage, "/") for _ in range(100)]
        servers = [stage.server(number) for number in range(100)]
        for server in servers:
            server.sends(OK)
        assert all(client.take() == OK for client in clients)
        for client in clients:
            client.lose()
    assert len(stage.opened) == 100
    assert stage.board.endpoint_totals(0)["idle_connections"] == 100


def test_a_connection_that_gets_free_serves_the_request_another_one_is_opened_for(stage: Stage) -> None:
    """A request never waits for a new connection while one that is open could serve it; the new one goes to the pool."""
    stage = Stage(stage.pieces)
    first = asks(stage, "/1")
    stage.server(0).take()
    second = asks(stage, "/2")
    assert len(stage.opened) == 2
    stage.server(0).sends(OK)
    assert first.take() == OK
    assert stage.server(0).take().startswith(b"GET /2 ")
    stage.server(0).sends(OK)
    assert second.take() == OK
    stage.opened[1].connects()
    assert stage.board.endpoint_totals(0)["idle_connections"] == 2 and stage.totals["in_flight"] == 0


def test_a_new_connection_that_nobody_waits_for_any_more_may_fail(stage: Stage) -> None:
    """Its request was served by another one: the failure is the endpoint's, not the request's."""
    stage = Stage(stage.pieces)
    first = asks(stage, "/1")
    second = asks(stage, "/2")
    stage.server(0).sends(OK)
    stage.opened[1].refuses()
    assert first.take() == OK and stage.board.endpoint_totals(0)["failures"] == 1
    stage.server(0).sends(OK)
    assert second.take() == OK


def test_a_request_that_left_is_not_served_by_the_connection_that_gets_free(stage: Stage) -> None:
    """The connection goes to the pool instead."""
    stage = Stage(stage.pieces)
    first, second = asks(stage, "/1"), asks(stage, "/2")
    second.ends()
    second.lose()
    stage.server(0).sends(OK)
    assert first.take() == OK and stage.board.endpoint_totals(0)["idle_connections"] == 1


def test_the_queue_asks_an_endpoint_that_was_unreachable_again() -> None:
    """While the other one is full and nothing happens on it: the request that was refused there, and the one behind it."""
    stage = Stage(endpoints=2, max_connections=1)
    asks(stage, "/full")
    second = asks(stage, "/2")
    stage.server(0)
    stage.opened[1].refuses()
    third = asks(stage, "/3")
    assert (len(stage.opened), stage.totals["pending"]) == (2, 2)
    stage.board.endpoint_states.set(stage.endpoints[1].row, "ejected_until", 0.0)  # a second has passed
    stage.context.expire()
    stage.turn()
    serves(stage, b"/2", second)
    serves(stage, b"/3", third)


def test_all_waiting_of_a_request_counts() -> None:
    """One that an endpoint refused again while it waited does not wait from the beginning."""
    stage = Stage(endpoints=2, max_connections=1, pending_timeout=0.1)
    asks(stage, "/full")
    second = asks(stage, "/2")
    stage.server(0)
    stage.opened[1].refuses()
    answer = b""
    for _ in range(8):
        if answer := second.take():
            break
        time.sleep(0.03)
        opened = len(stage.opened)
        stage.board.endpoint_states.set(stage.endpoints[1].row, "ejected_until", 0.0)
        stage.pending.serve()
        if len(stage.opened) > opened:
            stage.opened[-1].refuses()
    assert answer.startswith(b"HTTP/1.1 503 ") and stage.totals["pending"] == 0
    assert stage.totals["errors"][ErrorReason.PENDING_TIMEOUT] == 1


def test_a_connection_that_is_being_opened_for_nobody_any_more_is_taken_before_another_is_opened(stage: Stage) -> None:
    """Requests that were served by a freed connection leave theirs to the next one: openings never outnumber the requests there were at once."""
    stage = Stage(stage.pieces)
    clients = [asks(stage, "/1"), asks(stage, "/2")]
    stage.server(0)
    for _ in range(5):
        for client in clients:
            stage.server(0).sends(OK)
            assert client.take() == OK
            client.sends(request("GET", "/again"))
    assert len(stage.opened) == 2
    stage.server(0).sends(OK)
    stage.server(0).sends(OK)
    assert stage.totals["in_flight"] == 0


def test_a_freed_connection_goes_to_the_queue_at_once(stage: Stage) -> None:
    """The first of those that wait goes out in the same turn of the loop, which may be long while thousands are served."""
    first, second = asks(stage, "/1"), asks(stage, "/2")
    stage.server().take()
    stage.server().sends(OK)
    assert first.take() == OK
    assert stage.server().take().startswith(b"GET /2 ")
    stage.server().sends(OK)
    assert second.take() == OK


@pytest.mark.parametrize(
    "words",
    [
        {"on_trial": 1, "ejected_until": float("inf")},
        {"check": 2},
        {"weight": 1},
        {"service": 1},
    ],
    ids=["ejected, or tried by another request", "failing", "weight 0", "drained"],
)
def test_the_queue_passes_over_an_endpoint_that_gets_no_new_requests(words: dict[str, float]) -> None:
    """Its connection gets free while requests wait: they wait for the other endpoint."""
    stage = Stage(endpoints=2, max_connections=1)
    first, second, third, fourth = (asks(stage, f"/{number}") for number in range(4))
    one, other = stage.server(0), stage.server(1)
    assert one.take() and other.take() and stage.totals["pending"] == 2
    for name, value in words.items():
        stage.board.endpoint_states.set(0, name, value)
    one.sends(OK)
    stage.turn()
    assert first.take() == OK and one.take() == b"" and len(stage.opened) == 2
    for client, target in ((second, b"/2"), (third, b"/3")):
        other.sends(OK)
        stage.turn()
        assert client.take() == OK and other.take().startswith(b"GET " + target + b" ")
    other.sends(OK)
    assert fourth.take() == OK and one.take() == b""


def test_a_queue_does_not_drain_into_an_endpoint_that_answers_500_at_once() -> None:
    """It gets the five requests that eject it, however many wait."""
    stage = Stage(endpoints=2, max_connections=1, max_pending=40, retries=0)
    for number in range(40):
        asks(stage, f"/{number}")
    bad, good = stage.server(0), stage.server(1)
    errors = 0
    while bad.take():
        errors += 1
        bad.sends(response("500 Internal Server Error", "Content-Length: 0"))
        stage.turn()
    assert errors == 5
    while good.take():
        good.sends(OK)
        stage.turn()
    assert stage.totals["pending"] == stage.totals["in_flight"] == 0


def test_one_waiting_request_tries_an_endpoint_that_was_ejected() -> None:
    """Its time is over, and requests wait: one of them is the trial, and a second one follows after its success only."""
    stage = Stage(endpoints=2, max_connections=2, max_pending=20)
    for number in range(8):
        asks(stage, f"/{number}")
    servers = [stage.server(number) for number in range(4)]
    one, two = (server for server in servers if server.endpoint is stage.endpoints[0])
    assert all(server.take() for server in servers)
    stage.board.endpoint_states.set(0, "on_trial", 1)
    stage.board.endpoint_states.set(0, "ejected_until", time.monotonic() - 1.0)
    one.sends(OK)
    stage.turn()
    two.sends(OK)
    stage.turn()
    assert one.take() and not two.take(), "the first of those that wait is the trial"
    one.sends(OK)
    stage.turn()
    assert stage.board.endpoint_states.read(0)["on_trial"] == 0
    assert one.take() and two.take()


def test_the_last_resort_serves_a_queue_too() -> None:
    """The one endpoint fails its checks, and gets the requests all the same, in their order."""
    stage = Stage(max_connections=1)
    stage.board.endpoint_states.set(0, "check", 2)
    first, second = asks(stage, "/1"), asks(stage, "/2")
    serves(stage, b"/1", first)
    serves(stage, b"/2", second)
