"""Balancing rules: whom each of them picks, by weight, load and state. Loads and times are given, so nothing is measured."""

import itertools
import time
from collections import Counter
from typing import Any

import pytest

from lbjwt.upstream._request import UpstreamRequest
from tests.unit.balancing_scene import NOW, Scene

RULES = ["least_requests", "least_time", "power_of_two", "round_robin", "random"]
EVERY_RULE: dict[str, dict[str, Any]] = {
    **{method: {} for method in RULES},
    "hash": {"hash_on": "client_address"},
    "cookie": {"cookie": "endpoint", "cookie_key": b"key"},
}


@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize("weights", [[1, 1, 1], [4, 1, 1], [5, 3, 2, 0]], ids=str)
def test_requests_one_after_another_are_shared_by_weight(method: str, weights: list[int]) -> None:
    """Under each rule an idle cluster shares by weight; weight 0 gets nothing. The two rules that draw are within five standard deviations."""
    shares = Scene(weights, method).shares(6000)
    margin = 1 if method in ("least_requests", "least_time", "round_robin") else 200
    exact = method != "power_of_two"  # which evens out weights by taking turns between the two it has drawn
    for at, weight in enumerate(weights):
        assert shares[at] == pytest.approx(6000 * weight / sum(weights), abs=margin if exact else 900), shares
    assert 3 not in shares


def test_round_robin_spreads_the_turns_of_a_heavy_endpoint() -> None:
    """Weights 5, 1, 1: in any seven requests the light ones come once each, and the heavy one never has more than three in a row."""
    scene = Scene([5, 1, 1], "round_robin")
    order: list[int] = []
    for _ in range(70):
        order += scene.shares(1).elements()
    for begin in range(0, 63, 7):
        assert Counter(order[begin : begin + 7]) == {0: 5, 1: 1, 2: 1}
    assert max(len(list(run)) for _, run in itertools.groupby(order)) <= 3


def test_round_robin_does_not_look_at_the_load() -> None:
    """An endpoint with a thousand requests in flight has its turn like the others."""
    scene = Scene([1, 1, 1], "round_robin")
    scene.states.add(1, "in_flight", 1000)
    assert scene.shares(30) == {0: 10, 1: 10, 2: 10}


def test_the_better_of_two_is_picked() -> None:
    """Of two endpoints both are drawn, so power of two never picks the one with more in flight."""
    scene = Scene([1, 1], "power_of_two")
    scene.states.add(0, "in_flight", 1)
    assert scene.shares(100) == {1: 100}


@pytest.mark.parametrize("count", [65, 300, 1000])
def test_large_clusters_are_even_too(count: int) -> None:
    """Beyond 64 endpoints the best of a sample is taken: after ten requests for each endpoint, loads differ by a few."""
    loads = Scene([1] * count).fill(10 * count)
    assert sum(loads) == 10 * count and max(loads) <= 13 and min(loads) >= 5


def test_in_a_large_cluster_idle_endpoints_take_turns() -> None:
    """One after another: after two rounds each has had two requests."""
    assert set(Scene([1] * 300).shares(600).values()) == {2}


def test_in_a_large_cluster_loaded_neighbours_are_passed_over() -> None:
    """A tenth of the endpoints, side by side, answer nothing. All that is drawn for a request must be of these: one in ten thousand."""
    scene = Scene([1] * 1000)
    for at in range(400, 500):
        scene.states.add(at, "in_flight", 5)
    shares = scene.shares(5000)
    assert sum(shares[at] for at in range(400, 500)) < 20
    assert sum(shares.values()) == 5000


def test_large_clusters_share_by_weight_too() -> None:
    """An endpoint of weight 50 among 500 of weight 1 gets about a eleventh, as draws are by weight."""
    loads = Scene([50] + [1] * 500).fill(5500)
    assert loads[0] == pytest.approx(500, rel=0.15)
    assert max(loads[1:]) <= 14


@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize("count", [3, 200])
def test_only_usable_endpoints_are_picked(method: str, count: int) -> None:
    """All but one are drained, fail their checks or were ejected a moment ago: every request goes to the one that is left, also out of 200."""
    scene = Scene([1] * count, method)
    for at in range(count - 1):
        name, value = [("service", 1), ("check", 2), ("ejected_until", NOW + 1)][at % 3]
        scene.states.set(at, name, value)
    assert scene.shares(20) == {count - 1: 20}


@pytest.mark.parametrize("slow_start", [0.0, 30.0])
@pytest.mark.parametrize("method", EVERY_RULE)
@pytest.mark.parametrize("has_key", [False, True])
def test_a_cluster_without_endpoints_picks_none(method: str, slow_start: float, has_key: bool) -> None:
    """As at a start while the name server is down; before a member comes and after the last one left."""
    scene = Scene([1, 1], method, slow_start=slow_start, **EVERY_RULE[method])
    asked = UpstreamRequest()
    asked.has_key = has_key
    for members in ({}, {0: 1, 1: 1}, {}):
        scene.use(members)
        scene.cluster.expire(NOW)
        found = {scene.pick(request=asked) for _ in range(20)}
        assert found <= set(members) if members else found == {-1}


