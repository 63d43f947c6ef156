"""The spare of a stored document: used when storing failed, gone when it works, and never believed when it is not ours."""

import os
from pathlib import Path

import pytest

from lbjwt.jwks import spare, store
from lbjwt.jwks.errors import StoreError

ROOM = 65_536


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path below a directory of its own, and a memory that is not the machine's."""
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr(spare, "MEMORY", memory)
    return tmp_path / "main.json"


def envelope(document: str, fetched_at: float) -> store.Envelope:
    """What is stored of a fetch at that time."""
    return store.Envelope(place="main", fetched_at=fetched_at, good_until=fetched_at + 60, document=document)


def newest(stored: Path) -> store.Envelope | None:
    return spare.newest((stored, spare.spare_of(stored)), max_bytes=ROOM)


def test_the_newest_of_both_is_believed(stored: Path):
    """Neither, one, the newer of two in either order, and the stored one again once the spare is withdrawn."""
    assert newest(stored) is None
    store.write(stored, envelope("old", 1.0))
    spare.put(stored, envelope("new", 2.0))
    found = newest(stored)
    assert found is not None and found.document == "new"
    store.write(stored, envelope("newest", 3.0))
    found = newest(stored)
    assert found is not None and found.document == "newest"
    spare.withdraw(stored)
    assert not spare.spare_of(stored).exists()
    spare.withdraw(stored)  # nothing there is no error


def test_stored_files_do_not_share_a_spare(stored: Path):
    """Two state directories of one user, and two names in one."""
    assert (
        len(
            {
                spare.spare_of(path)
                for path in (stored, stored.with_name("other.json"), stored.parent / "b" / stored.name)
            }
        )
        == 3
    )


def test_one_that_cannot_be_read_does_not_hide_the_other(stored: Path):
    """A broken file beside a good one is passed over; alone it is an error, not an absence."""
    stored.write_text("{")
    with pytest.raises(StoreError):
        newest(stored)
    spare.put(stored, envelope("good", 1.0))
    found = newest(stored)
    assert found is not None and found.document == "good"


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o750, 0o704])
def test_a_directory_in_memory_that_others_reach_is_not_used(stored: Path, mode: int):
    """Somebody may have made it before us."""
    directory = spare.spare_of(stored).parent
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(StoreError, match="not ours alone"):
        spare.put(stored, envelope("new", 1.0))
    assert not os.listdir(directory)


def test_a_link_in_place_of_the_directory_is_not_followed(stored: Path, tmp_path: Path):
    """Not even to a directory that is ours alone."""
    own = tmp_path / "own"
    own.mkdir(mode=0o700)
    spare.spare_of(stored).parent.symlink_to(own)
    with pytest.raises(StoreError, match="not ours alone"):
        spare.put(stored, envelope("new", 1.0))
    assert not os.listdir(own)


def test_without_a_memory_it_is_an_error(stored: Path):
    """The caller goes on without it."""
    spare.MEMORY.rmdir()
    with pytest.raises(StoreError, match="cannot write"):
        spare.put(stored, envelope("new", 1.0))
