"""States and weights of endpoints that were set at run time: what the state directory keeps of them for the next start."""

from __future__ import annotations

import logging
import stat
from pathlib import Path
from typing import Any

import pytest

from lbjwt.observe._board import Board
from lbjwt.upstream import stored_settings
from lbjwt.upstream.operations import EndpointOperations
from lbjwt.upstream.stored_settings import STORED, Setting, StoredSettings

ROWS = {("api", "10.0.0.1:80"): 0, ("api", "10.0.0.2:80"): 1, ("web", "unix:/run/app.sock"): 2}
DAMAGED = [
    b"",
    b"[]",
    b'{"endpoints": 3}',
    b'{"endpoints": [{"cluster": "api", "address": "10.0.0.1:80"}]}',
    b'{"endpoints": [{"cluster": 3, "address": "10.0.0.1:80", "state": "drained", "weight": null}]}',
    b'{"endpoints": [{"cluster": "api", "address": "10.0.0.1:80", "state": "gone", "weight": null}]}',
    b'{"endpoints": [{"cluster": "api", "address": "10.0.0.1:80", "state": "drained", "weight": true}]}',
    b'{"endpoints": [{"cluster": "api", "address": "10.0.0.1:80", "state": "drained", "weight": 1001}]}',
]


class Run:
    """One run of a service: what it finds, and what is set while it runs."""

    def __init__(self, directory: Path | None) -> None:
        board = Board(1, len(ROWS))
        self.states = board.endpoint_states
        self.stored = StoredSettings(self.states)
        self.stored.open(directory)
        for name, row in ROWS.items():
            self.stored.restore(name, row)
        self.operations = EndpointOperations(board, ROWS, lambda: None, self.stored)

    def set(self, address: str, **change: Any) -> bool:
        """Whether the change survives a restart."""
        cluster = "web" if address.startswith("unix:") else "api"
        return self.operations.change(cluster, address, by="a test", **change).survives_restart

    @property
    def found(self) -> dict[str, Setting]:
        """What is in force and is not that of the configuration."""
        settings = {address: Setting.of(self.states, row) for (_, address), row in ROWS.items()}
        return {address: setting for address, setting in settings.items() if setting != Setting()}


def test_what_is_set_survives_until_it_is_undone(tmp_path: Path) -> None:
    """State, weight, weight 0, both; each change alone leaves the other. The file is for its owner only."""
    first = Run(tmp_path)
    assert first.found == {} and not (tmp_path / STORED).exists()
    assert first.set("10.0.0.1:80", state="drained")
    assert first.set("10.0.0.1:80", weight=7)
    assert first.set("10.0.0.2:80", weight=0)
    assert first.set("unix:/run/app.sock", state="disabled")
    assert stat.S_IMODE((tmp_path / STORED).stat().st_mode) == 0o600
    second = Run(tmp_path)
    assert (
        second.found
        == first.found
        == {
            "10.0.0.1:80": Setting("drained", 7),
            "10.0.0.2:80": Setting("in service", 0),
            "unix:/run/app.sock": Setting("disabled"),
        }
    )
    assert second.operations.read("api", "10.0.0.2:80").survives_restart
    assert second.set("10.0.0.1:80", state="in service")
    assert second.set("10.0.0.2:80", weight="configured")
    assert second.set("unix:/run/app.sock", state="in service")
    assert Run(tmp_path).found == {"10.0.0.1:80": Setting("in service", 7)}


def test_without_a_state_directory_nothing_survives() -> None:
    run = Run(None)
    assert not run.set("10.0.0.1:80", state="drained")
    assert run.found == {"10.0.0.1:80": Setting("drained")} and Run(None).found == {}


def test_an_endpoint_that_comes_later_is_found_too_and_once(tmp_path: Path) -> None:
    """A name that is resolved after the start. When its row was given to another one and it comes back, what was set since then counts."""
    first = Run(tmp_path)
    first.set("10.0.0.2:80", state="drained")
    second = StoredSettings(states := Board(1, 4).endpoint_states)
    second.open(tmp_path)
    second.restore(("api", "10.0.0.1:80"), 0)
    second.restore(("api", "10.0.0.2:80"), 3)
    assert [Setting.of(states, row).state for row in (0, 3)] == ["in service", "drained"]
    Setting().put(states, 3)
    second.restore(("api", "10.0.0.2:80"), 3)
    assert Setting.of(states, 3) == Setting()


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_file_is_logged_and_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """Nothing of it is used."""
    (tmp_path / STORED).write_bytes(content)
    run = Run(tmp_path)
    assert run.found == {} and "is not used: it is damaged" in caplog.text
    assert run.set("10.0.0.1:80", state="drained")
    assert list(Run(tmp_path).found) == ["10.0.0.1:80"]


def test_a_file_that_others_can_write_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Run(tmp_path).set("10.0.0.1:80", state="drained")
    (tmp_path / STORED).chmod(0o666)
    assert Run(tmp_path).found == {} and "users other than its owner" in caplog.text


def test_a_full_disk_stops_no_drain(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In force, logged, and told not to survive; the next change that can be stored stores this one too."""

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    run = Run(tmp_path)
    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR, "lbjwt.endpoints"):
        patch.setattr(stored_settings, "write_whole", full)
        assert not run.set("10.0.0.1:80", state="drained")
    assert list(run.found) == ["10.0.0.1:80"] and Run(tmp_path).found == {}
    assert "a restart will forget them: No space left on device" in caplog.text
    assert run.set("10.0.0.2:80", state="drained")
    assert list(Run(tmp_path).found) == ["10.0.0.1:80", "10.0.0.2:80"]


def test_of_too_many_the_oldest_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set again, it is the newest."""
    monkeypatch.setattr(stored_settings, "MAX_SETTINGS", 2)
    run = Run(tmp_path)
    for address in ("10.0.0.1:80", "10.0.0.2:80"):
        run.set(address, state="drained")
    run.set("10.0.0.1:80", weight=3)
    run.set("unix:/run/app.sock", weight=3)
    assert list(Run(tmp_path).found) == ["10.0.0.1:80", "unix:/run/app.sock"]
