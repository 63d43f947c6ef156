"""An access log that cannot be written: said by `check`, and by `serve`, which ends at once; standard output in all its forms is none of those."""

import json
import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lbjwt.cli.check import check
from lbjwt.observe._access_log import AccessLog
from lbjwt.observe._board import Board
from lbjwt.observe.log_file import log_fault, open_log
from tests.harness.access_records import append
from tests.integration.serve_scene import get

ROOT = Path(__file__).parents[2]
ASK = """
import os, sys
from lbjwt.observe.log_file import log_fault
if os.geteuid() == 0:  # whom no mode stops
    os.setgid(65534)
    os.setuid(65534)
print(log_fault(sys.argv[1]))
"""


def told(path: Path) -> str:
    """What a user without the rights of root is told."""
    done = subprocess.run([sys.executable, "-c", ASK, str(path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("none/access.log", "there is no directory"),
        (".", "is a directory"),
        ("/dev/full", "the disk of /dev/full is full"),
        ("link", "is a symbolic link to a file that does not exist"),
        ("socket", "is a socket"),
    ],
)
def test_check_and_serve_say_what_is_wrong(serve, tmp_path: Path, path: str, sentence: str) -> None:
    """Each fault is a sentence; `serve` ends with exit code 1 before a worker is made, and `check` finds a problem."""
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "log")
    with socket.socket(socket.AF_UNIX) as peer:
        peer.bind(os.path.relpath(tmp_path / "socket"))
        process = serve(access_log={"path": path})
        assert process.end() == 1
        assert "ERROR lbjwt[supervisor]: access_log.path: " in process.log
        assert sentence in process.log
        assert "Traceback" not in process.log and "lbjwt[worker" not in process.log
        found = CliRunner().invoke(check, [str(tmp_path / "lbjwt.json")])
    assert found.exit_code == 2
    assert sentence in found.stderr


def test_a_log_of_another_user_is_told_with_the_way_out(tmp_path: Path) -> None:
    """A directory in which this user may make no file, and a file that it may not write."""
    for folder in tmp_path.parents[:3]:
        folder.chmod(folder.stat().st_mode | 0o755)
    tmp_path.chmod(0o555)
    file = tmp_path / "access.log"
    assert re.search(r"does not exist, and this user \(uid [0-9]+\) cannot create it in", told(file))
    tmp_path.chmod(0o755)
    file.touch(mode=0o440)
    assert "chown it to the user that runs lbjwt" in told(file)


def test_asking_makes_and_writes_nothing(tmp_path: Path) -> None:
    """Neither a missing log nor one that is there is touched by the question."""
    assert log_fault(str(tmp_path / "access.log")) == ""
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "access.log").write_text("a\n")
    assert log_fault(str(tmp_path / "access.log")) == ""
    assert (tmp_path / "access.log").read_text() == "a\n"


def test_a_full_file_system_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a log that is there and for one that is to be made."""
    system = os.statvfs(tmp_path)
    monkeypatch.setattr(
        os, "statvfs", lambda where: type("Full", (), {"f_blocks": system.f_blocks, "f_bfree": 0, "f_bavail": 0})
    )
    assert "is full; free some space" in log_fault(str(tmp_path / "access.log"))
    (tmp_path / "access.log").touch()
    assert "is full; free some space" in log_fault(str(tmp_path / "access.log"))


@pytest.mark.parametrize(
    ("path", "kind"), [("/dev/stdout", "socket"), ("-", "socket"), ("/dev/stdout", "pipe"), ("/dev/fd/1", "file")]
)
def test_standard_output_is_written_whatever_it_is(serve, tmp_path: Path, monkeypatch, kind: str, path: str) -> None:
    """Also as a socket, which the journal of systemd is and which cannot be opened by a name: the open descriptor is written to."""
    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    file = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT)
    output = {"socket": theirs.fileno(), "pipe": writer, "file": file}[kind]
    original = subprocess.Popen
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", lambda command, **options: original(command, stdout=output, **options))
        process = serve(access_log={"path": path})
    process.wait_for("ready: 1 worker")
    assert get(process.url())[0] == 401
    process.process.terminate()
    assert process.end() == 0
    text = {
        "socket": lambda: ours.recv(4096),
        "pipe": lambda: os.read(reader, 4096),
        "file": lambda: os.pread(file, 4096, 0),
    }[kind]()
    assert json.loads(text)["status"] == 401
    ours.close()
    theirs.close()
    for descriptor in (reader, writer, file):
        os.close(descriptor)


def test_a_pipe_of_another_user_behind_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that gives its output a pipe of root and runs us as somebody else: it cannot be opened anew, and the open one is used."""
    reader, writer = os.pipe()
    before = os.dup(1)
    os.dup2(writer, 1)
    real = os.open

    def refuse(path, *arguments, **options):
        if str(path) in ("/dev/stdout", "/proc/self/fd/1"):
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    try:
        faults = [log_fault(path) for path in ("-", "/dev/stdout")]
        opened = [open_log(path) for path in ("-", "/dev/stdout")]
        log = AccessLog("/dev/stdout", Board(1, 1))
    finally:
        os.dup2(before, 1)
        os.close(before)
    assert faults == ["", ""]
    assert all(stat.S_ISFIFO(os.fstat(descriptor).st_mode) for descriptor in opened)
    append(log, path=b"/")
    log.close()
    assert json.loads(os.read(reader, 4096))["path"] == "/"
    for descriptor in (reader, writer, *opened):
        os.close(descriptor)
