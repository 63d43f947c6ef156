"""
Versions of the program beside each other on disk, as a deployment leaves them, and the upgrade of a running service from one to the next.

The service runs `current/main.py`, where `current` is a symbolic link to one release. A release has the installed package under a version of
its own, which `lbjwt_build_info` shows; a broken one cannot be imported.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import lbjwt
from tests.harness.procfs import children, is_alive, name_of, tree
from tests.harness.stage import Stage

PACKAGE = Path(lbjwt.__file__).parent
LAUNCHER = "from lbjwt.cli import main\n\nif __name__ == '__main__':\n    main(prog_name='lbjwt')\n"
BROKEN = "raise ImportError('this build cannot start')\n"
TIMEOUT = 60.0  # seconds for the new program to be ready and the old one to be gone
READY_GAP = 0.02  # seconds between two looks


class Releases:
    """`releases.program` starts the service; `install` makes another release the current one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "releases"
        self.directory.mkdir()
        self.link = self.directory / "current"
        self.version = ""
        self.install("1.0.0")

    @property
    def program(self) -> list[str]:
        """In place of `python -m lbjwt`."""
        return [sys.executable, str(self.link / "main.py")]

    def install(self, version: str, *, broken: bool = False) -> None:
        """Make a release and point the link at it, in one step."""
        home = self.directory / version
        home.mkdir()
        (home / "main.py").write_text(LAUNCHER)
        if broken:
            (home / "lbjwt").mkdir()
            (home / "lbjwt" / "__init__.py").write_text(BROKEN)
        else:
            (home / "lbjwt").symlink_to(PACKAGE)
        metadata = home / f"lbjwt-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: lbjwt\nVersion: {version}\n")
        self.point_to(version)

    def point_to(self, version: str) -> None:
        """Point the link at a release that is there."""
        beside = self.directory / "next"
        beside.symlink_to(self.directory / version)
        os.replace(beside, self.link)
        self.version = version


class _Adopted:
    """A process that is not our child, with what `Balancer` asks of a subprocess.Popen."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """0 once it is gone; its true exit code went to its parent."""
        if not is_alive(self.pid):
            self.returncode = 0
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        end = time.monotonic() + (timeout or TIMEOUT)
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("lbjwt", timeout or TIMEOUT)
            time.sleep(READY_GAP)
        return 0

    def send_signal(self, number: int) -> None:
        """As os.kill, unless it is gone."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)


class Upgrades:
    """
    `with Upgrades(stage) as upgrades: upgrades.start(); upgrades.wait()`: upgrades of the service, whose supervisor is another process afterwards.

    `stage.balancer` follows: its pid is that of the supervisor which serves.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._old = 0
        self._new = 0

    def start(self) -> None:
        """Send SIGUSR2."""
        self._old, self._new = self.stage.balancer.pid, 0
        self.stage.balancer.signal(signal.SIGUSR2)

    def successor(self) -> int:
        """The pid of the new program while it starts or serves; 0 when there is none."""
        if not self._new or not is_alive(self._new):
            # Workers and control process are forks with names of their own; a fork has its parent's name for an instant.
            found = [pid for pid in children(self._old) if is_alive(pid) and not name_of(pid).startswith("lbjwt-")]
            settled = [pid for pid in found if children(pid)]
            self._new = settled[0] if settled else 0
        return self._new

    def failures(self) -> int:
        """How many upgrades the service has given up."""
        try:
            return int(self.stage.balancer.metric("lbjwt_upgrade_failures_total"))
        except RuntimeError:  # the control process is being replaced
            return 0

    def wait(self, timeout: float = TIMEOUT) -> float:
        """
        Seconds until the old supervisor was gone and the new one served alone.

        Raises:
            TimeoutError: It did not come to that.
        """
        start = time.monotonic()
        balancer = self.stage.balancer
        process = balancer._process
        assert process is not None
        while process.poll() is None:
            self.successor()
            if time.monotonic() - start > timeout:
                raise TimeoutError(f"the old program is still there {timeout:g} s after SIGUSR2; new one: {self._new}")
            time.sleep(READY_GAP)
        if not self._new or not is_alive(self._new):
            raise TimeoutError(f"the old program ended with {process.returncode} and no new one serves")
        balancer._process = _Adopted(self._new)  # type: ignore[assignment]
        return time.monotonic() - start

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End a new program that did not take over: it is nobody's child here."""
        pid = self._new
        if pid and pid != self.stage.balancer.pid and is_alive(pid):
            for member in tree(pid):
                os.kill(member, signal.SIGKILL)
