"""Log and file as workers read them: everything that is added is seen, nothing that is in force is lost. THREATS C20."""

import asyncio
import concurrent.futures
import contextlib
import fcntl
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from lbjwt.auth.revocation import GRACE, Revocation, RevocationError, Undo
from lbjwt.auth.revocation_format import line_of, read_lines
from lbjwt.revocation import reader as reader_module
from lbjwt.revocation import store as store_module
from lbjwt.revocation.append import append_entries
from lbjwt.revocation.reader import RevocationReader
from lbjwt.revocation.store import RevocationStore
from lbjwt.revocation.tail import LogTail
from lbjwt.revocation.watched import WatchedFile

NOW = 1_800_000_000.0
END = NOW + 10_000


def entry(name: str, end: float = END) -> Revocation:
    return Revocation("jti", name, end)


def lines(*names: str) -> bytes:
    return b"".join(line_of(entry(name)) for name in names)


def names(part: LogTail | WatchedFile | RevocationStore) -> set[str]:
    return {one.value for one in part.entries}


def record_reading(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All that is taken apart from now on."""
    read: list[bytes] = []

    def reading(text: bytes, *, first: int = 1) -> Any:
        read.append(text)
        return read_lines(text, first=first)

    monkeypatch.setattr("lbjwt.revocation.watched.read_lines", reading)
    return read


@pytest.fixture
def store(tmp_path: Path):
    one = RevocationStore(tmp_path)
    one.open(NOW)
    yield one
    one.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "revoked.jsonl"
    path.write_bytes(lines("a"))
    return path


# The log


def test_a_tail_takes_each_entry_once(store: RevocationStore):
    """Only what was appended is read; without anything new a look is one stat."""
    tail = LogTail(store.path)
    assert tail.waiting() > 0
    assert tail.look(NOW)  # an empty log is news once
    assert tail.waiting() == 0
    for number in range(5):
        store.append([entry(str(number))], NOW)
        assert 0 < tail.waiting() < 100
        assert tail.look(NOW)
        assert tail.waiting() == 0
        assert not tail.look(NOW)
    assert names(tail) == names(store) == set("01234")


def test_a_tail_follows_a_log_that_is_compacted_under_it(store: RevocationStore, monkeypatch: pytest.MonkeyPatch):
    """Whatever happens between two looks, appends before and after a compaction or several of them, nothing is missed or read twice."""
    monkeypatch.setattr(store_module, "SLACK", 2)
    tail, slow = LogTail(store.path), LogTail(store.path)
    headers = set()
    for number in range(40):
        end = END + number
        store.append([entry("often", end)], NOW)
        if number % 5 == 0:
            store.append([entry(str(number), end)], NOW)
        headers.add(store.path.read_bytes()[:54])
        tail.look(NOW)
        assert set(tail.entries) == set(store.entries)
        if number % 7 == 0:
            slow.look(NOW)
            assert set(slow.entries) == set(store.entries)
        assert not tail.complaint + slow.complaint
    assert len(headers) > 3


def test_a_tail_notices_another_log_of_the_same_size_and_inode(store: RevocationStore):
    """The name in the first line decides, not the file: what stood before the offset may be something else."""
    store.append([entry("a")], NOW)
    tail = LogTail(store.path)
    tail.look(NOW)
    text = store.path.read_bytes()
    with store.path.open("r+b") as other:  # the same inode
        other.write(text[:19] + b"0" * 32 + text[51:].replace(b'"a"', b'"b"'))
    assert tail.look(NOW)
    assert names(tail) == {"b"}


def test_half_a_line_is_not_there_yet(store: RevocationStore):
    """A look in the middle of a write takes what is whole, and the rest at the next one, at whatever byte it was cut."""
    store.append([entry("a")], NOW)
    whole = store.path.read_bytes() + lines("b", "c")
    start = store.path.stat().st_size
    for cut in range(start, len(whole)):
        store.path.write_bytes(whole[:cut])
        tail = LogTail(store.path)
        tail.look(NOW)
        assert names(tail) == {"a"} | ({"b"} if cut >= start + len(lines("b")) else set())
        with store.path.open("ab") as log:
            log.write(whole[cut:])
        assert tail.look(NOW) and not tail.complaint
        assert names(tail) == {"a", "b", "c"}


def test_a_spoiled_line_costs_itself_only(store: RevocationStore):
    """The entries around it revoke all the same; what is wrong is told with its line."""
    tail = LogTail(store.path)
    tail.look(NOW)
    with store.path.open("ab") as log:
        log.write(lines("a") + b"{spoiled}\n" + lines("b"))
    assert tail.look(NOW)
    assert names(tail) == {"a", "b"}
    assert tail.complaint == f"{store.path}: line 3: is not a JSON object, or contains a member twice"


def test_a_log_that_goes_away_takes_nothing_along(store: RevocationStore):
    """Removed, emptied, or opened to others: what was read stays in force."""
    store.append([entry("a")], NOW)
    tail = LogTail(store.path)
    tail.look(NOW)
    kept = store.path.read_bytes()
    store.path.unlink()
    assert tail.waiting() == 0
    assert not tail.look(NOW)
    store.path.write_bytes(b"")
    store.path.chmod(0o600)
    with pytest.raises(RevocationError, match="is not a log"):
        tail.look(NOW)
    store.path.write_bytes(kept)
    store.path.chmod(0o666)
    with pytest.raises(RevocationError, match="users other than its owner"):
        tail.look(NOW)
    assert names(tail) == {"a"}


def test_a_tail_of_a_log_that_does_not_exist_yet_waits(tmp_path: Path):
    """Workers may be there before the one that writes."""
    tail = LogTail(tmp_path / "revocations.jsonl")
    assert tail.waiting() == 0
    assert not tail.look(NOW)
    one = RevocationStore(tmp_path)
    one.open(NOW)
    one.append([entry("a")], NOW)
    assert tail.look(NOW)
    assert names(tail) == {"a"}
    one.close()


# The operator's file


def test_a_file_is_taken_in_when_it_changed(file: Path):
    """Additions at once, whichever way they are made."""
    watched = WatchedFile(file)
    watched.load(NOW)
    assert names(watched) == {"a"}
    assert watched.waiting() == 0
    assert not watched.look(NOW)
    append_entries(file, [entry("b")])
    assert watched.waiting() > 0
    assert watched.look(NOW)
    assert names(watched) == {"a", "b"}
    file.with_suffix(".new").write_bytes(lines("a", "b", "c"))
    file.with_suffix(".new").rename(file)
    assert watched.look(NOW)
    assert names(watched) == {"a", "b", "c"}


def test_an_addition_costs_what_it_adds(file: Path, monkeypatch: pytest.MonkeyPatch):
    """A hundred thousand entries are not read again for one more, and the number of a bad line is still that of the file."""
    watched = WatchedFile(file)
    watched.load(NOW)
    read = record_reading(monkeypatch)
    append_entries(file, [entry("b")])
    assert watched.look(NOW)
    with file.open("ab") as other:
        other.write(b"bad\n")
    assert not watched.look(NOW)
    with pytest.raises(RevocationError, match="line 3"):
        watched.look(NOW)
    assert read == [lines("b"), b"bad\n", b"bad\n"]
    file.write_bytes(lines("c", "b") + lines("d"))  # longer, and another beginning
    assert watched.look(NOW)
    assert names(watched) == {"b", "c", "d"}
    file.write_bytes(lines("c", "b", "d")[:-1])
    watched.look(NOW)
    assert watched.look(NOW)
    with file.open("ab") as other:
        other.write(b"x")  # the last line had no end, and is another line now
    watched.look(NOW)
    with pytest.raises(RevocationError, match="line 3"):
        watched.look(NOW)
    assert names(watched) == {"b", "c", "d"}


def test_a_loss_is_believed_when_the_file_is_still(file: Path):
    """A file that is being written anew is short for a moment: that moment revokes no revocation."""
    file.write_bytes(lines("a", "b"))
    watched = WatchedFile(file)
    watched.load(NOW)
    for part in (b"", lines("a"), lines("a")[:-5]):
        file.write_bytes(part)
        assert not watched.look(NOW)
        assert names(watched) == {"a", "b"}
    file.write_bytes(lines("b"))
    assert not watched.look(NOW)
    assert watched.look(NOW)
    assert names(watched) == {"b"}


def test_one_bad_line_changes_nothing(file: Path, monkeypatch: pytest.MonkeyPatch):
    """Not the entries before it and not those after it; it is told when the file is still, and again without being read again."""
    watched = WatchedFile(file)
    watched.load(NOW)
    read = record_reading(monkeypatch)
    file.write_bytes(lines("b", "c") + b'{"jtis":"d","expires":1}\n' + lines("e"))
    assert not watched.look(NOW)
    for _ in range(3):
        with pytest.raises(RevocationError, match=r"revoked\.jsonl: line 3: .*did you mean"):
            watched.look(NOW)
        assert watched.waiting() == 1
    assert len(read) == 2
    assert names(watched) == {"a"}
    file.write_bytes(lines("b", "c", "d", "e"))
    assert watched.look(NOW)
    assert names(watched) == {"b", "c", "d", "e"}


def test_a_file_that_went_away_takes_nothing_along(file: Path):
    """Some editors remove before they write."""
    watched = WatchedFile(file)
    watched.load(NOW)
    file.unlink()
    assert watched.waiting() == 1
    with pytest.raises(RevocationError, match="cannot be read: No such file"):
        watched.look(NOW)
    assert names(watched) == {"a"}


def test_at_the_start_a_bad_file_is_an_error(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """At once: a missing file, a directory, a pipe, a line, a length, a list that is too long."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "bad").write_bytes(lines("a") + b"x\n")
    for name, part in (
        ("none", "No such file"),
        (".", "not a regular file"),
        ("pipe", "not a regular file"),
        ("bad", "line 2"),
    ):
        with pytest.raises(RevocationError, match=part):
            WatchedFile(tmp_path / name).load(NOW)
    file.write_bytes(lines("a", "b"))
    with pytest.raises(RevocationError, match="list is full"):
        WatchedFile(file, max_entries=1).load(NOW)
    monkeypatch.setattr("lbjwt.revocation.watched.MAX_FILE", 10)
    with pytest.raises(RevocationError, match="larger than 10 bytes"):
        WatchedFile(file).load(NOW)


# Adding to the file


def test_an_addition_begins_its_own_line(file: Path):
    """Also behind a last line that somebody left without its end."""
    file.write_bytes(lines("a")[:-1])
    append_entries(file, [entry("b"), entry("c")])
    append_entries(file, [entry("d")])
    assert file.read_bytes() == lines("a", "b", "c", "d")


def test_an_addition_to_what_balancers_would_not_read_is_refused(file: Path, tmp_path: Path):
    """No file is made, and a file with a bad line is told instead of being added to for nothing."""
    with pytest.raises(RevocationError, match="does not exist"):
        append_entries(tmp_path / "typo.jsonl", [entry("b")])
    assert not (tmp_path / "typo.jsonl").exists()
    file.write_bytes(lines("a") + b"x\n")
    with pytest.raises(RevocationError, match=r"line 2: .* No entry was added"):
        append_entries(file, [entry("b")])
    assert file.read_bytes() == lines("a") + b"x\n"
    with pytest.raises(RevocationError):
        append_entries(tmp_path, [entry("b")])


def test_an_addition_follows_a_file_that_is_replaced_meanwhile(file: Path, monkeypatch: pytest.MonkeyPatch):
    """What was written into the file that an editor has just replaced is written into the new one too."""
    real = os.fsync

    def replaced(descriptor: int) -> None:
        real(descriptor)
        monkeypatch.setattr(os, "fsync", real)
        file.with_suffix(".new").write_bytes(lines("edited"))
        file.with_suffix(".new").rename(file)

    monkeypatch.setattr(os, "fsync", replaced)
    append_entries(file, [entry("b")])
    assert file.read_bytes() == lines("edited", "b")

    def always(descriptor: int) -> None:
        file.with_suffix(".new").write_bytes(lines("edited"))
        file.with_suffix(".new").rename(file)

    monkeypatch.setattr(os, "fsync", always)
    with pytest.raises(RevocationError, match="keeps being replaced"):
        append_entries(file, [entry("b")])


def test_a_writer_waits_for_the_write_of_another(file: Path):
    """A write is copied page by page, so that half a line can be read: no reason to refuse, and nothing to write after."""
    half, rest = lines("b")[:20], lines("b")[20:]
    with file.open("ab", buffering=0) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(half)
        with concurrent.futures.ThreadPoolExecutor() as threads:
            written = threads.submit(append_entries, file, [entry("c")])
            time.sleep(0.05)
            other.write(rest)
            fcntl.flock(other, fcntl.LOCK_UN)
            assert written.result(10)
    assert file.read_bytes() == lines("a", "b", "c")


def test_a_writer_gives_up_when_the_file_stays_locked(file: Path, monkeypatch: pytest.MonkeyPatch):
    """A program that holds the lock and never writes: an error that says so, and nothing was added."""
    monkeypatch.setattr("lbjwt.revocation.append.LOCK_WAIT", 0.05)
    before = file.read_bytes()
    with file.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(RevocationError, match="is locked by another program; no entry was added"):
            append_entries(file, [entry("c")])
    assert file.read_bytes() == before
    assert append_entries(file, [entry("c")])


WRITER = """
import sys
from pathlib import Path
from lbjwt.auth.revocation import Revocation
from lbjwt.revocation.append import append_entries
for number in range(50):
    append_entries(Path(sys.argv[1]), [Revocation("jti", f"{sys.argv[2]}-{number}", 1_800_001_000.0, "https://issuer.example")])
"""


def test_writers_in_several_processes_lose_nothing_and_tear_nothing(file: Path):
    """Four processes add fifty entries each while the file is read: every look is a good one, and all entries are there."""
    watched = WatchedFile(file)
    watched.load(NOW)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(file), name]) for name in "wxyz"]
    sizes = []
    while any(writer.poll() is None for writer in writers):
        watched.look(NOW)
        sizes.append(len(watched.entries))
        time.sleep(0.002)  # the writers need the processor more
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    watched.look(NOW)
    assert names(watched) == {"a"} | {f"{name}-{number}" for name in "wxyz" for number in range(50)}
    assert sizes == sorted(sizes)
    assert file.read_bytes().count(b"\n") == 201


