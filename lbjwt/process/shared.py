"""
What the supervisor makes before it forks, and every process of the service has: configuration, sockets, shared memory, eventfds, a directory.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lbjwt.assembly.issuers import issuer_instances
from lbjwt.config.model import Configuration
from lbjwt.observe._board import Board
from lbjwt.observe._offenders import Offenders
from lbjwt.process.bindings import Bindings
from lbjwt.process.wakeups import Wakeups

__all__ = ["FAILURE_WINDOW", "Shared", "issuer_names", "keeper_needed", "new_offenders", "state_needed"]

FAILURE_WINDOW: Final = 60.0
"""Seconds that are looked back for suspicious addresses, unless `fail_limit` says otherwise."""


@dataclass(frozen=True, slots=True)
class Shared:
    """One for the whole service."""

    configuration: Configuration
    bindings: Bindings
    board: Board
    offenders: Offenders | None = None
    """None when nobody would look at them."""
    wakeups: Wakeups | None = None
    """None without a keeper."""
    directory: Path | None = None
    """The state directory, written by the keeper only; None when nothing would be written."""


def keeper_needed(configuration: Configuration) -> bool:
    """True when there is something to do for a keeper; without, none is forked and nothing is made for one."""
    return configuration.admin is not None or state_needed(configuration)


def state_needed(configuration: Configuration) -> bool:
    """True when there is something to write: keys that are fetched, revocations made at run time."""
    return configuration.revocation is not None or any(
        issuer.fetch is not None for issuer in configuration.issuers.values()
    )


def issuer_names(configuration: Configuration) -> tuple[str, ...]:
    """The name of every issuer index, in its order."""
    return tuple(instance.name for instance in issuer_instances(configuration))


def new_offenders(configuration: Configuration, workers: int) -> Offenders | None:
    """Failures by address, when there is a limit on them or a door to show them at."""
    limit = configuration.fail_limit
    if limit is not None:
        return Offenders(workers, limit=limit.failures, window=limit.window)
    return Offenders(workers, window=FAILURE_WINDOW) if configuration.admin is not None else None
