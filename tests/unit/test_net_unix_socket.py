"""Listening at a path: what may stand there before, who may connect, and when the path goes."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbjwt.address import Address
from lbjwt.checks.machine import port_results
from lbjwt.net.sockets import BindError, bind_path
from lbjwt.net.unix_socket import UnixListener, remove_paths, set_modes
from tests.harness.short_path import short_directory


@pytest.fixture
def path() -> Iterator[Path]:
    with short_directory() as directory:
        yield directory / "asked.sock"


def bound(path: Path, mode: int = 0o660) -> UnixListener:
    return bind_path(str(path), mode, key="listeners[0].address")


def test_the_mode_is_as_asked_for_and_nobody_connects_before_somebody_listens(path: Path) -> None:
    """Whatever the umask is."""
    before = os.umask(0o077)
    try:
        with bound(path, 0o606) as listener, socket.socket(socket.AF_UNIX) as client:
            assert stat.S_IMODE(path.stat().st_mode) == 0o606
            with pytest.raises(ConnectionRefusedError):
                client.connect(str(path))
            listener.listen()
            client.connect(str(path))
            set_modes([listener], 0o600)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_what_a_killed_process_left_is_replaced(path: Path) -> None:
    bound(path).close()
    with bound(path) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.listen()
        client.connect(str(path))


@pytest.mark.parametrize(
    ("there", "says"),
    [
        ("listener", "another process listens there"),
        ("file", "is no socket"),
        ("nothing", "the directory does not exist"),
    ],
)
def test_what_somebody_needs_stays(path: Path, there: str, says: str) -> None:
    """With the key and the reason, for the start and for `lbjwt doctor`, which binds nothing."""
    with socket.socket(socket.AF_UNIX) as other:
        if there == "listener":
            other.bind(str(path))
            other.listen()
        elif there == "file":
            path.write_text("text")
        else:
            path = path / "missing" / "asked.sock"
        with pytest.raises(BindError, match=rf"listeners\[0\].address: cannot listen on unix:{path}: .*{says}"):
            bound(path)
        assert path.exists() is (there != "nothing")
        (result,) = port_results("listeners[0]", Address(path=str(path)), False)
        assert result.outcome == "problem" and str(path) in result.sentence
    if there == "listener":
        (result,) = port_results("listeners[0]", Address(path=str(path)), False)
        assert result.outcome == "ok" and path.exists()


def test_a_path_goes_with_the_process_that_made_it(path: Path) -> None:
    """Once, not with a child's copy, and not when another one has taken its place. A program that takes over removes it in its turn."""
    listener = bound(path)
    copy = listener.dup()
    remove_paths([copy])
    pid = os.fork()
    if pid == 0:
        remove_paths([listener])
        os._exit(0)
    os.waitpid(pid, 0)
    assert path.exists()
    heir = UnixListener.taken_over(copy)
    assert heir.family == socket.AF_UNIX and heir.fileno() >= 0
    remove_paths([listener])
    assert not path.exists()
    with bound(path) as another:
        remove_paths([listener, heir])
        assert path.exists()
        remove_paths([another])
        assert not path.exists()
    heir.close()
    listener.close()
