"""
How the supervisor hands things to one of its children while that runs: a pair of SOCK_SEQPACKET sockets, made before the fork.

A message is a kind, a few facts (JSON), and open descriptors (SCM_RIGHTS), one of them for a body in sealed memory. Nobody ever waits: a message that
finds no room is not sent, and one that did not arrive whole, because the receiver may not open more files, says so.
"""

import array
import fcntl
import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

MOST_DESCRIPTORS: Final = 250
"""Of one message, beside its body; the kernel takes 253 (SCM_MAX_FD, unix(7))."""

LONGEST: Final = 1 << 16
"""Bytes of a message without its body."""

_CONTROL: Final = socket.CMSG_SPACE((MOST_DESCRIPTORS + 1) * array.array("i").itemsize)

SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@dataclass(slots=True)
class Message:
    """One message, as it was received. Who receives it owns the descriptors."""

    kind: str
    facts: dict[str, Any]
    body: int
    """Descriptor of the memory with the body, see `read_memory`; -1 without one."""
    descriptors: list[int] = field(default_factory=list)
    whole: bool = True
    """False when descriptors are missing: this process may not open more files."""

    def close(self) -> None:
        """Close what nobody took."""
        for fd in [self.body, *self.descriptors]:
            if fd >= 0:
                os.close(fd)
        self.body, self.descriptors = -1, []


class Channel:
    """One end."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    @classmethod
    def pair(cls) -> tuple[Self, Self]:
        """
        Make the two ends.

        Raises:
            OSError: No descriptors are left.
        """
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for sock in (one, other):
            sock.setblocking(False)
        return cls(one), cls(other)

    def fileno(self) -> int:
        """Readable when there is a message."""
        return self._socket.fileno()

    def send(self, kind: str, facts: dict[str, Any], *, body: int = -1, descriptors: Sequence[int] = ()) -> bool:
        """
        Send a message. The descriptors stay open here.

        Args:
            kind: What the receiver does with it.
            facts: JSON.
            body: Descriptor of sealed memory; -1: the message has none.
            descriptors: At most `MOST_DESCRIPTORS`, in the order that the facts tell of.

        Returns:
            False when there was no room, or nobody receives any more.
        """
        fds = [*([body] if body >= 0 else []), *descriptors]
        head = {"kind": kind, "facts": facts, "body": body >= 0, "descriptors": len(fds)}
        try:
            socket.send_fds(self._socket, [json.dumps(head).encode()], fds)
        except OSError:
            return False
        return True

    def receive(self) -> Message | None:
        """
        Return the next message; None when there is none now.

        Raises:
            EOFError: There will be none: the other end is gone.
        """
        try:
            data, controls, flags, _ = self._socket.recvmsg(LONGEST, _CONTROL, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except ConnectionError:
            raise EOFError from None
        if not data:
            raise EOFError
        head = json.loads(data)
        fds = [fd for *_, packed in controls for fd in _descriptors(packed)]
        whole = not flags & socket.MSG_CTRUNC and len(fds) == head["descriptors"]
        body = fds.pop(0) if head["body"] and fds else -1
        return Message(head["kind"], head["facts"], body, fds, whole)

    def close(self) -> None:
        """Close this end; in a child of who made it, the copy of this process."""
        self._socket.close()


def _descriptors(packed: bytes) -> list[int]:
    """The descriptors of a control message; a cut one has whole ones before the cut."""
    fds = array.array("i")
    fds.frombytes(packed[: len(packed) - len(packed) % fds.itemsize])
    return list(fds)


def sealed_memory(data: bytes) -> int:
    """
    Return a descriptor of memory that holds these bytes and that nobody can change.

    Raises:
        OSError: No memory or descriptor is left.
    """
    fd = os.memfd_create("lbjwt", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(fd, "wb", buffering=0, closefd=False) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_memory(fd: int) -> bytes:
    """Return all bytes of a memory file, wherever its offset is."""
    pieces: list[bytes] = []
    at = 0
    while piece := os.pread(fd, 1 << 20, at):
        pieces.append(piece)
        at += len(piece)
    return b"".join(pieces)
