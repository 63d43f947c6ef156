"""All bound sockets of the service, by worker slot: the supervisor makes them, its children inherit them."""

import itertools
import os
import socket
from dataclasses import dataclass
from typing import Self

from lbjwt.address import Address
from lbjwt.config.model import Configuration
from lbjwt.net import sockets
from lbjwt.net.sockets import BindError, backlog, bind


def worker_count(configuration: Configuration) -> int:
    """Return the number of worker slots; ``auto`` is one per processor that this process may use."""
    return len(os.sched_getaffinity(0)) if configuration.workers == "auto" else configuration.workers


@dataclass(slots=True)
class Bindings:
    """Bound sockets; `admin` listens already, the others listen when their worker says so."""

    slots: list[list[list[socket.socket]]]
    """slots[worker][listener]: one socket for each IP address of the listener."""
    admin: list[socket.socket]
    """Of the control process; the supervisor's copies keep queued clients while that process is replaced."""

    @classmethod
    def bind(cls, configuration: Configuration) -> Self:
        """Bind all addresses of the configuration; after a BindError none is left bound."""
        count = worker_count(configuration)
        bindings = cls([[] for _ in range(count)], [])
        try:
            for index, listener in enumerate(configuration.listeners):
                for slot, found in zip(
                    bindings.slots, bind(listener.address, key=f"listeners[{index}].address", copies=count), strict=True
                ):
                    slot.append(found)
            if configuration.admin is not None:
                bindings.admin = bind(configuration.admin.address, key="admin.address")[0]
                for sock in bindings.admin:
                    sock.listen(backlog())
        except BindError:
            bindings.close()
            raise
        return bindings

    def of(self, slot: int) -> list[socket.socket]:
        return list(itertools.chain.from_iterable(self.slots[slot]))

    def keep(self, slot: int) -> None:
        """In a child: close the sockets of other slots, or a queue would outlive the process that serves it."""
        for other in range(len(self.slots)):
            if other != slot:
                sockets.close(self.of(other))
        if slot < len(self.slots):
            sockets.close(self.admin)

    def close(self) -> None:
        self.keep(len(self.slots))
        sockets.close(self.admin)

    def describe(self) -> list[tuple[str, str]]:
        """Each socket with its address: ("listeners[0]", "127.0.0.1:8080")."""
        found = [(f"listeners[{index}]", sock) for index, bound in enumerate(self.slots[0]) for sock in bound]
        found += [("admin", sock) for sock in self.admin]
        return [(name, str(Address(*sock.getsockname()[:2]))) for name, sock in found]
