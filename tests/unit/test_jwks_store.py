"""The stored copy: whole or not at all, ours or not believed."""

import json
import math
import os
import stat
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt import files
from lbjwt.keys import feed, store
from lbjwt.keys.errors import StoreError
from lbjwt.keys.feed import StoredKeySet, decoded
from lbjwt.keys.schedule import CLOCK_STEP
from lbjwt.keys.store import write

NOW, WALL = 5000.0, 1.8e9
DAY = 86_400.0
PLACE = "https://issuer.example/jwks"
KEPT = StoredKeySet(PLACE, 1.8e9, 1.8e9 + 86_400, '{"keys": [1]}', 'W/"a"')


ROOM = feed.room_for(1000)


def read(path, *, place=PLACE, max_bytes=ROOM):
    return store.read(path, place=place, max_stale=DAY, max_bytes=max_bytes, wall=WALL)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "main.json"


@given(
    st.text(max_size=30),
    st.floats(0, 1e11),
    st.floats(0, 1e11),
    st.text(max_size=200),
    st.none() | st.text(max_size=20),
)
def test_what_was_encoded_is_decoded(place, fetched_at, good_until, document, etag):
    """Every key set comes back as it was, quotes, controls and all, in no more room than was set aside."""
    kept = StoredKeySet(place, fetched_at, good_until, document, etag)
    assert decoded(kept.encoded()) == kept
    assert len(kept.encoded()) <= feed.room_for(3 * len(document.encode()))


def test_only_its_owner_may_read_and_write_it(path):
    """Mode 0600 whatever the umask, also when it replaces a file that was open to all."""
    path.write_text("{}")
    path.chmod(0o666)
    before = os.umask(0)
    try:
        write(path, KEPT)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["main.json"]


def test_it_is_replaced_at_one_moment(path, monkeypatch):
    """Until the rename the old file is there, whole; the new one is on the disk before it gets the name, and the name before `write` returns."""
    write(path, KEPT)
    newer = replace(KEPT, document="new")
    order = []

    def fsync(handle):
        what = os.readlink(f"/proc/self/fd/{handle}")
        order.append((what, read(path).document))

    monkeypatch.setattr(store.os, "fsync", fsync)
    write(path, newer)
    assert order == [(str(path.with_name(".main.json.new")), KEPT.document), (str(path.parent), "new")]


@pytest.mark.parametrize("step", ["open", "write", "fsync", "rename"])
def test_a_write_that_fails_leaves_the_old_file(path, monkeypatch, step):
    """A full disk at any step is a StoreError that names the file and the cause; nothing half-written is left behind."""
    write(path, KEPT)
    full = OSError(28, "No space left on device")

    def fail(*arguments, **options):
        raise full

    if step == "open":
        monkeypatch.setattr(store.os, "open", fail)
    elif step == "write":
        opened = open
        monkeypatch.setattr(files, "open", lambda handle, mode: Full(opened(handle, mode)), raising=False)
    elif step == "fsync":
        monkeypatch.setattr(store.os, "fsync", fail)
    else:
        monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(StoreError, match=r"cannot write .*main\.json: No space left"):
        write(path, replace(KEPT, document="new"))
    monkeypatch.undo()
    assert read(path) == KEPT
    assert [entry.name for entry in path.parent.iterdir()] == ["main.json"]


class Full:
    """A file on a full disk."""

    def __init__(self, file):
        self._file = file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def write(self, text):
        self._file.write(text[:5])
        raise OSError(28, "No space left on device")


def test_what_a_crash_left_behind_does_not_matter(path):
    """A half-written file, and a link somebody planted in its place, are thrown away; nothing is written through the link."""
    fresh = path.with_name(".main.json.new")
    fresh.write_text("{half")
    write(path, KEPT)
    victim = path.with_name("victim")
    victim.write_text("precious")
    fresh.symlink_to(victim)
    write(path, KEPT)
    assert victim.read_text() == "precious"
    assert read(path) == KEPT


def test_a_file_that_appears_in_between_is_not_written_to(path, monkeypatch):
    """Somebody puts one there after the old was thrown away: a StoreError, and his file stays his."""
    fresh = path.with_name(".main.json.new")
    fresh.write_text("his")
    monkeypatch.setattr("pathlib.Path.unlink", lambda path, missing_ok=False: None)
    with pytest.raises(StoreError, match="File exists"):
        write(path, KEPT)
    assert fresh.read_text() == "his"


def test_without_a_directory_there_is_a_sentence(tmp_path):
    """The directory is the supervisor's to make."""
    with pytest.raises(StoreError, match="No such file"):
        write(tmp_path / "none" / "main.json", KEPT)


