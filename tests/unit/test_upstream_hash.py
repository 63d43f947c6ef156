"""The hash rule: which keys move when an endpoint leaves, shares by weight, and the bound on the load. Keys are numbers, as hashed before."""

from collections import Counter
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.upstream._request import UpstreamRequest
from tests.unit.balancing_scene import Scene

KEYS = [number * 0x9E3779B97F4A7C15 % 2**64 for number in range(1, 4001)]


def keyed(key: int) -> UpstreamRequest:
    request = UpstreamRequest()
    request.has_key, request.key = True, key
    return request


def scene(weights: list[int], max_load: float = 100.0) -> Scene:
    return Scene(weights, "hash", hash_on="header:X-Key", max_load=max_load)


def homes(scene: Scene) -> list[int]:
    return [scene.pick(request=keyed(key)) for key in KEYS]


@pytest.mark.parametrize("weights", [[1] * 10, [2, 1, 1, 3, 1, 2, 1, 1, 5, 1]], ids=str)
def test_only_the_keys_of_an_endpoint_that_left_move(weights: list[int]) -> None:
    """They spread over all others; when it comes back, it has the same keys as before. So also when it fails its checks for a while."""
    cluster = scene(weights)
    before = homes(cluster)
    cluster.use({at: weight for at, weight in enumerate(weights) if at != 3})
    after = homes(cluster)
    moved = Counter(now for then, now in zip(before, after, strict=True) if now != then)
    assert all(now == then for then, now in zip(before, after, strict=True) if then != 3)
    assert moved.total() == before.count(3) and set(moved) == set(range(10)) - {3}
    cluster.use(dict(enumerate(weights)))
    assert homes(cluster) == before
    cluster.states.set(3, "check", 2)
    assert homes(cluster) == after


def test_keys_are_shared_by_weight() -> None:
    """Within five standard deviations of 4,000 draws."""
    counts = Counter(homes(scene([1, 2, 5])))
    for at, weight in enumerate([1, 2, 5]):
        share = weight / 8
        assert counts[at] == pytest.approx(4000 * share, abs=5 * (4000 * share * (1 - share)) ** 0.5)


def test_another_weight_moves_keys_only_to_or_from_that_endpoint() -> None:
    """A heavier endpoint takes keys of others; no key moves between two others."""
    cluster = scene([2, 2, 2, 2])
    before = homes(cluster)
    cluster.states.set(1, "weight", 1 + 3)
    moves = {(then, now) for then, now in zip(before, homes(cluster), strict=True) if then != now}
    assert moves and {now for _, now in moves} == {1}


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=30),
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20),
    st.sampled_from([1.0, 1.25, 2.0]),
)
def test_no_endpoint_gets_more_than_its_bound(loads: list[int], keys: list[int], max_load: float) -> None:
    """Whatever the loads are, a request finds an endpoint, and its load is then at most `max_load` times the average, rounded up."""
    cluster = scene([1] * len(loads), max_load)
    for at, load in enumerate(loads):
        cluster.states.add(at, "in_flight", load)
    for key in keys:
        at = cluster.pick(request=keyed(key))
        cluster.states.add(at, "in_flight")
        all_loads = [cluster.states.read(number)["in_flight"] for number in range(len(loads))]
        assert all_loads[at] <= ceil(max_load * sum(all_loads) / len(loads))


def test_one_key_alone_uses_more_endpoints_under_load() -> None:
    """A thousand requests of one key in flight: its first endpoint has 1.25 times the average, and the others the rest."""
    cluster = scene([1] * 4, 1.25)
    for _ in range(1000):
        cluster.states.add(cluster.pick(request=keyed(KEYS[0])), "in_flight")
    loads = [cluster.states.read(at)["in_flight"] for at in range(4)]
    assert max(loads) <= 313 and sum(loads) == 1000


def test_a_request_that_tried_the_home_of_its_key_goes_to_the_next_one() -> None:
    """The same one that has the key when the first has left."""
    cluster = scene([1] * 5)
    home = cluster.pick(request=keyed(KEYS[0]))
    second = cluster.pick({home}, request=keyed(KEYS[0]))
    cluster.use({at: 1 for at in range(5) if at != home})
    assert cluster.pick(request=keyed(KEYS[0])) == second != home
