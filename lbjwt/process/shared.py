"""What the supervisor makes before it forks: every process of the service has it."""

from dataclasses import dataclass
from pathlib import Path

from lbjwt.config.model import Configuration
from lbjwt.keys.feed import KeyFeed
from lbjwt.observe._board import Board
from lbjwt.observe._offenders import Offenders
from lbjwt.process.bindings import Bindings
from lbjwt.process.wakeups import Wakeups


@dataclass(frozen=True, slots=True)
class Shared:
    configuration: Configuration
    bindings: Bindings
    board: Board
    offenders: Offenders | None = None
    """None without a limit on failures and without an admin API."""
    wakeups: Wakeups | None = None
    """None without a control process."""
    directory: Path | None = None
    """The state directory, which only the control process writes; None when nothing would be written."""
    feed: KeyFeed | None = None
    """None without a control process."""


def keeper_needed(configuration: Configuration) -> bool:
    """Whether the service needs a control process."""
    return configuration.admin is not None or configuration.revocation is not None or keys_fetched(configuration)


def state_needed(configuration: Configuration) -> bool:
    """True when there is something to write: revocations made at run time, and keys that are fetched when they shall outlive a restart."""
    kept = configuration.state_directory is not None and keys_fetched(configuration)
    return configuration.revocation is not None or kept


def keys_fetched(configuration: Configuration) -> bool:
    """True when some key source is behind a URL."""
    return any(issuer.fetch is not None for issuer in configuration.issuers.values())
