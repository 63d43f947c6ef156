"""The feed: what the process that fetches puts there is what every other one gets, whole or not at all."""

import mmap
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lbjwt.errors import ConfigurationError
from lbjwt.keys.feed import KeyFeed, StoredKeySet


def key_set(document: str, fetched_at: float = 1.0) -> StoredKeySet:
    return StoredKeySet("https://issuer.test/jwks", fetched_at, fetched_at + 60.0, document, '"tag"')


def memory_of(feed: KeyFeed) -> mmap.mmap:
    """The bytes that the processes share."""
    return feed._copies[0][0]


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
    memory = memory_of(feed)
    feed.put(0, key_set("old"))
    before = memory[:]
    feed.put(0, key_set("new one"))
    after = memory[:]
    for cut in range(1, len(after)):
        memory[:] = before[:1] + after[1:cut] + before[cut:]
        assert feed.get(0) == key_set("old")
    memory[:] = after
    assert feed.get(0) == key_set("new one")


def test_a_key_set_that_is_overwritten_while_it_is_read_is_none():
    """Any other byte in the digest, the length or the text: nothing, rather than a key set that nobody wrote."""
    feed = KeyFeed({0: 1000})
    memory = memory_of(feed)
    empty = memory[:]
    feed.put(0, key_set("one"))
    for at in [at for at in range(1, len(empty)) if memory[at] != empty[at]]:
        memory[at] ^= 1
        assert feed.get(0) is None
        memory[at] ^= 1
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


def sources_of(feed: KeyFeed) -> list[int]:
    return [source for source in range(10) if source in feed]


def test_a_process_that_runs_already_gets_a_new_source_by_its_descriptor():
    """The child was forked before the source was there. What it writes is read here, and what is written here there; the old source goes on."""
    feed = KeyFeed({0: 1000})
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _, (fd,), _, _ = socket.recv_fds(there, 1, 1)
            feed.attach({3: 2000, 1: 500}, fd)
            os.close(fd)
            assert feed.get(1) == key_set("stored")
            feed.put(3, key_set("x" * 2000))
            feed.put(0, key_set("of the start"))
            code = 0
        finally:
            os._exit(code)
    fd = feed.add({3: 2000, 1: 500})
    feed.put(1, key_set("stored"))
    socket.send_fds(here, [b"-"], [fd])
    os.close(fd)
    here.close()
    there.close()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (feed.get(0), feed.get(1)) == (key_set("of the start"), key_set("stored"))
    assert feed.get(3) == key_set("x" * 2000)


def test_a_program_that_was_started_anew_gets_it_too():
    """Over exec(2), by an inherited descriptor."""
    feed = KeyFeed({})
    fd = feed.add({5: 1000})
    program = (
        "import sys\nfrom lbjwt.keys.feed import KeyFeed, StoredKeySet\n"
        "feed = KeyFeed({})\nfeed.attach({5: 1000}, int(sys.argv[1]))\n"
        "feed.put(5, StoredKeySet('https://issuer.test/jwks', 1.0, 61.0, 'from there', '\"tag\"'))"
    )
    subprocess.run([sys.executable, "-c", program, str(fd)], check=True, pass_fds=[fd])
    os.close(fd)
    assert feed.get(5) == key_set("from there")


def test_a_child_that_is_forked_later_has_it_without_a_descriptor():
    feed = KeyFeed({})
    os.close(feed.add({2: 1000}))
    pid = os.fork()
    if pid == 0:
        feed.put(2, key_set("from the child"))
        os._exit(0)
    os.waitpid(pid, 0)
    assert feed.get(2) == key_set("from the child")


def test_sources_come_and_go_and_leave_nothing_behind():
    """A thousand reloads: as many descriptors and mappings as before, and a source that comes back begins empty."""
    feed = KeyFeed({0: 1000, 1: 1000})

    def held() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), len(Path("/proc/self/maps").read_text().splitlines())

    os.close(feed.add({2: 1000}))
    before = held()
    for _ in range(1000):
        feed.remove(2)
        os.close(feed.add({2: 1000}))
        assert feed.get(2) is None
        feed.put(2, key_set("new"))
    assert held() == before
    feed.remove(0)
    feed.remove(0)
    assert sources_of(feed) == [1, 2]
    assert feed.get(1) is None


def test_a_source_that_is_added_again_is_empty_here_and_what_others_still_write_is_not_seen():
    """Its address may be another one: a control process that is behind must not bring the old keys back."""
    feed = KeyFeed({0: 1000})
    old = feed._copies[0]
    feed.put(0, key_set("old"))
    os.close(feed.add({0: 5000}))
    assert feed.get(0) is None
    behind = KeyFeed({})
    behind._copies[0] = old
    behind.put(0, key_set("old too"))
    assert feed.get(0) is None and behind.get(0) == key_set("old too")


def test_memory_of_another_size_is_not_read():
    """Reading behind the end of a file kills a process: what is not exactly the promised memory, and sealed, is refused."""
    feed = KeyFeed({})
    fd = feed.add({1: 1000})
    for seal in (lambda: os.ftruncate(fd, 1), lambda: os.ftruncate(fd, 1 << 20)):
        with pytest.raises(PermissionError):
            seal()
    for longest in ({1: 1001}, {1: 999}, {1: 1000, 2: 1}, {}):
        with pytest.raises(ValueError, match="not the memory"):
            KeyFeed({}).attach(longest, fd)
    size = os.fstat(fd).st_size
    os.close(fd)
    unsealed = os.memfd_create("unsealed")
    os.ftruncate(unsealed, size)
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        for other in (unsealed, file.fileno()):
            with pytest.raises(ValueError, match="not the memory"):
                KeyFeed({}).attach({1: 1000}, other)
    os.close(unsealed)


def test_more_sources_than_the_machine_gives_change_nothing():
    """The error names the settings, no descriptor stays open, and the sources of before stay."""
    feed = KeyFeed({0: 1000})
    feed.put(0, key_set("old"))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ConfigurationError, match=r"cannot map [0-9]+ MiB for 2 key sets .*max_bytes"):
        feed.add({0: 1 << 46, 1: 1 << 46})
    assert len(os.listdir("/proc/self/fd")) == before
    assert sources_of(feed) == [0]
    assert feed.get(0) == key_set("old")


def test_a_key_set_that_was_cleared_does_not_come_back():
    """A source that left and returns begins without keys; the next key set that is put there counts."""
    feed = KeyFeed({0: 1000})
    feed.put(0, key_set("a"))
    seen = feed.version(0)
    feed.clear(0)
    assert feed.get(0) is None and feed.version(0) != seen
    feed.put(0, key_set("b"))
    assert feed.get(0) == key_set("b")
