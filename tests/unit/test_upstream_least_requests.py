"""Which endpoint a cluster picks: fewest in flight for its weight; of equals the turn goes round by weight; nothing goes to what is not usable."""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.observe._board import Board
from lbjwt.upstream._cluster import Cluster
from lbjwt.upstream._endpoint import Endpoint
from lbjwt.upstream._pending import PendingQueue
from lbjwt.upstream._request import UpstreamRequest
from tests.unit.balancing_scene import LIMITS, NOW


class Scene:
    """A cluster of endpoints with these weights, and the board that counts what each has in flight."""

    def __init__(self, weights: list[int]) -> None:
        self.board = Board(1, len(weights))
        self.endpoints = [
            Endpoint(at, f"10.0.0.{at}:80", f"10.0.0.{at}", 80, "", weight) for at, weight in enumerate(weights)
        ]
        self.cluster = Cluster("main", self.board, PendingQueue(self.board, lambda callback: None))
        self.cluster.configure(self.endpoints, **LIMITS)

    def tried(self, usable: list[bool] | None) -> set[Endpoint] | None:
        return None if usable is None else {self.endpoints[at] for at, may in enumerate(usable) if not may}

    def pick(self, usable: list[bool] | None = None) -> int:
        """The index of the endpoint for the next request; -1: none."""
        endpoint = self.cluster.pick(UpstreamRequest(), self.tried(usable), NOW)
        return -1 if endpoint is None else endpoint.row

    def shares(self, usable: list[bool], requests: int) -> list[int]:
        """What each endpoint gets of requests that come one after another, so that none is ever in flight."""
        counts: Counter[int] = Counter()
        for _ in range(requests):
            at = self.pick(usable)
            self.cluster.take(self.endpoints[at])
            counts[at] += 1
        return [counts[at] for at in range(len(usable))]

    def load(self, loads: list[int]) -> None:
        for at, load in enumerate(loads):
            self.board.endpoint_states.add(at, "in_flight", load)


@pytest.mark.parametrize(
    ("loads", "weights", "picked"),
    [
        pytest.param([3, 1, 2], [1, 1, 1], 1, id="fewest in flight"),
        pytest.param([3, 1], [4, 1], 0, id="3 for 4 is less than 1 for 1"),
        pytest.param([4, 1], [2, 1], 1, id="4 for 2 is more than 1 for 1"),
        pytest.param([7], [1], 0, id="the only one"),
        pytest.param([2**40, 2**40 + 1], [1000, 1000], 0, id="no overflow"),
    ],
)
def test_the_least_loaded_for_its_weight_is_picked(loads: list[int], weights: list[int], picked: int) -> None:
    """Requests in flight are compared per weight."""
    scene = Scene(weights)
    scene.load(loads)
    assert scene.pick() == picked


@pytest.mark.parametrize(
    ("weights", "usable", "requests", "expected"),
    [
        pytest.param([1, 1, 1], [True] * 3, 60, [20, 20, 20], id="equal weights"),
        pytest.param([4, 1, 1], [True] * 3, 60, [40, 10, 10], id="weights 4, 1, 1"),
        pytest.param([1, 1, 1], [True, False, True], 60, [30, 0, 30], id="one of three is dead"),
        pytest.param(
            [5, 3, 2, 2],
            [True, True, False, True],
            100,
            [50, 30, 0, 20],
            id="the dead one's share goes to all by weight",
        ),
    ],
)
def test_requests_one_after_another_are_shared_by_weight(
    weights: list[int], usable: list[bool], requests: int, expected: list[int]
) -> None:
    """With nothing in flight the turn goes round by weight, and an endpoint that is passed over gives its turn to all."""
    assert Scene(weights).shares(usable, requests) == pytest.approx(expected, abs=1)


def test_an_endpoint_that_comes_back_gets_its_share_and_no_more() -> None:
    """What an endpoint missed while it was passed over is not made up for."""
    scene = Scene([1, 1, 1])
    assert scene.shares([True, True, False], 100) == [50, 50, 0]
    assert scene.shares([True, True, True], 30) == pytest.approx([10, 10, 10], abs=1)


def test_to_ask_changes_nothing() -> None:
    """The question may be asked any number of times before a request is sent; only taking moves the turn on."""
    scene = Scene([1, 1])
    assert [scene.pick() for _ in range(3)] == [0, 0, 0]
    scene.cluster.take(scene.endpoints[0])
    assert scene.pick() == 1


def test_an_endpoint_that_failed_a_moment_ago_is_the_last_resort() -> None:
    """It is passed over while another one is left, and asked when none is; afterwards it is one among others again."""
    scene = Scene([1, 1])
    scene.board.endpoint_states.set(0, "ejected_until", NOW + 1)
    assert scene.shares([True, True], 4) == [0, 4]
    assert scene.pick([True, False]) == 0
    scene.board.endpoint_states.set(0, "ejected_until", NOW)
    assert scene.shares([True, True], 10) == pytest.approx([5, 5], abs=1)


def test_nothing_usable_is_nothing() -> None:
    """None when every endpoint was tried for this request."""
    assert Scene([1, 1]).pick([False, False]) == -1


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(1, 1000), st.booleans()), min_size=1, max_size=64),
    st.lists(st.integers(0, 63), max_size=20),
)
def test_no_usable_endpoint_is_less_loaded(candidates: list[tuple[int, int, bool]], taken: list[int]) -> None:
    """Compared in exact fractions, no usable endpoint carries less than the one picked, whatever was taken before."""
    loads, weights, usable = (list(column) for column in zip(*candidates, strict=True))
    scene = Scene(weights)
    scene.load(loads)
    for at in taken:
        if at < len(weights):
            scene.cluster.take(scene.endpoints[at])
    least = min((Fraction(load, weight) for load, weight, may in candidates if may), default=None)
    at = scene.pick(usable)
    assert (at == -1) if least is None else (usable[at] and Fraction(loads[at], weights[at]) == least)
