"""
Files that are looked at again and again: which ones have changed, and are no longer being written. Pure: the looks are arguments.

A look, not inotify(7): a file that is replaced by rename, a link that turns to another directory (as Kubernetes changes a ConfigMap) and a network
file system are all the same to stat(2).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

LOOK: Final = 0.5
"""Seconds between two looks. A change is read when two looks in a row saw the same file."""


class WatchedFiles:
    """The files in use."""

    def __init__(self) -> None:
        self._read: dict[Path, object] = {}
        self._last: dict[Path, object] = {}

    def changed(self, looks: Mapping[Path, object]) -> list[Path]:
        """
        Return the files that are to be read. One that is new here is read at once.

        Args:
            looks: What each file in use looks like now, see `lbjwt.files.signature_of`; None: it cannot be looked at.
        """
        due = [
            path
            for path, look in looks.items()
            if path not in self._read or (look != self._read[path] and look == self._last.get(path))
        ]
        self._last = dict(looks)
        self._read = {path: look for path, look in self._read.items() if path in looks}
        self._read |= {path: looks[path] for path in due}
        return due
