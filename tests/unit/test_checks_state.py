"""What `check` says about the state directory and the revocations in it, and in a file: whatever keeps lbjwt from starting, it tells before."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from lbjwt.assembly.state import StateDirectory
from lbjwt.auth.revocation import Revocation
from lbjwt.checks.registry import start_problems
from lbjwt.cli import main
from lbjwt.config.load import load_file
from lbjwt.revocation.store import LOG_NAME, RevocationStore

NOW = 1_800_000_000.0
SERVICE = """listeners: [{address: "127.0.0.1:0"}]
issuers: {main: {issuer: https://a.example, audiences: [api], max_lifetime: 1h, secret_file: secret, algorithms: [HS256]}}
clusters: {main: {endpoints: [{address: "127.0.0.1:9"}]}}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A service with a state directory, in which a token was revoked."""
    (tmp_path / "secret").write_bytes(os.urandom(48))
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "lbjwt.yaml").write_text(SERVICE + "revocation: {}\nstate_directory: state\n")
    with StateDirectory(tmp_path / "state"):
        store = RevocationStore(tmp_path / "state")
        store.open(NOW)
        store.append([Revocation("jti", "a", NOW + 1000)], NOW)
        store.close()
    return tmp_path


def told(place: Path, *, serve: bool = True) -> str:
    """The one error that `check` and the start tell; "" for none."""
    result = CliRunner().invoke(main, ["check", str(place / "lbjwt.yaml")])
    lines = result.stderr.splitlines()
    assert (result.exit_code, len(lines)) in ((0, 0), (2, 1)), result.stderr
    at_start = [one for one in start_problems(load_file(place / "lbjwt.yaml")) if one.level == "error"]
    assert not serve or len(at_start) == (result.exit_code == 2)
    return lines[0] if result.exit_code else ""


def test_a_sound_directory_passes(place: Path) -> None:
    """In use or not: the lock of a running lbjwt is for the doctor to note."""
    assert told(place) == ""
    with StateDirectory(place / "state"):
        assert told(place) == ""


def as_fifo(log: Path) -> None:
    log.unlink()
    os.mkfifo(log, 0o600)


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (lambda log: log.chmod(0o666), "users other than its owner can write to it"),
        (lambda log: (log.rename(log.with_name("x")), log.symlink_to("x")), "a symbolic link, which lbjwt does not"),
        (lambda log: (log.unlink(), log.mkdir()), "it is not a regular file"),
        (as_fifo, "it is not a regular file"),
        (lambda log: log.write_bytes(b"garbage\n"), "is not a log of revocations"),
        (lambda log: log.write_bytes(b""), "is not a log of revocations"),
    ],
    ids=["mode", "link", "directory", "fifo", "garbage", "empty"],
)
def test_a_log_that_cannot_be_used_is_told(place: Path, spoil: Callable[[Path], object], part: str) -> None:
    """With the place of its directory, once."""
    spoil(place / "state" / LOG_NAME)
    error = told(place)
    assert error.startswith(f"{place}/lbjwt.yaml:5:18: state_directory: ") and part in error and LOG_NAME in error


def test_a_bad_line_of_the_log_is_told(place: Path) -> None:
    """With its number; an incomplete last line, which a crash leaves, is none."""
    log = place / "state" / LOG_NAME
    log.write_bytes(log.read_bytes() + b'{"jti":')
    assert told(place) == ""
    log.write_bytes(log.read_bytes() + b"\n")
    assert f"{LOG_NAME}: line 3: " in told(place, serve=False)


def test_a_place_that_cannot_be_used_is_told(place: Path) -> None:
    """A link to nothing, a parent that is missing or is a file, and keys that are no directory."""
    (place / "dangling").symlink_to("nowhere")
    text = (place / "lbjwt.yaml").read_text()
    for name, part in (
        ("dangling", "is a symbolic link to a place that does not exist"),
        ("none/a/b", f"its parent directory {place}/none/a does not exist; create it first"),
        ("secret/a", "Not a directory"),
    ):
        (place / "lbjwt.yaml").write_text(text.replace(": state", f": {name}"))
        assert part in told(place)
    (place / "lbjwt.yaml").write_text(text)
    (place / "state" / "keys").rmdir()
    (place / "state" / "keys").touch()
    assert f"{place}/state/keys is not a directory" in told(place)


def test_bad_lines_of_the_revocation_file_are_told(place: Path) -> None:
    """With line and reason."""
    (place / "lbjwt.yaml").write_text(SERVICE + "revocation: {file: revoked.jsonl}\n")
    good = json.dumps({"jti": "a", "expires": NOW + 1000})
    (place / "revoked.jsonl").write_text(good + "\n")
    assert told(place) == ""
    (place / "revoked.jsonl").write_text(good + '\n{"jit": "b"}\n')
    error = told(place, serve=False)
    assert error.startswith(f"{place}/lbjwt.yaml:4:20: revocation.file: {place}/revoked.jsonl: line 2: ")


def test_a_directory_for_nothing_is_a_note_of_the_doctor(place: Path) -> None:
    """Neither revocations nor fetched keys: `check` is silent."""
    (place / "lbjwt.yaml").write_text(SERVICE + "state_directory: state\n")
    assert told(place) == ""
    report = CliRunner().invoke(main, ["doctor", str(place / "lbjwt.yaml")]).stdout
    assert f"note     state-directory  lbjwt would store nothing in {place}/state" in report
