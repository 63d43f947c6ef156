"""
Versions of the program beside each other on disk, as a deployment leaves them, and the upgrade of a running service from one to the next.

The service runs `current/main.py`, where `current` is a symbolic link to one release. A release has the installed package under a version of
its own, which `lbjwt_build_info` shows; a broken one cannot be imported.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import lbjwt
from tests.harness.procfs import children, is_alive, name_of
from tests.harness.stage import Stage

PACKAGE = Path(lbjwt.__file__).parent
LAUNCHER = "from lbjwt.cli import main\n\nif __name__ == '__main__':\n    main(prog_name='lbjwt')\n"
BROKEN = "raise ImportError('this build cannot start')\n"
TIMEOUT = 60.0  # seconds for the new program to be ready and the old one to be gone
LOOK = 0.02  # seconds between two looks


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


class Upgrades:
    """
    Upgrades of a service that nobody can tell of a new main process: the first supervisor stays, and passes signals on to the one that serves.

    `stage.balancer` is the first supervisor throughout; `pid` is the one that serves.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.pid = stage.balancer.pid

    def start(self) -> None:
        """Send SIGUSR2."""
        self.stage.balancer.signal(signal.SIGUSR2)

    def handovers(self) -> int:
        """How often, as the log says, a new program has begun to serve."""
        return self.stage.balancer.stderr.count("]: upgraded: ")

    def failures(self) -> int:
        """How many upgrades the service has given up."""
        try:
            return int(self.stage.balancer.metric("lbjwt_upgrade_failures_total"))
        except RuntimeError:  # the control process is being replaced
            return 0

    def wait(self, timeout: float = TIMEOUT) -> float:
        """
        Seconds until the old program had nothing more to do, and the new one served.

        Raises:
            TimeoutError: It did not come to that.
        """
        start = time.monotonic()
        own: list[int] = []
        successor = 0
        while time.monotonic() - start < timeout:
            own, others = _offspring(self.pid)
            successor = next((pid for pid in others if children(pid)), successor)
            if successor and is_alive(successor) and not own:
                self.pid = successor
                return time.monotonic() - start
            time.sleep(LOOK)
        raise TimeoutError(
            f"{timeout:g} s after SIGUSR2 the old program has {len(own)} processes, the new one is {successor or 'not there'}"
        )


def _offspring(supervisor: int) -> tuple[list[int], list[int]]:
    """Workers and control process of a supervisor, and its other children: they have names of their own, a fork that just began has not."""
    own: list[int] = []
    others: list[int] = []
    for pid in children(supervisor):
        (own if name_of(pid).startswith("lbjwt-") else others).append(pid)
    return own, others