def test_no_file_is_no_error(path):
    """The first start has none."""
    assert read(path) is None


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o660])
def test_a_file_that_others_may_write_is_not_used(path, mode):
    """Whoever can write it can put a key of his own into it."""
    write(path, KEPT)
    path.chmod(mode)
    with pytest.raises(StoreError, match="users other than its owner can write"):
        read(path)


def test_a_file_of_another_user_is_not_used(path, monkeypatch):
    """Its owner is neither root nor we."""
    write(path, KEPT)
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    monkeypatch.setattr(store.os, "geteuid", lambda: 54321)
    if path.stat().st_uid == 0:
        pytest.fail("the file must belong to somebody else")
    with pytest.raises(StoreError, match="another user"):
        read(path)


def test_what_is_no_regular_file_is_not_used(path):
    """A link, a directory and a FIFO, which is not waited for."""
    write(path.with_name("real"), KEPT)
    path.symlink_to(path.with_name("real"))
    with pytest.raises(StoreError, match="cannot read"):
        read(path)
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(StoreError, match="not a regular file"):
        read(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match="not a regular file"):
        read(path)


def test_the_limit_is_exact(path):
    """A file of just the limit is read, one byte more is not."""
    write(path, KEPT)
    size = path.stat().st_size
    assert read(path, max_bytes=size) == KEPT
    with pytest.raises(StoreError, match=f"larger than {size - 1} bytes"):
        read(path, max_bytes=size - 1)


def test_a_file_cut_short_anywhere_is_not_used(path):
    """Every length but the whole one is damage."""
    write(path, KEPT)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(StoreError, match="damaged"):
            read(path)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": None},
        {"place": None},
        {"place": 5},
        {"document": None},
        {"document": {"keys": []}},
        {"etag": 5},
        {"fetched_at": None},
        {"fetched_at": "1.8e9"},
        {"fetched_at": True},
        {"good_until": []},
        {"good_until": None},
    ],
)
def test_a_member_of_the_wrong_kind_is_damage(path, change):
    """Nothing is guessed."""
    write(path, KEPT)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(StoreError, match="damaged"):
        read(path)


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"\xff", b'{"format":1,"fetched_at":NaN}', b"[" * 5000])
def test_what_is_no_envelope_is_damage(path, text):
    """Other JSON, no JSON, no UTF-8, and a tower."""
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(StoreError, match="damaged"):
        read(path)


@given(st.binary(max_size=80))
def test_no_bytes_raise_anything_else(tmp_path_factory, text):
    """Random bytes are a StoreError."""
    path = tmp_path_factory.getbasetemp() / "random.json"
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(StoreError):
        read(path)


@pytest.mark.parametrize(
    ("fetched_at", "good_until"),
    [
        (WALL - DAY, WALL + DAY),
        (WALL - 10 * DAY, WALL + 10 * DAY),
        (WALL - 100, WALL - 1),
        (WALL - 100, WALL),
        (WALL + CLOCK_STEP + 1, WALL + 2 * DAY),
        (math.nan, WALL + DAY),
        (WALL - 100, math.nan),
        (WALL - 100, -math.inf),
        (math.inf, math.inf),
    ],
)
def test_b1_a_copy_that_is_too_old_or_from_the_future_is_not_believed(path, fetched_at, good_until):
    """When its time is over by either measure, or cannot be told."""
    kept = replace(KEPT, fetched_at=fetched_at, good_until=good_until)
    assert kept.shelf_life(NOW, WALL, DAY) is None
    write(path, kept)
    with pytest.raises(StoreError, match=r"too old, or from the future|damaged"):
        read(path)


@pytest.mark.parametrize(
    ("age", "good_for", "left"), [(100.0, 10 * DAY, DAY - 100), (100.0, 300.0, 200.0), (-5.0, DAY, DAY)]
)
def test_a_copy_is_believed_until_the_sooner_of_two_ends(age, good_for, left):
    """Its own, and ours. One that is younger than now by a small step of a clock is new."""
    kept = replace(KEPT, fetched_at=WALL - age, good_until=WALL - age + good_for)
    assert kept.shelf_life(NOW, WALL, DAY).left(NOW, WALL) == pytest.approx(left)


def test_b17_a_copy_of_another_source_is_not_believed(path):
    """However new it is."""
    write(path, KEPT)
    with pytest.raises(StoreError, match="from another source"):
        read(path, place=PLACE + "/")


def test_a_key_set_shows_no_document():
    """Keys are public and long, and not for logs."""
    assert "keys" not in repr(KEPT)
