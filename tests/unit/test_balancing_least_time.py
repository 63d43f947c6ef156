"""Least time: requests go where the response is expected first, and an endpoint that was slow is tried again."""

from collections import Counter
from heapq import heappop, heappush

import pytest

from tests.unit.balancing_scene import NOW, Scene


def play(scene: Scene, times: dict[int, float], requests: int, clients: int, begin: float = NOW) -> Counter[int]:
    """What each endpoint gets of the requests of clients that ask one after another, when it takes so many seconds for each."""
    counts: Counter[int] = Counter()
    under_way: list[tuple[float, int]] = []
    now = begin
    for number in range(requests):
        if number >= clients:
            now, at = heappop(under_way)
            scene.states.add(at, "in_flight", -1)
            scene.cluster.answered(scene.endpoints[at], times[at])
        at = scene.pick(now=now)
        scene.cluster.take(scene.endpoints[at])
        scene.states.add(at, "in_flight")
        counts[at] += 1
        heappush(under_way, (now + times[at], at))
    for _, at in under_way:
        scene.states.add(at, "in_flight", -1)
    return counts


@pytest.mark.parametrize("clients", [1, 2, 20, 100])
def test_an_endpoint_ten_times_slower_gets_less_than_a_hundredth(clients: int) -> None:
    """With one client and with many, so that it decides no p99. Least requests gives it ten times as much once several ask at a time."""
    times = {0: 0.1, 1: 0.01, 2: 0.01}
    counts = play(Scene([1, 1, 1], "least_time"), times, 5000, clients)
    assert counts[0] < 50 + clients, counts
    assert counts[1] == pytest.approx(counts[2], rel=0.25)
    if clients > 2:
        assert play(Scene([1, 1, 1]), times, 5000, clients)[0] > 150


def test_endpoints_that_are_as_fast_share_by_weight() -> None:
    counts = play(Scene([2, 1, 1], "least_time"), dict.fromkeys(range(3), 0.02), 4000, 16)
    assert [counts[at] / 1000 for at in range(3)] == pytest.approx([2, 1, 1], rel=0.1)


def test_idle_endpoints_take_turns() -> None:
    assert Scene([1, 1, 1], "least_time").shares(30) == {0: 10, 1: 10, 2: 10}


def test_one_that_was_slow_is_tried_again_and_gets_its_share_back() -> None:
    """Its mean fades while nobody asks it: within half a minute it is tried, and its first good responses bring it back."""
    scene = Scene([1, 1, 1], "least_time")
    assert play(scene, {0: 0.1, 1: 0.01, 2: 0.01}, 1000, 1)[0] < 20
    fast = dict.fromkeys(range(3), 0.01)
    counts = play(scene, fast, 5000, 1, NOW + 100.0)  # fifty seconds
    assert counts[0] > 500
    assert play(scene, fast, 3000, 1, NOW + 300.0)[0] == pytest.approx(1000, rel=0.2)


def test_a_reload_keeps_what_is_known_and_a_new_endpoint_is_not_flooded() -> None:
    """Before its first response it counts as the others do on average."""
    scene = Scene([1, 1, 1], "least_time")
    scene.use({0: 1, 1: 1})
    play(scene, {0: 0.1, 1: 0.1}, 200, 4)
    scene.use({0: 1, 1: 1, 2: 1})
    assert scene.pick() == 2
    assert scene.fill(30) == pytest.approx([10, 10, 10], abs=3)


def test_of_many_endpoints_some_are_drawn() -> None:
    """Above 64, a request costs no more; the slow ones get next to nothing all the same."""
    times = {at: 0.1 if at < 20 else 0.01 for at in range(100)}
    counts = play(Scene([1] * 100, "least_time"), times, 20_000, 100)
    assert sum(counts[at] for at in range(20)) < 2000
