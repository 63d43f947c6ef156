"""The state directory: made private, refused when others could write it, one service at a time, gone when it was only borrowed."""

import os
import stat
import tempfile

import pytest

from lbjwt.assembly.sources import KEYS
from lbjwt.assembly.state import MEMORY, StateDirectory, StateDirectoryError


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Temporary directories are made where the test can see them."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def place(tmp_path):
    return tmp_path / "state"


def refusal(place):
    with pytest.raises(StateDirectoryError) as error, StateDirectory(place):
        pass
    return str(error.value)


def test_it_is_made_private_and_stays(place):
    """A missing directory is made with mode 0700 whatever the umask says, its subdirectory too, and is there afterwards."""
    before = os.umask(0)
    try:
        with StateDirectory(place) as path:
            assert path == place
            assert (mode(path), mode(path / KEYS)) == (0o700, 0o700)
    finally:
        os.umask(before)
    assert place.is_dir()


def test_what_is_in_it_is_kept(place):
    """A directory that was there is used as it is, also one that others can read."""
    place.mkdir(mode=0o755)
    (place / "revocations.jsonl").write_text("{}\n")
    with StateDirectory(place) as path:
        assert (path / "revocations.jsonl").read_text() == "{}\n"
    assert mode(place) == 0o755


def test_without_a_place_it_is_temporary_and_private(temporary):
    """The default: a directory of our own with mode 0700 that goes with everything in it."""
    with StateDirectory(None) as path:
        assert path.parent == temporary
        assert mode(path) == 0o700
        (path / KEYS / "main.json").write_text("{}")
    assert not path.exists()


def read_only(monkeypatch, *writable):
    """Directories can be made in the given places only, as below a root file system that is read-only."""
    make = tempfile.mkdtemp

    def mkdtemp(prefix, dir):
        if dir not in writable:
            raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp', '/var/tmp']")
        return make(prefix=prefix, dir=dir)

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)


def test_below_a_read_only_root_it_is_in_memory(monkeypatch):
    """Where no temporary directory can be made on a disk, one in memory serves: private, and gone at the end."""
    read_only(monkeypatch, MEMORY)
    with StateDirectory(None) as path:
        assert path.parent == MEMORY
        assert (mode(path), mode(path / KEYS)) == (0o700, 0o700)
    assert not path.exists()


def test_where_nothing_can_be_written_the_ways_out_are_named(monkeypatch):
    """TMPDIR and state_directory, and never "None"."""
    read_only(monkeypatch)
    sentence = refusal(None)
    assert "set TMPDIR" in sentence and "configure state_directory" in sentence and "None" not in sentence


@pytest.mark.parametrize("bits", [0o777, 0o2777, 0o2770])
def test_a_volume_that_cannot_be_changed_has_a_way_out(place, bits):
    """The mode of a Kubernetes volume is refused with the name of a directory in it, and that one is used."""
    place.mkdir()
    place.chmod(bits)
    inner = place / "lbjwt"
    assert f"name a new directory in it, such as {inner}," in refusal(place)
    with StateDirectory(inner):
        assert mode(inner) & 0o777 == 0o700


def test_a_child_removes_nothing(temporary):
    """A process that was forked off leaves the directory alone when its copy of the context ends."""
    directory = StateDirectory(None)
    path = directory.__enter__()
    pid = os.fork()
    if pid == 0:
        directory.__exit__(None, None, None)
        os._exit(0)
    os.waitpid(pid, 0)
    assert path.is_dir()
    directory.__exit__(None, None, None)
    assert not path.exists()


@pytest.mark.parametrize("bits", [0o720, 0o702, 0o777, 0o1777])
@pytest.mark.parametrize("inner", ["", KEYS], ids=["itself", "keys"])
def test_others_must_not_write_it(place, bits, inner):
    """Group or others with write permission, in the directory or in that of the keys, is refused with what mends it."""
    (place / KEYS).mkdir(parents=True)
    (place / inner).chmod(bits)
    sentence = refusal(place)
    assert str(place / inner) in sentence
    assert "chmod go-w" in sentence


@pytest.mark.parametrize("inner", ["", KEYS], ids=["itself", "keys"])
def test_it_must_be_ours(place, inner, monkeypatch):
    """A directory of another user is refused."""
    (place / KEYS).mkdir(parents=True)
    real = os.geteuid()
    if inner:
        answers = iter([real])  # the directory itself passes, its subdirectory does not
        monkeypatch.setattr(os, "geteuid", lambda: next(answers, real + 1))
    else:
        monkeypatch.setattr(os, "geteuid", lambda: real + 1)
    assert "belongs to another user" in refusal(place)


def test_a_link_of_ours_may_lead_to_it(place, tmp_path):
    """A symbolic link that we or root made is followed, as service managers make them."""
    (tmp_path / "real").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "real")
    with StateDirectory(place):
        assert (tmp_path / "real" / KEYS).is_dir()


def test_what_cannot_be_a_directory(place, tmp_path):
    """A file, a link to nowhere and a missing parent are refused with the path and the cause."""
    place.write_text("")
    assert "cannot be used" in refusal(place) or "is not a directory" in refusal(place)
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    assert "symbolic link to a place that does not exist" in refusal(dangling)
    assert "No such file" in refusal(tmp_path / "missing" / "state")


def test_one_service_at_a_time(place):
    """A second service is refused while the first lives, and not afterwards."""
    with StateDirectory(place):
        assert "another lbjwt uses" in refusal(place)
    with StateDirectory(place):
        pass


def test_the_lock_is_the_supervisors(place):
    """A child that left lets nothing go; when the supervisor is gone, its children do not hold the directory."""
    first = StateDirectory(place)
    first.__enter__()
    to_child, from_test = os.pipe()
    to_test, from_child = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(from_test)
        first.leave()
        os.write(from_child, b"x")
        os.read(to_child, 1)
        os._exit(0)
    os.read(to_test, 1)
    assert "another lbjwt uses" in refusal(place)
    first.__exit__(None, None, None)
    with StateDirectory(place):
        os.close(from_test)
        os.waitpid(pid, 0)
    for fd in (to_child, to_test, from_child):
        os.close(fd)


def test_a_refusal_leaves_nothing_behind(place, temporary):
    """After a failed start the lock is free and no temporary directory stays."""
    place.mkdir()
    place.chmod(0o777)
    refusal(place)
    place.chmod(0o700)
    with StateDirectory(place):
        pass
    assert list(temporary.iterdir()) == []
