"""Whether another file stands under a name, or one was written to."""

import os
from pathlib import Path


def signature_of(target: Path | int | os.stat_result) -> tuple[int, ...]:
    """
    Return numbers of a file, by name, descriptor or status, that change when another one stands there or it was written to.

    Raises:
        OSError: There is none.
    """
    status = target if isinstance(target, os.stat_result) else os.stat(target)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
