"""
Reads a configuration again, in a process of its own: a long file, a directory on a server that is gone or a fault in a check keeps the supervisor
from nothing, and what reading takes in memory goes with the process.
"""

import os
import pickle
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from lbjwt.assembly.discovered import is_discovered
from lbjwt.config.changes import changes, needs_restart, until_restart
from lbjwt.config.model import Configuration
from lbjwt.config.problems import ConfigurationError, Problem
from lbjwt.config.reading import Reading, Source
from lbjwt.process import child
from lbjwt.process.channel import read_memory
from lbjwt.process.shared import Shared, keeper_needed

LIMIT: Final = 10.0
"""Seconds for reading and checking. The longest legal file takes two or three, one with a fault or without some value about five."""


_UNDISCOVERED: Final = (
    "its endpoints have names to resolve or are in a file to watch, and this service was started without a control process, which would do that: "
    "this needs a restart"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was read, seen from the configuration in force."""

    reading: Reading
    """Its configuration is the one to apply: the new one, with the old values of `restart`."""
    changes: list[str]
    restart: list[str]
    """Keys whose new values need a restart."""
    fingerprint: str


class Reader:
    """
    One process that reads a configuration.

    Args:
        leave: Called in the process, to give up what only the supervisor has.

    Raises:
        OSError: No process or descriptor is to be had.
    """

    def __init__(
        self, source: Source, shared: Shared, mask: set[signal.Signals] | set[int], leave: Callable[[], object]
    ) -> None:
        self._late = False
        self._result = os.memfd_create("lbjwt", os.MFD_CLOEXEC)
        parent = os.getpid()
        try:
            self.pid = os.fork()
        except OSError:
            os.close(self._result)
            raise
        if self.pid == 0:
            child.become(lambda: self._live(source, shared, leave), parent, mask, name="lbjwt-reader")

    def _live(self, source: Source, shared: Shared, leave: Callable[[], object]) -> int:
        leave()
        shared.bindings.close()
        wanted = wanted_of(source.read(), shared.configuration, controlled=shared.wakeups is not None)
        with open(self._result, "wb", closefd=False) as file:
            pickle.dump(wanted, file, pickle.HIGHEST_PROTOCOL)
        return child.OK

    def result(self) -> Wanted | str | None:
        """Return what was read, or in a sentence why nothing was; None while it runs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        self.pid = 0
        code = os.waitstatus_to_exitcode(status)
        try:
            if code == child.OK:
                found: Wanted = pickle.loads(read_memory(self._result))  # noqa: S301 - from our own child
                return found
        finally:
            os.close(self._result)
        if self._late:
            return f"reading it did not end within {LIMIT:g} s"
        if code < 0:
            return f"reading it was killed by {signal.Signals(-code).name}"
        return f"reading it failed with code {code}, which is a fault of lbjwt worth reporting"

    def kill(self) -> None:
        """End it, because it takes too long; `result` tells when it is gone."""
        self._late = True
        os.kill(self.pid, signal.SIGKILL)  # not reaped yet, so the number is still its own


def wanted_of(reading: Reading, old: Configuration, *, controlled: bool) -> Wanted:
    """
    Compare what was read with the configuration in force.

    Args:
        controlled: There is a control process.
    """
    new = reading.configuration
    if new is None:
        return Wanted(reading, [], [], "")
    try:
        effective, restart = until_restart(old, new)
    except ConfigurationError as error:
        return _refused(reading, error.problems, needs_restart(old, new))
    if not controlled and keeper_needed(effective):
        sentence = "the control process fetches keys from a URL, and this service was started without one: this needs a restart"
        problems = [
            Problem(("issuers", label), sentence, code="needs-restart", at_key=True)
            for label, issuer in effective.issuers.items()
            if issuer.fetch is not None
        ]
        problems += [
            Problem(("clusters", label), _UNDISCOVERED, code="needs-restart", at_key=True)
            for label, cluster in effective.clusters.items()
            if is_discovered(cluster)
        ]
        sentence = (
            "this service was started without a control process, which would check the endpoints: this needs a restart"
        )
        problems += [
            Problem(("clusters", name, "health_check"), sentence, code="needs-restart", at_key=True)
            for name, cluster in effective.clusters.items()
            if cluster.health_check is not None
        ]
        if problems:
            return _refused(reading, problems, restart)
    reading = replace(reading, configuration=effective)
    return Wanted(reading, [str(change) for change in changes(old, effective)], restart, effective.fingerprint)


def _refused(reading: Reading, problems: Iterable[Problem], restart: list[str]) -> Wanted:
    placed = (*reading.problems, *map(reading.placed, problems))
    return Wanted(replace(reading, configuration=None, problems=placed), [], restart, "")
