"""The log of revocations: on disk before anything is said, whole after every crash, short again when it may be."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from lbjwt.auth.revocation import GRACE, Revocation, RevocationError, Undo
from lbjwt.revocation import store as module
from lbjwt.revocation.store import HEADER_BYTES, LOG_NAME, SLACK, RevocationStore, is_header
from lbjwt.revocation.tail import LogTail

NOW = 1_800_000_000.0
END = NOW + 10_000


def entry(name: str, end: float = END) -> Revocation:
    return Revocation("jti", name, end)


@pytest.fixture
def opened(tmp_path: Path):
    """Opens stores on one directory; the one before is closed, as its process is gone."""
    stores: list[RevocationStore] = []

    def one(now: float = NOW, **options: int) -> RevocationStore:
        for old in stores:
            old.close()
        stores.append(RevocationStore(tmp_path, **options))
        stores[-1].open(now)
        return stores[-1]

    yield one
    for old in stores:
        old.close()


Opened = Callable[..., RevocationStore]


def names(store: RevocationStore) -> set[str]:
    return {one.value for one in store.entries}


def test_c20_revocations_survive_a_restart(opened: Opened):
    """What was appended is in force after the next start, of every kind; what ended meanwhile is not."""
    made = [
        entry("a"),
        Revocation("sub", "s", END, "https://i", NOW),
        Revocation("kid", "k", END, "https://i"),
        Revocation("issuer", "https://i", END, None, NOW - 5),
        entry("soon", NOW + 1),
    ]
    assert opened().append(made, NOW) == 5
    assert set(opened(NOW + GRACE + 1).entries) == set(made[:4])


def test_the_log_is_for_its_owner(opened: Opened, tmp_path: Path):
    """Mode 0600 from its first moment, whatever the umask, after compaction too, and no other file is left behind."""
    old = os.umask(0)
    try:
        store = opened()
        assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
        store._rewrite(NOW)
        assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
        store.path.chmod(0o644)
        assert stat.S_IMODE(opened().path.stat().st_mode) == 0o600
    finally:
        os.umask(old)
    assert [path.name for path in tmp_path.iterdir()] == [LOG_NAME]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_log_that_others_may_write_is_not_used(opened: Opened, mode: int):
    """They could have taken a line out."""
    opened().path.chmod(mode)
    with pytest.raises(RevocationError, match="users other than its owner"):
        opened()


def test_what_is_no_log_is_not_used(opened: Opened, tmp_path: Path):
    """A link, a directory, a pipe, an empty file, another file."""
    path = opened().path
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RevocationError, match="symbolic link, which lbjwt does not follow"):
        opened()
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(RevocationError):
        opened()
    path.unlink()
    path.mkdir()
    with pytest.raises(RevocationError):
        opened()
    path.rmdir()
    for text in (b"", b'{"jti":"a","expires":1800010000}\n', b'{"format":2,"log":"' + b"0" * 32 + b'"}\n'):
        path.write_bytes(text)
        path.chmod(0o600)
        with pytest.raises(RevocationError, match="is not a log of revocations"):
            opened()
        assert path.read_bytes() == text


def test_a_crash_at_every_byte_of_the_last_line_loses_that_line_only(opened: Opened):
    """Cut anywhere, the log opens with all before it; the next entry stands on a line of its own, and the one after a restart is there."""
    store = opened()
    store.append([entry("a"), entry("b")], NOW)
    before = store.path.stat().st_size
    store.append([entry("last")], NOW)
    whole = store.path.read_bytes()
    for cut in range(before, len(whole)):
        store.path.write_bytes(whole[:cut])
        tail = LogTail(store.path)
        assert tail.look(NOW)
        again = opened()
        assert names(again) == {"a", "b"} == {one.value for one in tail.entries}
        assert again.path.read_bytes() == whole[:cut]  # repaired when something is appended, not by looking
        again.append([entry("next")], NOW)
        assert again.path.read_bytes() == whole[:before] + b'{"jti":"next","expires":1800010000}\n'
        assert tail.look(NOW) and not tail.complaint
        assert names(opened()) == {"a", "b", "next"} == {one.value for one in tail.entries}
    store.path.write_bytes(whole + b"\0" * 100)  # what a file system may leave after a power cut
    again = opened()
    assert names(again) == {"a", "b", "last"}
    again.append([entry("next")], NOW)
    assert names(opened()) == {"a", "b", "last", "next"}


def test_a_spoiled_line_stops_the_start(opened: Opened):
    """It may have been anybody's revocation; the line is named and nothing is changed."""
    store = opened()
    store.append([entry("a"), entry("b")], NOW)
    text = store.path.read_bytes().replace(b'"a"', b"'a'")
    store.path.write_bytes(text)
    with pytest.raises(RevocationError, match=f"{LOG_NAME}: line 2: is not a JSON object"):
        opened()
    assert store.path.read_bytes() == text