# Both, in a loop


class Stage:
    """A reader over a log and a file, what it said, and the time it is told."""

    def __init__(self, **options: Any) -> None:
        self.told: list[bool] = []
        self.now = NOW
        self.reader = RevocationReader(on_change=self.told.append, check=0.01, clock=lambda: self.now, **options)

    def revokes(self, jti: str) -> bool:
        return self.reader.revokes("https://i", "", {"jti": jti}, self.now)


@contextlib.asynccontextmanager
async def running(stage: Stage) -> AsyncIterator[None]:
    await stage.reader.load()
    stage.reader.start()
    try:
        yield
    finally:
        await stage.reader.stop()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60.0):
        while not condition():
            await asyncio.sleep(0.005)


def test_c20_both_sources_are_in_force_and_followed(store: RevocationStore, file: Path):
    """What the log or the file says revokes, from the start and when it is added later; each change is told once."""
    stage = Stage(log=store.path, file=file)
    store.append([entry("made")], NOW)

    async def scenario() -> None:
        async with running(stage):
            assert stage.told == [True]
            assert stage.revokes("made") and stage.revokes("a") and not stage.revokes("later")
            assert len(stage.reader) == 2
            store.append([entry("later")], NOW)
            await until(lambda: stage.revokes("later"))
            append_entries(file, [entry("b")])
            await until(lambda: stage.revokes("b"))
            assert stage.told == [True] * 3
            assert len(stage.reader) == 4
        store.append([entry("afterwards")], NOW)

    asyncio.run(scenario())
    assert not stage.revokes("afterwards")


