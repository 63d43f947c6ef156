"""
One configuration on its way to the processes of a service: its number, what it says, the members of its clusters, the rows of its names, and what it
needs opened. When only members change, they travel without the configuration.

The supervisor makes one at each reload and sends it to every child over its channel; children that are forked later begin with it. The start is
generation 0.
"""

import os
import pickle
import socket
from dataclasses import dataclass, field
from typing import Final, Self

from lbjwt.assembly.discovered import Discovered
from lbjwt.config.model import Configuration
from lbjwt.keys.feed import KeyFeed
from lbjwt.observe.rows import RowNumbers
from lbjwt.process.channel import Message, read_memory, sealed_memory

GENERATION: Final = "generation"
"""Kind of the messages that carry one."""

MEMBERS: Final = "members"
"""Kind of the messages that carry the members of clusters alone."""

RELOADED: Final = "reloaded"
"""Kind of the message that tells the control process how a reload ended."""


@dataclass(slots=True)
class Generation:
    """What a child is to apply. It owns the sockets that nobody took."""

    number: int
    configuration: Configuration | None
    """None: the one before stays, and only members of its clusters change."""
    discovered: Discovered | None
    rows: RowNumbers
    sockets: list[list[socket.socket]]
    """Of each listener, in the order of the configuration: copies of the bound sockets of this worker, also of those that it has already."""

    def close(self) -> None:
        """Close the sockets."""
        for bound in self.sockets:
            for sock in bound:
                sock.close()


@dataclass(slots=True)
class Delivery:
    """A generation as it came out of the channel, its configuration still packed."""

    number: int
    whole: bool
    _message: Message
    _sockets: list[list[socket.socket]] = field(default_factory=list)

    @classmethod
    def take(cls, message: Message, feed: KeyFeed | None) -> Self:
        """
        Take the descriptors out of a message.

        The memory of new key sources is attached at once, also when this configuration is never applied because another follows: it is sent once.

        Args:
            feed: Of this process; None when nobody fetches keys for it.
        """
        facts, fds = message.facts, message.descriptors
        made = cls(facts["number"], message.whole, message)
        if not message.whole:
            return made
        if message.kind == MEMBERS:
            return made
        for count in facts["sockets"]:
            made._sockets.append([socket.socket(fileno=fds.pop(0)) for _ in range(count)])
        for longest in facts["feeds"]:
            fd = fds.pop(0)
            if feed is not None:
                feed.attach({int(source): max_bytes for source, max_bytes in longest.items()}, fd)
            os.close(fd)
        return made

    def unpacked(self) -> Generation:
        """Unpack the configuration. Takes milliseconds, or hundreds of them for a thousand routes: not for an event loop."""
        configuration, discovered, rows = pickle.loads(read_memory(self._message.body))  # noqa: S301 - from our own supervisor, by a socket made before the fork
        sockets, self._sockets = self._sockets, []
        return Generation(self.number, configuration, discovered, rows, sockets)

    def close(self) -> None:
        """Close what nobody took."""
        self._message.close()
        for bound in self._sockets:
            for sock in bound:
                sock.close()
        self._sockets = []


def packed(configuration: Configuration | None, discovered: Discovered | None, rows: RowNumbers) -> int:
    """
    Return a descriptor of sealed memory with the body of a message.

    Args:
        configuration: None for the members alone.

    Raises:
        OSError: No memory or descriptor is left.
    """
    return sealed_memory(pickle.dumps((configuration, discovered, rows), pickle.HIGHEST_PROTOCOL))
