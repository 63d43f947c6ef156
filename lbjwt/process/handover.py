"""
What a running program leaves to the one that replaces it (SIGUSR2), and how the two talk.

It is told in one environment variable, `VARIABLE`: JSON with the numbers of inherited descriptors. The new program takes what it has use for and
closes the rest. Both sides have an end of a socket pair: the new program sends `READY` once it serves, the old one answers `YOURS`. Until then
the old one may go on, so the new one must neither shut a listening socket down nor remove the state directory. Until `FINISHING`, the last word, the
old one may judge a request by its own configuration: one that its client began before.
"""

import contextlib
import json
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Final, Self

from lbjwt.errors import LbjwtError
from lbjwt.keys.feed import StoredKeySet, decoded

VARIABLE: Final = "LBJWT_UPGRADE"
FORMAT: Final = 1

READY: Final = b"ready"
READY_WITH_DIRECTORY: Final = b"ready, with the state directory"
"""The new program has taken over the temporary state directory too."""
YOURS: Final = b"yours"
FINISHING: Final = b"finishing"
"""The old program drains, and no request will begin there any more."""


class HandoverError(LbjwtError):
    """What the old program left cannot be used."""


@dataclass(frozen=True, slots=True)
class Handover:
    """Descriptors are numbers in the process that inherits them."""

    parent: int
    """Process id of the old supervisor."""
    link: int
    """The new program's end of the socket pair."""
    listeners: list[tuple[str, list[int]]]
    """Of each listener its name (`Configuration.named_listeners`), and its sockets in the order of the worker slots."""
    admin: tuple[str, list[int]] | None = None
    directory: str | None = None
    """The state directory."""
    lock: int | None = None
    """Holds its lock."""
    temporary: bool = False
    """It is removed at the end of the service."""
    keys: int | None = None
    """A file with the fetched key sets, one on each line."""
    relay: int | None = None
    """Leads to the process that stands for the service, see `lbjwt.process.relay`."""
    was_ready: bool = False
    """Requests with a good token were let through."""
    format: int = FORMAT

    def encoded(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def decoded(cls, text: str) -> Self:
        """
        Raises:
            HandoverError: It was written by another version, or by nobody of ours.
        """
        try:
            found = json.loads(text)
            if not isinstance(found, dict) or found.get("format") != FORMAT:
                raise HandoverError(f"{VARIABLE} is in the format of another version")
            listeners = [(str(address), list(map(int, fds))) for address, fds in found.pop("listeners")]
            admin = found.pop("admin")
            admin = None if admin is None else (str(admin[0]), list(map(int, admin[1])))
            return cls(listeners=listeners, admin=admin, **found)
        except (ValueError, TypeError, KeyError, IndexError):
            raise HandoverError(f"{VARIABLE} cannot be read") from None

    def descriptors(self) -> list[int]:
        """All of them."""
        fds = [fd for _, some in [*self.listeners, *([self.admin] if self.admin else [])] for fd in some]
        return [*fds, *(fd for fd in (self.link, self.lock, self.keys, self.relay) if fd is not None)]


def kept_keys(stored: Sequence[StoredKeySet]) -> int:
    """A descriptor of a memory file with the key sets, for `Predecessor.keys`."""
    fd = os.memfd_create("lbjwt-keys")
    with open(os.dup(fd), "wb") as file:
        for one in stored:
            file.write(one.encoded() + b"\n")
    return fd


@dataclass(slots=True)
class Predecessor:
    """The program that this one replaces, seen from here. Owns what was inherited until it is taken."""

    handover: Handover
    _link: socket.socket
    _listeners: dict[str, list[socket.socket]]
    _admin: list[socket.socket] = field(default_factory=list)
    _told: bool = False
    _owns: bool = False

    @classmethod
    def of_environment(cls) -> Self | None:
        """
        The program that started this one as its successor; None when there is none. The variable is gone afterwards: it is not meant for children.

        Raises:
            HandoverError: What it left cannot be used.
        """
        text = os.environ.pop(VARIABLE, None)
        if text is None:
            return None
        handover = Handover.decoded(text)
        try:
            link = socket.socket(fileno=handover.link)
            maker, _, _ = struct.unpack(
                "3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            )
            if link.family != socket.AF_UNIX or maker != handover.parent:
                link.close()
                raise HandoverError(f"{VARIABLE} is not meant for this process")
            for fd in handover.descriptors():
                os.set_inheritable(fd, False)
            found = cls(
                handover,
                link,
                {name: [socket.socket(fileno=fd) for fd in fds] for name, fds in handover.listeners},
                [socket.socket(fileno=fd) for fd in (handover.admin[1] if handover.admin else [])],
            )
        except OSError as error:
            raise HandoverError(f"{VARIABLE} names a descriptor that is not there: {error.strerror}") from None
        found._link.setblocking(False)
        return found

    def take(self, name: str) -> list[socket.socket]:
        """The sockets of a listener; [] when the old program has none of that name."""
        return self._listeners.pop(name, [])

    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of every listener that was not taken and has them."""
        left = [sock for found in self._listeners.values() for sock in found if sock.family != socket.AF_UNIX]
        return list({sock.getsockname()[:2] for sock in left})

    def take_admin(self, address: str) -> list[socket.socket]:
        """The listening sockets of the admin API; [] when it has another address."""
        if self.handover.admin is None or self.handover.admin[0] != address:
            return []
        found, self._admin = self._admin, []
        return found

    def keys(self) -> list[StoredKeySet]:
        """The key sets that the old program had fetched."""
        if self.handover.keys is None:
            return []
        with open(self.handover.keys, "rb", closefd=False) as file:
            file.seek(0)
            return [stored for line in file if (stored := decoded(line)) is not None]

    def drop(self) -> None:
        """Close what was not taken."""
        for found in self._listeners.values():
            for sock in found:
                sock.close()
        for sock in self._admin:
            sock.close()
        self._listeners, self._admin = {}, []
        if self.handover.keys is not None:
            with contextlib.suppress(OSError):
                os.close(self.handover.keys)

    def close(self) -> None:
        """Close the link, also in a worker: while it is open, the old program assumes that a process of this one may write the state directory."""
        self._link.close()

    def tell_ready(self, *, directory: bool) -> None:
        """All processes of this program serve; once. directory: it uses the temporary state directory."""
        if not self._told:
            self._told = True
            with contextlib.suppress(OSError):  # it died: `owns` tells
                self._link.send(READY_WITH_DIRECTORY if directory else READY)

    def owns(self) -> bool:
        """True once the old program gives everything up, or is gone: sockets and directory are this program's."""
        if not self._owns:
            try:
                self._link.recv(64)
            except BlockingIOError:
                return False
            except OSError:
                pass
            self._owns = True
        return True

    def is_finishing(self) -> bool:
        """After `owns`: True once no request can begin in the old program any more, or it is gone."""
        try:
            return self._link.recv(64) in (FINISHING, b"")
        except BlockingIOError:
            return False
        except OSError:
            return True
