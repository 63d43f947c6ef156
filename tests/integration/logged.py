"""A program in a process of its own whose standard error is read all the while."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


class LoggedProcess:
    """
    `python ARGUMENTS…`, able to import the project from anywhere.

    Args:
        arguments: What follows the interpreter.
        folder: Working directory.
        environment: What is added to ours.
    """

    def __init__(
        self, arguments: Sequence[str], folder: Path = ROOT, environment: Mapping[str, str] | None = None
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        self.log = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log += line

    def wait_for(self, pattern: str, seconds: float = 60.0) -> re.Match[str]:
        """The first match in the log; fails after that many seconds, or once the program ended without it."""
        deadline = time.monotonic() + seconds
        while True:
            alive = self._reader.is_alive()
            if found := re.search(pattern, self.log):
                return found
            assert alive and time.monotonic() < deadline, f"no {pattern!r} in:\n{self.log}"
            time.sleep(0.01)

    def end(self, seconds: float = 60.0) -> int:
        """The exit code, once it ended."""
        code = self.process.wait(seconds)
        self._reader.join(seconds)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code
