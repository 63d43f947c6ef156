"""Key ids on their way from the workers to the process that fetches keys."""

import mmap

import pytest

from lbjwt.keys import requested
from lbjwt.keys.feed import KeyFeed
from lbjwt.keys.requested import AT_ONCE, SIZE, SLOTS, RequestedKeys


@pytest.fixture
def memory() -> mmap.mmap:
    """Some, with room before and behind."""
    return mmap.mmap(-1, SIZE + 200)


def test_requests_arrive_once_and_the_newest_of_each_worker_first(memory: mmap.mmap):
    """No worker takes the turns of the others; what was read is gone."""
    requested.put(memory, 100, 0, ["a0", "a1", "a2"])
    requested.put(memory, 100, 1, ["b0"])
    requested.put(memory, 100, 63, ["c0", "c1"])
    assert list(requested.take(memory, 100)) == ["a0", "b0", "c0", "a1", "c1", "a2"]
    assert list(requested.take(memory, 100)) == []
    assert memory[:100] == bytes(100)
    assert memory[100 + SIZE :] == bytes(100)


def test_the_longest_requests_have_room(memory: mmap.mmap):
    """Eight key ids of 128 characters, by every worker; a ninth is left out, and workers beyond the last place share one."""
    kids = [chr(ord("a") + number) * 128 for number in range(AT_ONCE + 1)]
    for slot in range(SLOTS):
        requested.put(memory, 0, slot, kids)
    assert sorted(requested.take(memory, 0)) == sorted(kids[:AT_ONCE] * SLOTS)
    requested.put(memory, 0, SLOTS + 3, ["later"])
    assert list(requested.take(memory, 0)) == ["later"]


@pytest.mark.parametrize("at", [0, 4, 8, 9])
def test_what_was_half_written_is_no_request(memory: mmap.mmap, at: int):
    """A checksum tells; the place is free again."""
    requested.put(memory, 0, 0, ["abc"])
    memory[at : at + 1] = bytes([memory[at] ^ 1])
    assert list(requested.take(memory, 0)) == []
    assert memory[:8] == bytes(8)


def test_a_worker_keeps_the_newest():
    """The key id of the request that asks is always told; what cannot be in a URL is not."""
    sent: list[list[str]] = []
    one = RequestedKeys(sent.append)
    one.tell()
    for kid in ("old", *(f"k{number}" for number in range(AT_ONCE)), "k3", "é", "x" * 129):
        one.add(kid)
    one.tell()
    one.tell()
    assert sent == [["k3", "k7", "k6", "k5", "k4", "k2", "k1", "k0"]]


def test_each_source_of_a_feed_has_requests_of_its_own():
    """Beside its key sets, which are not touched."""
    feed = KeyFeed({0: 100, 1: 100})
    feed.request_keys(1, 0, ["a"])
    assert feed.take_requested(0) == []
    assert feed.get(1) is None
    assert feed.take_requested(1) == ["a"]
