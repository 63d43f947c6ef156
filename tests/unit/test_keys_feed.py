"""The feed: what the process that fetches puts there is what every other one gets, whole or not at all."""

import os

import pytest

from lbjwt.errors import ConfigurationError
from lbjwt.keys.feed import KeyFeed, StoredKeySet


def key_set(document: str, fetched_at: float = 1.0) -> StoredKeySet:
    return StoredKeySet("https://issuer.test/jwks", fetched_at, fetched_at + 60.0, document, '"tag"')


def test_each_source_has_its_newest_key_set():
    """None at first, then the last one that was put there; the other source has its own."""
    feed = KeyFeed({0: 1000, 7: 1000})
    assert feed.get(0) is feed.get(7) is None
    feed.put(0, key_set('{"keys": ["a long one"]}'))
    feed.put(0, key_set('{"keys": []}'))
    feed.put(7, key_set("other"))
    assert (feed.get(0), feed.get(7)) == (key_set('{"keys": []}'), key_set("other"))


def test_a_version_tells_whether_there_is_something_new():
    """Another document and another time are new, the very same key set is not."""
    feed = KeyFeed({0: 1000})
    seen = [feed.version(0)]
    for stored in (key_set("a"), key_set("b"), key_set("b", 2.0)):
        feed.put(0, stored)
        seen.append(feed.version(0))
    feed.put(0, key_set("b", 2.0))
    assert len(set(seen)) == 4 and feed.version(0) == seen[-1]


def test_processes_share_it_and_it_outlives_the_writer():
    """What a child puts there is seen by its parent when the child is gone."""
    feed = KeyFeed({0: 1000})
    pid = os.fork()
    if pid == 0:
        feed.put(0, key_set("from the child"))
        os._exit(0)
    os.waitpid(pid, 0)
    assert feed.get(0) == key_set("from the child")


def test_a_writer_that_dies_leaves_the_key_set_of_before():
    """Killed anywhere before the last byte: every reader still gets the old key set; after it, the new one."""
    feed = KeyFeed({0: 1000})
    feed.put(0, key_set("old"))
    before = feed._memory[:]
    feed.put(0, key_set("new one"))
    after = feed._memory[:]
    for cut in range(1, len(after)):
        feed._memory[:] = before[:1] + after[1:cut] + before[cut:]
        assert feed.get(0) == key_set("old")
    feed._memory[:] = after
    assert feed.get(0) == key_set("new one")


def test_a_key_set_that_is_overwritten_while_it_is_read_is_none():
    """Any other byte in the digest, the length or the text: nothing, rather than a key set that nobody wrote."""
    feed = KeyFeed({0: 1000})
    empty = feed._memory[:]
    feed.put(0, key_set("one"))
    for at in [at for at in range(1, len(empty)) if feed._memory[at] != empty[at]]:
        feed._memory[at] ^= 1
        assert feed.get(0) is None
        feed._memory[at] ^= 1
    assert feed.get(0) == key_set("one")


def test_more_than_the_machine_gives_is_an_error_of_the_configuration():
    """It names the size and the settings that make it."""
    with pytest.raises(ConfigurationError, match=r"cannot map [0-9]+ MiB for 4 key sets .*max_bytes"):
        KeyFeed(dict.fromkeys(range(4), 1 << 46))


@pytest.mark.parametrize("character", ["a", '"', "\\", "\x01", "é"])
def test_the_longest_document_has_room_whatever_is_in_it(character: str):
    """Of the length that was announced, in bytes; a longer one is refused and leaves what is there."""
    length = 30_000
    feed = KeyFeed({0: length, 1: 10})
    feed.put(1, key_set("next"))
    longest = character * (length // len(character.encode()) if character != "\x01" else length // 3)
    feed.put(0, key_set(longest))
    assert feed.get(0) == key_set(longest)
    with pytest.raises(ValueError, match="too large"):
        feed.put(0, key_set("x" * (3 * length)))
    assert (feed.get(0), feed.get(1)) == (key_set(longest), key_set("next"))


def test_rooms_that_are_not_used_cost_nothing():
    """A thousand sources of a megabyte each are two gigabytes of addresses, and no memory."""
    with open("/proc/self/statm") as file:
        before = int(file.read().split()[1])
    feed = KeyFeed(dict.fromkeys(range(1000), 1 << 20))
    assert feed.get(999) is None
    with open("/proc/self/statm") as file:
        assert int(file.read().split()[1]) - before < 1000
