"""A directory whose name is short enough for Unix sockets (108 bytes), wherever the other temporary files of tests are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def short_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lb", dir="/tmp") as name:
        yield Path(name)
