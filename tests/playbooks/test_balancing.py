"""Which endpoint gets the next request: fewest in flight for its weight over all workers, equals in turn, none that is dead or full."""

from collections.abc import Sequence

import pytest

from lbjwt.observe._board import Board
from lbjwt.upstream.balancing.rules import PLAIN, balancing_rule
from tests.playbooks.messages import OK
from tests.playbooks.stage import Client, Stage, request


def counted(stage: Stage, name: str) -> list[int]:
    """A counter of every endpoint, in their order."""
    return [stage.board.endpoint_totals(at)[name] for at in range(len(stage.endpoints))]


def sends(stage: Stage, times: int = 1) -> list[int]:
    """The endpoints that requests of new clients go to; none of them is answered."""
    went = []
    for _ in range(times):
        before = counted(stage, "in_flight")
        stage.client().sends(request())
        for number in range(len(stage.opened)):
            stage.server(number)  # connected
        went += [at for at, now in enumerate(counted(stage, "in_flight")) if now > before[at]]
    return went


def serves(stage: Stage, client: Client, times: int) -> list[int]:
    """How many of so many requests, one after another, each endpoint answers."""
    before = counted(stage, "requests")
    for _ in range(times):
        client.sends(request())
        (server,) = [
            server for number in range(len(stage.opened)) if (server := stage.server(number)).take().startswith(b"GET ")
        ]
        server.sends(OK)
        assert client.take() == OK
    return [now - then for now, then in zip(counted(stage, "requests"), before, strict=True)]


@pytest.mark.parametrize(
    ("weights", "times", "expected"),
    [([1, 1, 1], 60, [20, 20, 20]), ([4, 1, 1], 60, [40, 10, 10]), ([5, 3, 2], 100, [50, 30, 20]), ([7], 5, [5])],
    ids=str,
)
def test_idle_endpoints_take_turns_by_weight(weights: Sequence[int], times: int, expected: list[int]) -> None:
    """With nothing in flight each endpoint gets its share, whichever connections are open."""
    stage = Stage(endpoints=len(weights), weights=weights)
    assert serves(stage, stage.client(), times) == expected


def test_equals_take_turns_in_their_order() -> None:
    """Each of three idle endpoints has had one request before any has its second."""
    stage = Stage(endpoints=3)
    client = stage.client()
    shares = [serves(stage, client, 1) for _ in range(6)]
    assert shares == [[1, 0, 0], [0, 1, 0], [0, 0, 1]] * 2


@pytest.mark.parametrize(
    ("weights", "times", "expected"),
    [([1, 1, 1], 7, [3, 2, 2]), ([2, 1], 9, [6, 3]), ([10, 1], 11, [10, 1])],
    ids=str,
)
def test_requests_in_flight_are_shared_by_weight(weights: Sequence[int], times: int, expected: list[int]) -> None:
    """None of the requests is answered: an endpoint of weight 2 carries two for each one of its neighbour."""
    stage = Stage(endpoints=len(weights), weights=weights)
    sends(stage, times)
    assert counted(stage, "in_flight") == expected


def test_a_slow_endpoint_gets_nothing_while_another_is_idle() -> None:
    """One request hangs: all that come one after another go to the other endpoint, and when it ends, both share again."""
    stage = Stage(endpoints=2)
    (busy,) = sends(stage)
    hung = stage.opened[0]
    hung.take()
    client = stage.client()
    expected = [0, 0]
    expected[1 - busy] = 10
    assert serves(stage, client, 10) == expected
    hung.sends(OK)
    assert serves(stage, client, 20) == pytest.approx([10, 10], abs=1)


def test_requests_in_flight_from_other_workers_count() -> None:
    """Two workers with the same endpoints: what one has in flight keeps the other away."""
    board = Board(2, 2, 1, 1000)
    first, second = Stage(endpoints=2, board=board, slot=0), Stage(endpoints=2, board=board, slot=1)
    (busy,) = sends(first)
    assert sends(second) == [1 - busy]
    for stage in (first, first, second, second):
        sends(stage)
    assert counted(second, "in_flight") == [3, 3]


def test_an_endpoint_that_refuses_is_passed_over_and_its_share_goes_to_all_others() -> None:
    """After one refused connection nothing is tried there for a second; the two that are left get the half each."""
    stage = Stage(endpoints=3)
    client = stage.client()
    client.sends(request())
    stage.opened[0].refuses()
    stage.opened[0].side = None
    stage.server(1).take()
    stage.server(1).sends(OK)
    assert client.take() == OK
    shares = serves(stage, client, 20)
    assert shares[0] == 0 and shares[1:] == [10, 10]
    assert counted(stage, "failures") == [1, 0, 0]


def test_endpoints_that_refuse_are_tried_when_no_other_is_left() -> None:
    """Both refused a moment ago, and the next request goes to one of them all the same: it may be back."""
    stage = Stage(endpoints=2)
    client = stage.client()
    client.sends(request())
    stage.opened[0].refuses()
    stage.opened[1].refuses()
    assert client.take().startswith(b"HTTP/1.1 503 ")
    client.sends(request())
    assert len(stage.opened) == 3
    stage.server(2).sends(OK)
    assert client.take() == OK


def test_a_full_endpoint_is_passed_over_whatever_its_weight() -> None:
    """An endpoint at its limit of connections gets nothing, although for its weight it carries the least."""
    stage = Stage(endpoints=2, weights=[100, 1], max_connections=3)
    assert sends(stage, 6) == [0, 1, 0, 0, 1, 1]


def test_an_endpoint_is_not_asked_twice_for_one_request() -> None:
    """A retry goes to another endpoint, even when the first is the least loaded for its weight."""
    stage = Stage(endpoints=2, weights=[100, 1])
    client = stage.client()
    client.sends(request())
    assert counted(stage, "in_flight") == [1, 0]
    stage.opened[0].refuses()
    stage.server(1).sends(OK)
    assert client.take() == OK
    assert counted(stage, "requests") == [0, 1]


@pytest.mark.parametrize("method", PLAIN)
def test_a_cluster_without_endpoints_refuses_and_serves_when_one_comes(method: str) -> None:
    """503 on a connection that goes on, as while the name of the endpoints was not resolved yet."""
    stage = Stage(endpoints=1)
    stage.use_endpoints(balancing=balancing_rule(method), slow_start=30.0)
    client = stage.client()
    client.sends(request())
    assert client.take().startswith(b"HTTP/1.1 503 ")
    stage.use_endpoints(0)
    client.sends(request())
    stage.server().sends(OK)
    assert client.take() == OK