def test_a_poke_is_a_look_at_once(store: RevocationStore):
    """Without waiting for the next one of its own."""
    stage = Stage(log=store.path)
    stage.reader._check = 1000.0

    async def scenario() -> None:
        async with running(stage):
            store.append([entry("a")], NOW)
            await asyncio.sleep(0)
            assert not stage.revokes("a")
            stage.reader.poke()
            await until(lambda: stage.revokes("a"))

    asyncio.run(scenario())


def test_much_is_read_beside_the_loop(store: RevocationStore, file: Path, monkeypatch: pytest.MonkeyPatch):
    """A hundred entries above the limit come in by a thread, which ends with its work; fewer do not pay for one."""
    monkeypatch.setattr(reader_module, "INLINE", 1000)
    beside: list[threading.Thread] = []
    real = LogTail.look

    def look(self: LogTail, now: float) -> bool:
        if threading.current_thread() is not threading.main_thread():
            beside.append(threading.current_thread())
        return real(self, now)

    monkeypatch.setattr(LogTail, "look", look)
    stage = Stage(log=store.path, file=file)

    async def scenario() -> None:
        async with running(stage):
            store.append([entry("few")], NOW)
            await until(lambda: stage.revokes("few"))
            assert beside == []
            store.append([entry(f"many-{number}") for number in range(100)], NOW)
            await until(lambda: stage.revokes("many-99"))
            assert len(beside) == 1
            await until(lambda: not beside[0].is_alive())

    asyncio.run(scenario())