def test_what_is_revoked_already_is_not_written_again(opened: Opened):
    """The second time nothing is new; neither is an entry past its end."""
    store = opened()
    assert store.append([entry("a")], NOW) == 1
    size = store.path.stat().st_size
    assert store.append([entry("a"), entry("a", END - 1), entry("past", NOW)], NOW) == 0
    assert store.path.stat().st_size == size
    assert store.append([entry("a", END + 1)], NOW) == 1


def test_a_full_list_refuses_before_it_writes(opened: Opened):
    """The log never holds more than the list, so it can be read again."""
    store = opened(max_entries=2)
    store.append([entry("a")], NOW)
    size = store.path.stat().st_size
    with pytest.raises(RevocationError, match="list is full"):
        store.append([entry("b"), entry("c")], NOW)
    assert store.path.stat().st_size == size
    assert names(store) == {"a"}
    assert store.append([entry("b")], NOW) == 1
    assert len(opened(max_entries=2).entries) == 2


@pytest.mark.parametrize("fault", ["short", "refused", "unsynced"])
def test_a_disk_that_fails_revokes_nothing_and_leaves_the_log_whole(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, fault: str
):
    """Half a line, no line, or a line that may not be on disk: the caller is told, and the log is as before."""
    store = opened()
    store.append([entry("a")], NOW)
    before = store.path.read_bytes()
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        if fault == "refused":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:20])

    def fsync(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        if fault == "unsynced":
            patched.setattr(os, "fsync", fsync)
        else:
            patched.setattr(os, "write", write)
        with pytest.raises(RevocationError, match=r"cannot write the log of revocations: .*; nothing was changed"):
            store.append([entry("b")], NOW)
    assert store.path.read_bytes() == before
    assert names(store) == {"a"}
    store.append([entry("c")], NOW)
    assert names(opened()) == {"a", "c"}


def test_an_entry_is_synced_before_it_is_in_force(opened: Opened, monkeypatch: pytest.MonkeyPatch):
    """When append returns, the bytes were handed to the disk, and not before was anything in force."""
    store = opened()
    seen: list[tuple[bool, bool]] = []
    monkeypatch.setattr(
        os, "fsync", lambda _: seen.append((b'"a"' in store.path.read_bytes(), bool(len(store.entries))))
    )
    store.append([entry("a")], NOW)
    assert seen == [(True, False)]


def test_a_long_log_is_compacted(opened: Opened, monkeypatch: pytest.MonkeyPatch):
    """Past twice the entries in force and some slack the log is written anew, under another name in its first line."""
    monkeypatch.setattr(module, "SLACK", 10)
    store = opened()
    assert SLACK > 10
    first = store.path.read_bytes()[:HEADER_BYTES]
    for number in range(11):
        store.append([entry("a", END + number)], NOW)
        assert store.path.read_bytes()[:HEADER_BYTES] == first
    for number in range(11, 14):
        store.append([entry("a", END + number)], NOW)
    text = store.path.read_bytes()
    assert is_header(text[:HEADER_BYTES]) and text[:HEADER_BYTES] != first
    assert text.count(b"\n") == 3
    assert [one.expires for one in opened().entries] == [END + 13]


def test_what_ended_leaves_the_log_at_the_next_start(opened: Opened, monkeypatch: pytest.MonkeyPatch):
    """A log of the past is short again."""
    store = opened()
    store.append([entry(str(number), NOW + 1) for number in range(10)] + [entry("a")], NOW)
    monkeypatch.setattr(module, "SLACK", 5)
    assert names(opened(NOW + GRACE + 1)) == {"a"}
    assert store.path.read_bytes().count(b"\n") == 2


def test_a_crash_while_compacting_leaves_one_log_or_the_other(opened: Opened, monkeypatch: pytest.MonkeyPatch):
    """Before the rename the old one is in force, and the half-made file does not disturb the next attempt."""
    store = opened()
    store.append([entry("a")], NOW)
    before = store.path.read_bytes()
    with monkeypatch.context() as patched:

        def rename(*names: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        patched.setattr(os, "rename", rename)
        with pytest.raises(OSError, match="Input/output"):
            store._rewrite(NOW)
    assert store.path.read_bytes() == before
    assert store.append([entry("b")], NOW) == 1
    assert names(opened()) == {"a", "b"}
    store = opened()
    store._rewrite(NOW)
    assert names(opened()) == {"a", "b"}


def test_a_compaction_that_fails_fails_nobody(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """The entry is in force and on disk all the same."""
    store = opened()
    monkeypatch.setattr(module, "SLACK", -10)

    def rename(*names: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "rename", rename)
    assert store.append([entry("a")], NOW) == 1
    assert f"could not compact the log of revocations {store.path}: Input/output error" in caplog.text
    monkeypatch.undo()
    assert names(opened()) == {"a"}


def test_a_log_taken_away_under_us_comes_back_with_everything(opened: Opened, tmp_path: Path):
    """Removed: all entries are written again. Replaced by another process: its entries and ours."""
    store = opened()
    store.append([entry("a")], NOW)
    store.path.unlink()
    assert store.append([entry("b")], NOW) == 1
    (tmp_path / "other").mkdir()
    other = RevocationStore(tmp_path / "other")
    other.open(NOW)
    other.append([entry("theirs")], NOW)
    other.close()
    other.path.rename(store.path)
    assert store.append([entry("c")], NOW) == 1
    assert names(opened()) == {"a", "b", "c", "theirs"}


def test_a_log_replaced_by_something_else_is_told_without_its_name(opened: Opened, caplog: pytest.LogCaptureFixture):
    """Whoever revokes hears that nothing was changed; the log of the process names the file."""
    store = opened()
    store.append([entry("a")], NOW)
    store.path.unlink()
    store.path.write_text("else")
    store.path.chmod(0o600)
    with pytest.raises(RevocationError) as caught:
        store.append([entry("b")], NOW)
    assert "nothing was changed" in str(caught.value)
    assert LOG_NAME not in str(caught.value)
    assert LOG_NAME in caplog.text
    assert names(store) == {"a"}
    store.path.unlink()
    assert store.append([entry("b")], NOW) == 1
    assert names(opened()) == {"a", "b"}


def test_c20_an_undo_survives_a_restart(opened: Opened):
    """It is a line behind the entry; what was revoked once more behind it is revoked."""
    store = opened()
    store.append([entry("a"), entry("b")], NOW)
    size = store.path.stat().st_size
    assert store.undo([Undo("jti", "a"), Undo("jti", "b"), Undo("jti", "a")], NOW) == 2
    assert store.path.stat().st_size > size, "nothing of the log is taken away"
    store.append([entry("b")], NOW)
    assert names(store) == {"b"}
    assert names(opened()) == {"b"}


def test_an_undo_of_nothing_writes_nothing(opened: Opened):
    """A second undo finds nothing to take back."""
    store = opened()
    store.append([entry("a")], NOW)
    assert store.undo([Undo("jti", "a")], NOW) == 1
    size = store.path.stat().st_size
    assert store.undo([Undo("jti", "a"), Undo("sub", "a")], NOW) == store.undo([], NOW) == 0
    assert store.path.stat().st_size == size


def test_an_undo_that_the_disk_does_not_take_takes_nothing_back(opened: Opened, monkeypatch: pytest.MonkeyPatch):
    """The entry stays in force, now and after a restart."""
    store = opened()
    store.append([entry("a")], NOW)

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(RevocationError, match="nothing was changed"):
            store.undo([Undo("jti", "a")], NOW)
    assert names(store) == names(opened()) == {"a"}


def test_lines_of_undos_leave_a_long_log(opened: Opened, monkeypatch: pytest.MonkeyPatch):
    """Revoking and undoing for ever does not make the log grow for ever."""
    monkeypatch.setattr(module, "SLACK", 10)
    store = opened()
    for _ in range(50):
        store.append([entry("a")], NOW)
        store.undo([Undo("jti", "a")], NOW)
    assert store.path.read_bytes().count(b"\n") < 20
    assert names(opened()) == set()
