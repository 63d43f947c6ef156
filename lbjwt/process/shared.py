"""
What the supervisor makes before it forks, and every process of the service has: configuration, sockets, shared memory, eventfds, a directory.
"""

from dataclasses import dataclass
from pathlib import Path

from lbjwt.assembly.issuers import issuer_instances
from lbjwt.config.model import Configuration
from lbjwt.observe._board import Board
from lbjwt.observe._offenders import Offenders
from lbjwt.process.bindings import Bindings
from lbjwt.process.wakeups import Wakeups

__all__ = ["Shared", "issuer_names", "keeper_needed", "state_needed"]


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
