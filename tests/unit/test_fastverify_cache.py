"""The cache of verified tokens, against a model and at its limits."""

import subprocess
import sys
from collections.abc import Iterable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lbjwt._grants import Grant, GrantCache
from tests.harness.examples import examples

TOKENS = [b"token-%d" % number for number in range(8)]
KEYS = [object(), object()]


class CacheMachine(RuleBasedStateMachine):
    """A dictionary is the model: the cache may forget for want of room, and never remembers anything else."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = GrantCache(max_entries=4, max_bytes=100_000)
        self.model: dict[bytes, Grant] = {}
        self.now = 100.0
        self.hits = self.misses = 0

    @rule(
        token=st.sampled_from(TOKENS),
        key=st.sampled_from(KEYS),
        start=st.integers(90, 110),
        life=st.integers(0, 20),
    )
    def insert(self, token: bytes, key: object, start: int, life: int) -> None:
        grant = Grant(bytes(bytearray(token)), valid_from=start, valid_until=start + life, key=key)
        assert self.cache.insert(grant)
        assert token in self.cache
        self.model[token] = grant

    @rule(token=st.sampled_from(TOKENS))
    def lookup(self, token: bytes) -> None:
        known = token in self.cache
        found = self.cache.lookup(bytes(bytearray(token)), self.now)
        grant = self.model.get(token)
        fine = known and grant is not None and grant.valid_from <= self.now < grant.valid_until
        assert found is (grant if fine else None)
        self.hits += fine
        self.misses += not fine
        if not fine:
            assert token not in self.cache
            self.model.pop(token, None)

    @rule(seconds=st.integers(-5, 10))
    def tick(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.model.clear()
        assert self.cache.bytes_used == sys.getsizeof({})

    @invariant()
    def counts_agree(self) -> None:
        held = [token for token in TOKENS if token in self.cache]
        assert len(self.cache) == len(held) <= 4
        assert set(held) <= set(self.model)
        assert self.cache.bytes_used <= 100_000
        assert (self.cache.hits, self.cache.misses) == (self.hits, self.misses)


TestCacheModel = CacheMachine.TestCase
TestCacheModel.settings = settings(max_examples=examples(100), stateful_step_count=40, deadline=None)


def fill(cache: GrantCache, tokens: Iterable[bytes]) -> None:
    for token in tokens:
        cache.insert(Grant(token))


def test_d7_bytes_are_bounded_whatever_the_size_of_tokens():
    """Large tokens fill the cache by bytes long before its entries do, and the bound holds at every step."""
    cache = GrantCache(max_bytes=200_000, max_entries=1_000_000)
    for number in range(300):
        cache.insert(Grant(b"%d" % number + b"x" * (50 if number % 2 else 8000)))
        assert cache.bytes_used <= 200_000
    assert 20 < len(cache) < 60
    assert cache.evictions == 300 - len(cache)


def test_d6_tokens_in_use_survive_a_flood_of_tokens_seen_once():
    """Ten hot tokens stay in a cache of a hundred while ten thousand others pass through it."""
    cache = GrantCache(max_entries=100)
    hot = [b"hot-%d" % number for number in range(10)]
    fill(cache, hot)
    for number in range(10_000):
        if number % 20 == 0:
            assert all(cache.lookup(token, 0.0) for token in hot)
        cache.insert(Grant(b"cold-%d" % number))
    assert all(token in cache for token in hot)
    assert len(cache) == 100


def test_eviction_takes_the_oldest_unused_first():
    """Without use, first in is first out; one use is one second chance."""
    cache = GrantCache(max_entries=3)
    fill(cache, [b"a", b"b", b"c"])
    cache.lookup(b"a", 0.0)
    fill(cache, [b"d"])
    assert [token in cache for token in (b"a", b"b", b"c", b"d")] == [True, False, True, True]
    fill(cache, [b"e"])
    assert b"c" not in cache
    fill(cache, [b"f", b"g"])
    assert [token in cache for token in (b"a", b"d", b"e", b"f", b"g")] == [True, False, False, True, True]


def test_the_newest_entry_can_be_inserted_when_all_others_were_used():
    """A hand that finds only used entries goes round once and ends."""
    cache = GrantCache(max_entries=4)
    fill(cache, TOKENS[:4])
    for token in TOKENS[:4]:
        cache.lookup(token, 0.0)
    assert cache.insert(Grant(TOKENS[4]))
    assert TOKENS[4] in cache
    assert len(cache) == 4


def test_a_cache_without_room_remembers_nothing():
    """0 entries, 0 bytes or a grant larger than all: the answer is False, and nothing breaks."""
    for cache in (GrantCache(max_entries=0), GrantCache(max_bytes=0), GrantCache(max_bytes=1000)):
        assert not cache.insert(Grant(b"x" * 2000))
        assert len(cache) == 0
        assert cache.lookup(b"x" * 2000, 0.0) is None


MEASURE = """
from lbjwt._grants import Grant, GrantCache

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

cache = GrantCache(max_bytes=1 << 30)
for number in range(2000):
    cache.insert(Grant(b"warm %d" % number))
before, counted = resident(), cache.bytes_used
for number in range(40_000):
    cache.insert(Grant(b"%08d" % number + b"x" * (300 + number % 700)))
print(resident() - before, cache.bytes_used - counted)
"""


def test_bytes_used_is_the_memory_in_use():
    """In a process of its own, where no freed memory is used again, the estimate follows it within five per cent."""
    result = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True, timeout=60)
    grown, counted = map(int, result.stdout.split())
    assert abs(grown - counted) < 0.05 * grown


def test_a_dropped_cache_frees_its_grants():
    """Neighbours do not keep each other alive: the last reference to the cache is the last to its entries."""

    class Canary:
        alive = 0

        def __init__(self) -> None:
            Canary.alive += 1

        def __del__(self) -> None:
            Canary.alive -= 1

    cache = GrantCache()
    for token in TOKENS:
        cache.insert(Grant(token, key=Canary()))
    assert Canary.alive == len(TOKENS)
    del cache
    assert Canary.alive == 0
