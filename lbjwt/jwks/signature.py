"""What tells whether a file is still the one that was read."""

import os
from pathlib import Path

__all__ = ["signature_of"]


def signature_of(target: Path | int) -> tuple[int, ...]:
    """
    Numbers of a file, by name or descriptor, that change when another one stands there or it was written to.

    Raises:
        OSError: There is none.
    """
    status = os.stat(target)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
