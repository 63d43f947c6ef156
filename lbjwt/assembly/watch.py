"""
Whether a configuration file was written or replaced, by a look at it each second: that of a service with `watch: true`, and that of a verifier.

A look, not inotify(7): a file that is replaced by rename, a link that turns to another directory (as Kubernetes changes a ConfigMap) and a network
file system are all the same to stat(2).
"""

import time
from typing import Final, Protocol

INTERVAL: Final = 1.0
"""Seconds between two looks."""
SETTLING: Final = 0.2
"""Seconds for which a file that changed must stay as it is: editors write in several steps, and half a file is a broken one."""


class Stamped(Protocol):
    """A file that somebody reads. `lbjwt.config.reading.Source` is one."""

    seen: object
    """Its stamp when it was last read, by the watch or by a reload."""

    def stamp(self) -> object:
        """What differs when the file was written or replaced. None: there is no file."""


class Watch:
    """Looks at the file of a source."""

    def __init__(self, source: Stamped) -> None:
        self.due = time.monotonic() + INTERVAL
        """Monotonic seconds of the next look."""
        self._source = source
        self._news: object = source.seen

    def has_changed(self, now: float) -> bool:
        """Look, when it is time to. True when the file is another one than was read, or gone, and has been for a moment."""
        if now < self.due:
            return False
        found = self._source.stamp()
        settled, self._news = found == self._news, found
        changed = found != self._source.seen
        self.due = now + (SETTLING if changed and not settled else INTERVAL)
        return changed and settled
