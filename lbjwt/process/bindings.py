"""
All bound sockets of the service, by worker slot. The supervisor makes them and every worker inherits its own; a reload keeps the sockets of
listeners that stay.
"""

import itertools
import os
import socket
from dataclasses import dataclass, field
from typing import Self

from lbjwt.address import Address
from lbjwt.config.model import Configuration
from lbjwt.net import sockets
from lbjwt.net.sockets import BindError, backlog, bind


def worker_count(configuration: Configuration) -> int:
    """Return the number of worker slots; ``auto`` is one per processor that this process may use."""
    return len(os.sched_getaffinity(0)) if configuration.workers == "auto" else configuration.workers


class ListenerError(BindError):
    """An address that cannot be listened on; `index` is that of the listener."""

    def __init__(self, index: int, error: BindError) -> None:
        super().__init__(str(error))
        self.index = index


@dataclass(slots=True)
class Bindings:
    """Bound sockets; `admin` listens already, the others listen when their worker says so."""

    slots: list[list[list[socket.socket]]]
    """slots[worker][listener]: one socket for each IP address of the listener, in the order of ``configuration.listeners``."""
    admin: list[socket.socket]
    """Of the control process; the supervisor's copies keep what is queued while that is replaced."""
    names: list[str] = field(default_factory=list)
    """Of the listeners, as `Configuration.named_listeners` has them."""

    @classmethod
    def bind(cls, configuration: Configuration) -> Self:
        """
        Bind everything the configuration asks for.

        Raises:
            BindError: One address cannot be had; the others are given back.
        """
        bindings = cls([[] for _ in range(worker_count(configuration))], []).changed(configuration)
        try:
            if configuration.admin is not None:
                bindings.admin = bind(configuration.admin.address, key="admin.address")[0]
                for sock in bindings.admin:
                    sock.listen(backlog())
        except BindError:
            bindings.close()
            raise
        return bindings

    def changed(self, configuration: Configuration) -> Self:
        """
        Return the bindings for another configuration: with the sockets of those that stay, and new ones. These here stay as they are.

        Raises:
            ListenerError: One address cannot be had; the other new ones are given back.
        """
        names = list(configuration.named_listeners)
        made = type(self)([[] for _ in self.slots], self.admin, names)
        ours = [sock.getsockname()[:2] for sock in self.of(0)] if self.names else []
        try:
            for index, (name, listener) in enumerate(zip(names, configuration.listeners, strict=True)):
                if name in self.names:
                    found = [slot[self.names.index(name)] for slot in self.slots]
                else:
                    key = f"listeners[{index}].address"
                    try:
                        found = bind(listener.address, key=key, copies=len(self.slots), ours=ours)
                    except BindError as error:
                        raise ListenerError(index, error) from None
                for slot, bound in zip(made.slots, found, strict=True):
                    slot.append(bound)
        except BindError:
            sockets.close(itertools.chain.from_iterable(made.only_here(self)))
            raise
        return made

    def only_here(self, other: "Bindings") -> list[list[socket.socket]]:
        """By slot, the sockets of listeners that `other` does not have."""
        return [
            [sock for name, bound in zip(self.names, slot, strict=False) if name not in other.names for sock in bound]
            for slot in self.slots
        ]

    def of(self, slot: int) -> list[socket.socket]:
        return list(itertools.chain.from_iterable(self.slots[slot]))

    def keep(self, slot: int) -> None:
        """
        In a child: close all sockets but those of this slot, or a queue would outlive the process that serves it. Others are the control process'.
        """
        for other in range(len(self.slots)):
            if other != slot:
                sockets.close(self.of(other))
        if slot < len(self.slots):
            sockets.close(self.admin)

    def close(self) -> None:
        self.keep(len(self.slots))
        sockets.close(self.admin)

    def describe(self, before: "Bindings | None" = None) -> list[tuple[str, str]]:
        """What is open where, as the kernel knows it: ("listeners[0]", "127.0.0.1:8080"); only what is new since other bindings."""
        found = [
            (f"listeners[{index}]", sock)
            for index, (name, bound) in enumerate(zip(self.names, self.slots[0], strict=True))
            if before is None or name not in before.names
            for sock in bound
        ]
        found += [("admin", sock) for sock in self.admin if before is None]
        return [(name, str(Address(*sock.getsockname()[:2]))) for name, sock in found]
