"""Waiting for a condition in place of a length of time: what is true in a moment on a quiet machine may take seconds on a loaded one."""

import time
from collections.abc import Callable


def eventually(condition: Callable[[], object], timeout: float = 30.0) -> bool:
    """Poll until `condition` is true, at most `timeout` seconds; returns whether it is."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
