"""
A Unix socket to listen on: bound to its path, with its mode set before anybody can connect, and without what a killed process left there.

All workers accept on the one socket: the kernel has no SO_REUSEPORT for paths. Who bound it, or took it over, removes the path when nobody accepts
there any more.
"""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterable
from typing import Self


class UnixListener(socket.socket):
    """A bound socket whose path this process removes."""

    _path = ""
    _process = 0
    _inode: tuple[int, int] | None = None

    @classmethod
    def bind_to(cls, path: str, mode: int) -> Self:
        """
        Args:
            mode: Of the path: who may write to it may connect.

        Raises:
            OSError: Somebody listens there, something else has this name, or the directory does not exist or cannot be written.
        """
        sock = cls(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            try:
                sock.bind(path)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or (fault := path_fault(path)):
                    raise OSError(error.errno, fault if error.errno == errno.EADDRINUSE else error.strerror) from None
                os.unlink(path)  # left by a process that was killed
                sock.bind(path)
            sock.setblocking(False)
            sock._own()
            sock.set_mode(mode)  # nobody can connect before listen(2)
        except OSError:
            sock.close()
            raise
        return sock

    @classmethod
    def taken_over(cls, inherited: socket.socket) -> Self:
        """The same socket, of which this process removes the path from now on."""
        sock = cls(fileno=inherited.detach())
        sock._own()
        return sock

    def _own(self) -> None:
        self._path, self._process = self.getsockname(), os.getpid()
        with contextlib.suppress(OSError):
            self._inode = _inode_of(self._path)

    def set_mode(self, mode: int) -> None:
        """Of a path that belongs to this process. OSError: it is gone."""
        if self._process == os.getpid():
            os.chmod(self._path, mode)

    def remove(self) -> None:
        """Remove the path, once; not in a process that inherited the socket by a fork, and not if something else is there by now."""
        if self._process == os.getpid() and self._inode is not None:
            with contextlib.suppress(OSError):
                if _inode_of(self._path) == self._inode:
                    os.unlink(self._path)
            self._inode = None


def remove_paths(sockets: Iterable[socket.socket]) -> None:
    """Remove the paths of those sockets that have one and belong to this process."""
    for sock in sockets:
        if isinstance(sock, UnixListener):
            sock.remove()


def set_modes(sockets: Iterable[socket.socket], mode: int) -> None:
    """Give the paths of those sockets that have one another mode, as after a reload. A path that is gone stays gone."""
    for sock in sockets:
        if isinstance(sock, UnixListener):
            with contextlib.suppress(OSError):
                sock.set_mode(mode)


def path_fault(path: str) -> str:
    """Why nobody can listen at a path that is there; "" when only a killed process left it."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return "the path is there and is no socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            probe.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return ""
    except BlockingIOError:  # its queue is full
        pass
    except OSError as error:
        return f"the path is there and cannot be connected to: {os.strerror(error.errno or 0)}"
    return "another process listens there"


def _inode_of(path: str) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino
