"""
What the supervisor makes before it forks: every process of the service has it.

A reload replaces the configuration, its rows and the sockets in the supervisor: processes that are forked later start with those, and the others get
them over their channel.
"""

from dataclasses import dataclass
from pathlib import Path

from lbjwt.assembly.discovered import Discovered, discovers, in_force
from lbjwt.assembly.health import checks_configured
from lbjwt.assembly.state import keys_fetched
from lbjwt.config.model import Configuration
from lbjwt.keys.feed import KeyFeed
from lbjwt.observe._board import Board
from lbjwt.observe._offenders import Offenders
from lbjwt.observe.rows import RowNumbers
from lbjwt.process.bindings import Bindings
from lbjwt.process.channel import Channel
from lbjwt.process.wakeups import Wakeups


@dataclass(slots=True)
class Shared:
    configuration: Configuration
    bindings: Bindings
    board: Board
    rows: RowNumbers
    """Where the board counts what the configuration names."""
    offenders: Offenders | None = None
    """None without a limit on failures and without an admin API."""
    wakeups: Wakeups | None = None
    """None without a control process."""
    directory: Path | None = None
    """The state directory, which only the control process writes; None when nothing would be written."""
    feed: KeyFeed | None = None
    """None without a control process."""
    discovered: Discovered | None = None
    """The members of clusters, as far as they are discovered; None without a control process."""
    generation: int = 0
    """Number of what is in force: 0 at the start, one more with each reload and each change of members."""
    configured: int = 0
    """The generation that brought the configuration."""
    channel: Channel | None = None
    """In a child, its end of the channel to the supervisor."""
    files: int = -1
    """Descriptor of memory with what a worker said last of the files in force, see `lbjwt.process.files`; -1: none did yet."""

    @property
    def in_force(self) -> Configuration:
        """The configuration with the members of its clusters."""
        return in_force(self.configuration, self.discovered)


def keeper_needed(configuration: Configuration) -> bool:
    """Whether the service needs a control process."""
    return (
        configuration.admin is not None
        or configuration.revocation is not None
        or keys_fetched(configuration)
        or discovers(configuration)
        or checks_configured(configuration)
    )
