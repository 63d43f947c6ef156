"""
All bound sockets of the service, by worker slot. The supervisor makes them and every worker inherits its own; a reload keeps the sockets of
listeners that stay. They are taken over from the program that this one replaces, and handed on to the one that replaces it.
"""

import itertools
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from lbjwt.address import Address
from lbjwt.config.model import Configuration
from lbjwt.net import sockets
from lbjwt.net.sockets import BindError, backlog, bind, bind_beside, stop_listening
from lbjwt.process.handover import Predecessor


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
    """slots[worker][listener]: one socket for each IP address of the listener, in the order of ``configuration.listeners``. More than one where the
    program before had more workers."""
    admin: list[socket.socket]
    """Of the control process; the supervisor's copies keep queued clients while that process is replaced."""
    common: list[list[socket.socket]] = field(default_factory=list)
    """common[listener]: sockets on which every worker accepts. The program before had more workers, and not a multiple of ours: to close one of its
    sockets would reset the connections that are queued there."""
    names: list[str] = field(default_factory=list)
    """Of the listeners, as `Configuration.named_listeners` has them."""
    borrowed: bool = False
    """Another program uses the same sockets: none may stop listening."""

    @classmethod
    def bind(cls, configuration: Configuration, predecessor: Predecessor | None = None) -> Self:
        """
        Bind everything the configuration asks for; what the program before has bound already is taken over.

        Raises:
            BindError: One address cannot be had; the others are given back.
        """
        nothing = cls([[] for _ in range(worker_count(configuration))], [], borrowed=predecessor is not None)
        bindings = nothing.changed(configuration, predecessor)
        try:
            if configuration.admin is not None:
                address = configuration.admin.address
                bindings.admin = predecessor.take_admin(str(address)) if predecessor is not None else []
                bindings.admin = bindings.admin or bind(address, key="admin.address")[0]
                for sock in bindings.admin:
                    sock.listen(backlog())
        except BindError:
            bindings.close()
            raise
        return bindings

    def changed(
        self,
        configuration: Configuration,
        predecessor: Predecessor | None = None,
        *,
        leaving: Sequence["Bindings"] = (),
    ) -> Self:
        """
        Return the bindings for another configuration: with the sockets of listeners that stay, and new ones. These here stay as they are.

        Args:
            leaving: Listeners that are being closed: those that come back get their sockets again.

        Raises:
            ListenerError: One address cannot be had; the other new ones are given back.
        """
        names = list(configuration.named_listeners)
        every: list[Bindings] = [self, *leaving]
        ours = [_name(sock) for one in every if one.slots for bound in one.slots[0] for sock in bound]
        known = {name: (one, at) for one in every for at, name in enumerate(one.names)}
        made = type(self)([[] for _ in self.slots], self.admin, borrowed=self.borrowed)
        try:
            for index, (name, listener) in enumerate(zip(names, configuration.listeners, strict=True)):
                key = f"listeners[{index}].address"
                made.names.append(name)
                try:
                    if name in known:
                        one, at = known[name]
                        made._append([slot[at] for slot in one.slots], one.common[at])
                    elif predecessor is not None and (found := predecessor.take(str(listener.address))):
                        made._spread(found, key=key)
                    else:
                        made._append(bind(listener.address, key=key, copies=len(self.slots), ours=ours), [])
                except BindError as error:
                    raise ListenerError(index, error) from None
        except BindError:
            made.part(name for name in names if name not in known).close()
            raise
        return made

    def _append(self, found: Sequence[list[socket.socket]], common: list[socket.socket]) -> None:
        for slot, bound in zip(self.slots, found, strict=True):
            slot.append(bound)
        self.common.append(common)

    def _spread(self, found: Sequence[socket.socket], *, key: str) -> None:
        """Give the sockets of one more listener to the workers: to each as many, and those that are left to all."""
        count = len(self.slots)
        self._append([[] for _ in self.slots], [])
        for _, group in itertools.groupby(sorted(found, key=_name), _name):
            bound = list(group)
            try:
                while len(bound) < count:
                    bound.append(bind_beside(bound[0]))
            except OSError as error:
                raise BindError(f"{key}: cannot bind for another worker: {error.strerror}") from None
            whole = len(bound) - len(bound) % count
            for at, sock in enumerate(bound):
                (self.slots[at % count] if at < whole else self.common)[-1].append(sock)

    def part(self, names: Iterable[str]) -> Self:
        """Return the sockets of some listeners only; others and the admin API's are left out."""
        wanted = frozenset(names)
        at = [index for index, name in enumerate(self.names) if name in wanted and index < len(self.common)]
        return type(self)(
            [[slot[index] for index in at] for slot in self.slots],
            [],
            [self.common[index] for index in at],
            [self.names[index] for index in at],
            self.borrowed,
        )

    def of(self, slot: int) -> list[socket.socket]:
        """The sockets of a worker alone."""
        return list(itertools.chain.from_iterable(self.slots[slot]))

    def accepting(self, slot: int) -> list[list[socket.socket]]:
        """The sockets a worker accepts on, by listener."""
        return [own + shared for own, shared in zip(self.slots[slot], self.common, strict=True)]

    def by_listener(self) -> list[list[socket.socket]]:
        """The sockets of each listener, of all workers."""
        return [
            [*itertools.chain.from_iterable(slot[at] for slot in self.slots), *shared]
            for at, shared in enumerate(self.common)
        ]

    def refuse(self, slot: int | None) -> None:
        """Queue no more clients for a worker; None: on the sockets that all share. Nothing happens while they are borrowed."""
        if not self.borrowed:
            stop_listening(itertools.chain.from_iterable(self.common) if slot is None else self.of(slot))

    def keep(self, slot: int) -> None:
        """In a child: close the sockets of other slots, or a queue would outlive the process that serves it."""
        for other in range(len(self.slots)):
            if other != slot:
                sockets.close(self.of(other))
        if slot < len(self.slots):
            sockets.close(self.admin)
        else:
            sockets.close(itertools.chain.from_iterable(self.common))

    def close(self) -> None:
        self.keep(len(self.slots))
        sockets.close(self.admin)

    def describe(self, before: "Bindings | None" = None) -> list[tuple[str, str]]:
        """Each socket with its address: ("listeners[0]", "127.0.0.1:8080"); only what is new since other bindings."""
        found = [
            (f"listeners[{index}]", sock)
            for index, (name, bound) in enumerate(zip(self.names, self.slots[0], strict=True))
            if before is None or name not in before.names
            for sock in bound
        ]
        found += [("admin", sock) for sock in self.admin if before is None]
        return list(dict.fromkeys((name, str(Address(*_name(sock)))) for name, sock in found))


def _name(sock: socket.socket) -> tuple[str, int]:
    host, port = sock.getsockname()[:2]
    return str(host), int(port)
