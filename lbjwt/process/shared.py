"""
What the supervisor makes before it forks, and every process of the service has: configuration, sockets, shared memory, eventfds, a directory.
"""

from dataclasses import dataclass
from pathlib import Path

from lbjwt.config.model import Configuration
from lbjwt.keys.feed import KeyFeed
from lbjwt.observe._board import Board
from lbjwt.observe._offenders import Offenders
from lbjwt.observe.rows import RowNumbers
from lbjwt.process.bindings import Bindings
from lbjwt.process.wakeups import Wakeups


@dataclass(frozen=True, slots=True)
class Shared:
    """One for the whole service."""

    configuration: Configuration
    bindings: Bindings
    board: Board
    rows: RowNumbers
    """Where the board counts what the configuration names."""
    offenders: Offenders | None = None
    """None when nobody would look at them."""
    wakeups: Wakeups | None = None
    """None without a control process."""
    directory: Path | None = None
    """The state directory, written by the control process only; None when nothing would be written."""
    feed: KeyFeed | None = None
    """The key sets that are fetched; None without a control process."""


def keeper_needed(configuration: Configuration) -> bool:
    """True when there is something to do for a control process; without, none is forked and nothing is made for one."""
    return configuration.admin is not None or configuration.revocation is not None or keys_fetched(configuration)


def state_needed(configuration: Configuration) -> bool:
    """True when there is something to write: revocations made at run time, and keys that are fetched when they shall outlive a restart."""
    kept = configuration.state_directory is not None and keys_fetched(configuration)
    return configuration.revocation is not None or kept


def keys_fetched(configuration: Configuration) -> bool:
    """True when some key source is behind a URL."""
    return any(issuer.fetch is not None for issuer in configuration.issuers.values())
