"""
All bound sockets of the service, by worker slot. The supervisor makes them and every worker inherits its own; a reload keeps the sockets of
listeners that stay. So does an upgrade: they are taken over from the program that this one replaces, and handed on to the one that replaces it.
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
from lbjwt.net.sockets import BindError, backlog, bind, bind_beside, bind_path, stop_listening
from lbjwt.net.unix_socket import UnixListener, remove_paths, set_modes
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
    """Of the control process; the supervisor's copies keep what is queued while that is replaced."""
    names: list[str] = field(default_factory=list)
    """Of the listeners, as `Configuration.named_listeners` has them."""
    common: list[list[socket.socket]] = field(default_factory=list)
    """common[listener]: sockets on which every worker accepts: a Unix socket. And those of a program before that had more workers, and not a multiple
    of ours: to close one of its sockets would reset the connections that are queued there."""
    borrowed: bool = False
    """Another program uses the same sockets: none may stop listening."""

    @classmethod
    def bind(cls, configuration: Configuration, predecessor: Predecessor | None = None) -> Self:
        """
        Bind everything the configuration asks for; what the program before has bound already is taken over.

        Raises:
            BindError: One address cannot be had; the others are given back.
        """
        empty = cls([[] for _ in range(worker_count(configuration))], [], borrowed=predecessor is not None)
        bindings = empty.changed(configuration, predecessor)
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
        every: list[Bindings] = [self, *leaving]
        known = {name: (one, at) for one in every for at, name in enumerate(one.names)}
        ours = [_address(sock) for one in every if one.slots for bound in one.slots[0] for sock in bound]
        if predecessor is not None:
            ours += predecessor.addresses()
        made = type(self)([[] for _ in self.slots], self.admin, borrowed=self.borrowed)
        try:
            for index, (name, listener) in enumerate(configuration.named_listeners.items()):
                key = f"listeners[{index}].address"
                shared: list[socket.socket] = []
                if name in known:
                    one, at = known[name]
                    found, shared = [slot[at] for slot in one.slots], one.common[at]
                    set_modes(shared, listener.path_mode)
                elif listener.address.path is not None:
                    found = [[] for _ in self.slots]
                    left = predecessor.take(name) if predecessor is not None else []
                    shared = [UnixListener.taken_over(sock) for sock in left]
                    if not shared:
                        try:
                            shared = [bind_path(listener.address.path, listener.path_mode, key=key)]
                        except BindError as error:
                            raise ListenerError(index, error) from None
                elif predecessor is not None and (left := predecessor.take(name)):
                    found, shared = _spread(left, len(self.slots), key=key)
                else:
                    try:
                        found = bind(listener.address, key=key, copies=len(self.slots), ours=ours)
                    except BindError as error:
                        raise ListenerError(index, error) from None
                for slot, bound in zip(made.slots, found, strict=True):
                    slot.append(bound)
                made.common.append(shared)
                made.names.append(name)
        except BindError:
            made.part(name for name in made.names if name not in known).close()
            raise
        return made

    def part(self, names: Iterable[str]) -> Self:
        """Return the sockets of some listeners only; those of others and of the admin API are left out."""
        wanted = frozenset(names)
        at = [index for index, name in enumerate(self.names) if name in wanted]
        return type(self)(
            [[slot[index] for index in at] for slot in self.slots],
            [],
            [self.names[index] for index in at],
            [self.common[index] for index in at],
            self.borrowed,
        )

    def of(self, slot: int) -> list[socket.socket]:
        """The sockets of a worker alone."""
        return list(itertools.chain.from_iterable(self.slots[slot]))

    def accepting(self, slot: int) -> list[list[socket.socket]]:
        """The sockets a worker accepts on, by listener."""
        return [own + shared for own, shared in zip(self.slots[slot], self.common, strict=True)]

    def by_listener(self) -> list[tuple[str, list[socket.socket]]]:
        """Of each listener its name and its sockets, of all workers."""
        return [
            (name, [*itertools.chain.from_iterable(slot[at] for slot in self.slots), *self.common[at]])
            for at, name in enumerate(self.names)
        ]

    def refuse(self, slot: int | None) -> None:
        """Queue no more clients for a worker; None: for good on the sockets that all share. Nothing happens while they are borrowed."""
        if not self.borrowed:
            if slot is None:
                remove_paths(itertools.chain.from_iterable(self.common))
            stop_listening(itertools.chain.from_iterable(self.common) if slot is None else self.of(slot))

    def keep(self, slot: int) -> None:
        """
        In a child: close all sockets but those of this slot, or a queue would outlive the process that serves it. Others are the control process'.
        """
        for other in range(len(self.slots)):
            if other != slot:
                sockets.close(self.of(other))
        if slot < len(self.slots):
            sockets.close(self.admin)
        else:
            sockets.close(itertools.chain.from_iterable(self.common))

    def close(self) -> None:
        if not self.borrowed:
            remove_paths(itertools.chain.from_iterable(self.common))
        self.keep(len(self.slots))
        sockets.close(self.admin)

    def describe(self, before: "Bindings | None" = None) -> list[tuple[str, str]]:
        """What is open where, as the kernel knows it: ("listeners[0]", "127.0.0.1:8080"); only what is new since other bindings."""
        found = [
            (f"listeners[{index}]", sock)
            for index, (name, bound) in enumerate(zip(self.names, self.accepting(0), strict=True))
            if before is None or name not in before.names
            for sock in bound
        ]
        found += [("admin", sock) for sock in self.admin if before is None]
        return list(dict.fromkeys((name, _text_of(sock)) for name, sock in found))


def _spread(
    found: Sequence[socket.socket], workers: int, *, key: str
) -> tuple[list[list[socket.socket]], list[socket.socket]]:
    """
    Give the sockets of one listener to the workers: to each as many, and those that are left to all.

    Raises:
        BindError: There are fewer than workers, and the kernel gives no more.
    """
    own: list[list[socket.socket]] = [[] for _ in range(workers)]
    shared: list[socket.socket] = []
    for _, group in itertools.groupby(sorted(found, key=_address), _address):
        bound = list(group)
        try:
            while len(bound) < workers:
                bound.append(bind_beside(bound[0]))
        except OSError as error:
            raise BindError(f"{key}: cannot bind for another worker: {error.strerror}") from None
        whole = len(bound) - len(bound) % workers
        for at, sock in enumerate(bound):
            (own[at % workers] if at < whole else shared).append(sock)
    return own, shared


def _text_of(sock: socket.socket) -> str:
    return f"unix:{sock.getsockname()}" if sock.family == socket.AF_UNIX else str(Address(*_address(sock)))


def _address(sock: socket.socket) -> tuple[str, int]:
    host, port = sock.getsockname()[:2]
    return str(host), int(port)