@pytest.mark.parametrize("slow_start", [0.0, 30.0])
@pytest.mark.parametrize("method", EVERY_RULE)
@pytest.mark.parametrize("count", [1, 3, 70])
def test_a_cluster_without_a_usable_endpoint_picks_none(method: str, slow_start: float, count: int) -> None:
    """All are drained, or have weight 0, by the configuration or set at run time."""
    scene = Scene([0 if at % 3 == 0 else 1 for at in range(count)], method, slow_start=slow_start, **EVERY_RULE[method])
    for at in range(count):
        if at % 3:
            scene.states.set(at, "service" if at % 3 == 1 else "weight", 1)
    scene.cluster.expire(NOW)
    assert {scene.pick() for _ in range(20)} == {-1}


@pytest.mark.parametrize("method", RULES)
def test_backups_serve_only_when_no_other_endpoint_is_usable(method: str) -> None:
    """A healthy backup gets nothing while an endpoint is usable, everything when none is, and nothing again afterwards."""
    scene = Scene([1, 1, 1], method, backups={2})
    assert set(scene.shares(50)) == {0, 1}
    for at in (0, 1):
        scene.states.set(at, "check", 2)
    assert scene.shares(50) == {2: 50}
    scene.states.set(1, "check", 1)
    assert scene.shares(50) == {1: 50}
    assert scene.pick({1}) == 2, "of a request that tried all others, the backup is the next"


def test_an_unhealthy_endpoint_is_better_than_none_and_worse_than_a_backup() -> None:
    """With the backup failing too, every endpoint in service is used."""
    scene = Scene([1, 1], backups={1})
    scene.states.set(0, "check", 2)
    assert scene.pick() == 1
    scene.states.set(1, "check", 2)
    assert scene.shares(10) == {0: 5, 1: 5}
    scene.states.set(0, "service", 1)
    assert scene.shares(10) == {1: 10}


@pytest.mark.parametrize("method", ["least_requests", "round_robin", "random"])
def test_a_weight_set_at_run_time_counts_in_place_of_the_configured_one(method: str) -> None:
    """The word is 1 + weight, and 0 is the configured one: 3 to 1, then none at all, then as configured."""
    scene = Scene([1, 1], method)
    scene.states.set(0, "weight", 1 + 3)
    scene.cluster.expire(NOW)
    shares = scene.shares(4000)
    assert shares[0] == pytest.approx(3000, abs=160 if method == "random" else 2)
    scene.states.set(0, "weight", 1 + 0)
    assert scene.shares(10) == {1: 10}
    scene.states.set(0, "weight", 0)
    scene.cluster.expire(NOW)
    assert scene.shares(4000)[0] == pytest.approx(2000, abs=200 if method == "random" else 2)


@pytest.mark.parametrize("method", ["least_requests", "round_robin", "random"])
@pytest.mark.parametrize(("age", "share"), [(0.0, 0.1), (15.0, 0.55), (30.0, 1.0), (1e6, 1.0)])
def test_slow_start_grows_from_a_tenth_to_the_whole_weight(method: str, age: float, share: float) -> None:
    """An endpoint that came into service `age` seconds ago, beside one that was there from the start."""
    scene = Scene([10, 10], method, slow_start=30.0)
    scene.states.set(1, "serving_since", NOW)
    shares = scene.shares(6000, now=NOW + age)
    assert shares[1] == pytest.approx(6000 * share / (1 + share), abs=250 if method == "random" else 5)


def test_an_endpoint_that_a_reload_adds_starts_slowly() -> None:
    """Those of the start do not, as nobody would be left to take the load."""
    scene = Scene([1, 1, 1], slow_start=3600.0)
    scene.use({0: 1, 1: 1})
    assert [scene.states.read(at)["serving_since"] for at in (0, 1)] == [0.0, 0.0]
    fresh = Scene([1, 1, 1], slow_start=3600.0)
    fresh.cluster.configure([], **{**fresh._limits})
    fresh.use({0: 1})
    fresh.use({0: 1, 2: 1})
    assert fresh.states.read(2)["serving_since"] > 0.0


def test_an_endpoint_that_left_and_comes_back_starts_slowly_again() -> None:
    """It had its slow start long ago, when a reload added it for the first time."""
    scene = Scene([1, 1], slow_start=30.0)
    scene.states.set(1, "serving_since", 5.0)
    scene.use({0: 1, 1: 1})
    assert scene.states.read(1)["serving_since"] == 5.0, "it was there all the time"
    before = time.monotonic() - 1.0
    scene.use({0: 1})
    scene.use({0: 1, 1: 1})
    assert scene.states.read(1)["serving_since"] > before


def test_turns_go_on_over_a_reload() -> None:
    """The endpoint whose turn it was has it after a reload, also when another one is new."""
    scene = Scene([1, 1, 1], "round_robin")
    assert scene.shares(2) == {0: 1, 1: 1}
    scene.use({0: 1, 1: 1, 2: 1})
    assert scene.pick() == 2
