"""
From addresses to bound sockets.

Every worker slot gets a TCP socket of its own on the same address (SO_REUSEPORT): the kernel spreads connections over them and no worker wakes
for another's client. The sockets are bound and do **not** listen: until a worker listens on one, a client is refused at once instead of waiting in
a queue that nobody serves. They survive fork, so the supervisor owns them for its whole life, and the next worker serves a connection queued on a
dead worker's socket.
"""

import contextlib
import errno
import os
import socket
from collections.abc import Collection, Iterable
from typing import Final

from lbjwt.address import Address
from lbjwt.errors import LbjwtError
from lbjwt.net.unix_socket import UnixListener

_NOT_HERE: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)
"""This machine lacks the address, or its whole family (IPv6 switched off)."""

_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})

Place = tuple[int, str]
"""Address family and numeric host."""


class BindError(LbjwtError):
    """An address that cannot be listened on; the message names the configuration key, the address and the cause."""


def backlog() -> int:
    """Return the longest accept queue the kernel grants (net.core.somaxconn), so that a burst waits rather than fails."""
    try:
        with open("/proc/sys/net/core/somaxconn", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return socket.SOMAXCONN


def bind(
    address: Address, *, key: str, copies: int = 1, ours: Collection[tuple[str, int]] = ()
) -> list[list[socket.socket]]:
    """
    Bind `copies` sets of non-blocking sockets to one address; a set has one socket for each IP address the host stands for and this machine has.

    A name may stand for addresses that are not here: ``localhost`` is ``::1`` too on a machine without IPv6. Those are left out; one of them at
    least must be here. An empty host is every IPv4 and every IPv6 address, in two sockets: with one dual-stack socket IPv4 peers would show up
    as ``::ffff:192.0.2.1``, and rules on addresses would miss them. Port 0: the kernel chooses, and all sets share the port.

    Args:
        address: Where to listen.
        key: Configuration key of the address, for the error message.
        copies: Worker slots, at least 1.
        ours: IP addresses and ports of sockets that this process has bound already; a new one may share them, as `:80` does with `127.0.0.1:80`.

    Raises:
        BindError: The name does not resolve, or the address is in use, not local, or needs a privilege.
    """
    sets: list[list[socket.socket]] = []
    with contextlib.ExitStack() as undo:
        try:
            places = _here(_places(address, key))
            port = address.port or _free_port(places[0], undo)
            if address.port:
                for place in places:
                    if not _overlaps(place, port, ours):
                        _refuse_foreign_owner(place, port)
            for _ in range(copies):
                bound: list[socket.socket] = []
                sets.append(bound)
                for place in places:
                    bound.append(_bind_one(place, port))
        except OSError as error:
            for bound in sets:
                close(bound)
            raise BindError(f"{key}: cannot listen on {address}: {_explain(error)}") from None
    return sets


def bind_beside(sock: socket.socket) -> socket.socket:
    """
    One more socket on the address of a bound one, which shares its port.

    Raises:
        OSError: The kernel gives none.
    """
    host, port = sock.getsockname()[:2]
    return _bind_one((sock.family, host), port)


def close(sockets: Iterable[socket.socket]) -> None:
    """Close this process' copies; other processes keep theirs."""
    for sock in sockets:
        sock.close()


def bind_path(path: str, mode: int, *, key: str) -> UnixListener:
    """
    Bind one socket, for all workers, to a path.

    Args:
        mode: Of the path: who may write to it may connect.
        key: As for `bind`.

    Raises:
        BindError: Somebody listens there, something else has this name, or the directory does not exist or cannot be written.
    """
    try:
        return UnixListener.bind_to(path, mode)
    except OSError as error:
        why = {
            errno.ENOENT: "the directory does not exist",
            errno.EACCES: "lbjwt may not create the path in this directory",
        }.get(error.errno or 0, error.strerror)
        raise BindError(f"{key}: cannot listen on unix:{path}: {why}") from None


def stop_listening(sockets: Iterable[socket.socket]) -> None:
    """
    Take listening sockets out of the kernel's rotation without giving up their port: no new connection goes to them, queued ones are reset.

    Linux: shutdown(2) of a listening socket leaves it bound, and a later listen(2) brings it back, except on a Unix socket. A socket that does not
    listen is left alone: shutdown(2) would mark it for good, and every client accepted after the next listen(2) would look as if it had closed its
    side.
    """
    for sock in sockets:
        with contextlib.suppress(OSError):
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                sock.shutdown(socket.SHUT_RD)


def _places(address: Address, key: str) -> list[Place]:
    if address.host == "":
        return [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")]
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise BindError(
            f"{key}: cannot listen on {address}: the host name does not resolve ({error.strerror})"
        ) from None
    return list(dict.fromkeys((int(family), str(sockaddr[0])) for family, _, _, _, sockaddr in found))


def _here(places: list[Place]) -> list[Place]:
    """The places that this machine has; raises the OSError of the first one when it has none."""
    found: list[Place] = []
    missing: list[OSError] = []
    for place in places:
        try:
            with _new(place) as probe:
                probe.bind((place[1], 0))
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            missing.append(error)
        else:
            found.append(place)
    if not found:
        raise missing[0]
    return found


def _free_port(place: Place, undo: contextlib.ExitStack) -> int:
    """
    A port that the kernel chooses, held until `undo` is closed so that nobody else gets it meanwhile.

    The real sockets ask for it by number: Linux takes a port that it chose itself away from a socket that stops listening.
    """
    sock = undo.enter_context(_bind_one(place, 0))
    return int(sock.getsockname()[1])


def _refuse_foreign_owner(place: Place, port: int) -> None:
    """SO_REUSEPORT would silently share a port with any process of the same user: ask without it first whether somebody listens there."""
    try:
        with _new(place) as probe:
            probe.bind((place[1], port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise


def _overlaps(place: Place, port: int, ours: Collection[tuple[str, int]]) -> bool:
    return any(port == bound and (host == place[1] or {host, place[1]} & _EVERYWHERE) for host, bound in ours)


def _bind_one(place: Place, port: int) -> socket.socket:
    sock = _new(place)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((place[1], port))
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _new(place: Place) -> socket.socket:
    sock = socket.socket(place[0], socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if place[0] == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock


def _explain(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "the port is in use by another process"
        case errno.EADDRNOTAVAIL:
            return "this machine does not have the address"
        case errno.EACCES:
            return "ports below net.ipv4.ip_unprivileged_port_start need the capability CAP_NET_BIND_SERVICE"
    return os.strerror(error.errno) if error.errno else str(error)
