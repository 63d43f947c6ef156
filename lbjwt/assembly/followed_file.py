"""
The configuration file that a verifier in a program follows: a changed one counts from the next token on, one that cannot be used changes nothing.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lbjwt.assembly.watch import Watch
from lbjwt.config.load import load_file
from lbjwt.errors import LbjwtError, cause_of
from lbjwt.files import stamp_of

if TYPE_CHECKING:
    from lbjwt.config.model import Configuration

log = logging.getLogger("lbjwt.verifier")


class FollowedFile:
    """
    A configuration file, and what is to be done when it has changed.

    Attributes:
        replace: Called with each new configuration. It raises an LbjwtError, or puts it into force and returns.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.replace: Callable[[Configuration], object] = lambda configuration: None
        self.seen: object = None
        self._path = Path(path)
        self._configuration: Configuration | None = None
        self._watch: Watch | None = None

    def stamp(self) -> object:
        """As for `lbjwt.config.reading.Source`."""
        return stamp_of(self._path)

    def read(self) -> Configuration:
        """
        Raises:
            ConfigurationError: The file cannot be read or has errors.
        """
        self.seen = self.stamp()  # before: what is written meanwhile is another state of the file
        self._configuration = load_file(self._path)
        return self._configuration

    def look(self) -> bool:
        """Look, when it is time to, and follow a change. True when another configuration is in force. Raises nothing."""
        if self._watch is None:
            self._watch = Watch(self)
        if not self._watch.has_changed(time.monotonic()):
            return False
        before = self._configuration
        try:
            found = self.read()
            if found == before:
                return False
            self.replace(found)
        except (LbjwtError, OSError) as error:
            self._configuration = before
            why = str(error) if isinstance(error, LbjwtError) else cause_of(error)
            log.error("the new %s is not used, the configuration in force stays: %s", self._path, why)
            return False
        log.info("the new %s is in force", self._path)
        return True