def test_a_broken_edit_is_told_once_and_costs_nothing(
    file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """The entries stay in force through it, however often it is looked at; when the file is good again, that is told too."""
    stage = Stage(file=file)
    looks: list[int] = []
    real = WatchedFile.waiting

    def waiting(self: WatchedFile) -> int:
        looks.append(1)
        return real(self)

    monkeypatch.setattr(WatchedFile, "waiting", waiting)
    caplog.set_level(logging.INFO, "lbjwt.revocation")

    def told(part: str) -> list[str]:
        return [record.getMessage() for record in caplog.records if part in record.getMessage()]

    async def scenario() -> None:
        async with running(stage):
            file.write_bytes(b"broken\n")
            await until(lambda: told("line 1"))
            looks.clear()
            await until(lambda: len(looks) > 3)
            file.unlink()
            await until(lambda: told("No such file"))
            looks.clear()
            await until(lambda: len(looks) > 3)
            assert stage.revokes("a")
            file.write_bytes(lines("b"))
            await until(lambda: stage.revokes("b"))
            await until(lambda: told("can read"))

    asyncio.run(scenario())
    assert [len(told(part)) for part in ("line 1", "No such file", "can read")] == [1, 1, 1]
    assert stage.told == [True, True]


def test_a_spoiled_log_is_told_once(store: RevocationStore, caplog: pytest.LogCaptureFixture):
    """And goes on being followed."""
    stage = Stage(log=store.path)

    async def scenario() -> None:
        async with running(stage):
            with store.path.open("ab") as log:
                log.write(b"spoiled\n" + lines("a"))
            await until(lambda: stage.revokes("a"))
            with store.path.open("ab") as log:
                log.write(lines("b"))
            await until(lambda: stage.revokes("b"))

    asyncio.run(scenario())
    assert len([record for record in caplog.records if "line 2" in record.getMessage()]) == 1


def test_a_fault_of_ours_does_not_end_the_looking(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """An error that nobody foresaw is told by its class, and the next look is made."""
    stage = Stage(file=file)

    def look(*arguments: object) -> bool:
        raise ZeroDivisionError("quoting b1 would be wrong")

    async def scenario() -> None:
        async with running(stage):
            with monkeypatch.context() as patched:
                patched.setattr(WatchedFile, "look", look)
                append_entries(file, [entry("b")])
                await until(lambda: "cannot be read (ZeroDivisionError)" in caplog.text)
            await until(lambda: stage.revokes("b"))

    asyncio.run(scenario())
    assert "b1" not in caplog.text


def test_a_bad_file_stops_the_start(file: Path):
    """A mistake to mend now, as with key files."""
    file.write_bytes(b"broken\n")
    stage = Stage(file=file)
    with pytest.raises(RevocationError, match="line 1"):
        asyncio.run(stage.reader.load())
    assert stage.told == []


def test_entries_past_their_end_are_pruned(store: RevocationStore, monkeypatch: pytest.MonkeyPatch):
    """Now and then, and whoever counts is told."""
    monkeypatch.setattr(reader_module, "PRUNE", 0.02)
    stage = Stage(log=store.path)
    store.append([entry("a", NOW + 1), entry("b")], NOW)

    async def scenario() -> None:
        async with running(stage):
            assert len(stage.reader) == 2
            stage.now = NOW + GRACE + 1
            await until(lambda: len(stage.reader) == 1)
            await until(lambda: False in stage.told)

    asyncio.run(scenario())
    assert stage.told == [True, False]


def test_without_log_and_file_nothing_is_revoked():
    """A configuration without revocations."""
    stage = Stage()

    async def scenario() -> None:
        async with running(stage):
            assert len(stage.reader) == 0
            assert not stage.revokes("a")

    asyncio.run(scenario())


def test_c20_a_tail_follows_an_undo(store: RevocationStore, monkeypatch: pytest.MonkeyPatch):
    """As it is appended, read from the start, and after a compaction that left nothing of it."""
    tail = LogTail(store.path)
    store.append([entry("a"), entry("b")], NOW)
    assert tail.look(NOW) and names(tail) == {"a", "b"}
    store.undo([Undo("jti", "a")], NOW)
    assert tail.look(NOW) and names(tail) == {"b"}
    late = LogTail(store.path)
    assert late.look(NOW) and names(late) == {"b"}
    store._rewrite(NOW)
    assert tail.look(NOW) and names(tail) == {"b"}


def test_c20_a_file_can_take_a_line_back(file: Path):
    """The undo is added behind the entry, comments stay, and it counts at once; what the file does not say is not undone."""
    watched = WatchedFile(file)
    watched.load(NOW)
    with file.open("ab") as opened:
        opened.write(b"# ticket 4711\n")
    append_entries(file, [entry("b")])
    assert append_entries(file, [Undo("jti", "a")])
    assert watched.look(NOW) and names(watched) == {"b"}
    before = file.read_bytes()
    assert b"# ticket 4711" in before
    assert not append_entries(file, [Undo("jti", "a"), Undo("sub", "b"), Undo("jti", "b", "https://i")])
    assert file.read_bytes() == before
    append_entries(file, [entry("a")])
    assert watched.look(NOW) and names(watched) == {"a", "b"}
