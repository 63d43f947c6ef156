"""
How workers hand what the files in force hold to the supervisor: memory in a message in the channel of the worker, and SIGURG, which wakes the
supervisor. It keeps the descriptor of the last that came, for workers that are forked later, and reads nothing of it: the private keys in it are in
the address space of workers alone.
"""

from __future__ import annotations

import os
from typing import Final

from lbjwt.assembly.kept_files import Contents, KeptFiles, decoded, encoded
from lbjwt.process.channel import Channel, read_memory, sealed_memory
from lbjwt.process.members import WAKE

FILES: Final = "files"
"""Kind of the message."""

LOOK: Final = 1.0
"""Seconds between two looks at what is in force: files are watched, and a change is in use within two seconds."""

MAX_BYTES: Final = 64 << 20
"""Of one message. What is larger is not handed over: a hundred certificates with their chains have 2 MiB."""


class FileReports:
    """
    The side of a worker.

    Args:
        supervisor: Its process id.
    """

    def __init__(self, channel: Channel, supervisor: int) -> None:
        self._channel = channel
        self._supervisor = supervisor
        self._told: Contents = {}

    def report(self, contents: Contents) -> None:
        """Tell what is new. What cannot be told now is told the next time."""
        if contents == self._told or os.getppid() != self._supervisor:
            return
        text = encoded(contents)
        if len(text) <= MAX_BYTES:
            try:
                body = sealed_memory(text)
            except OSError:
                return
            sent = self._channel.send(FILES, {}, body=body)
            os.close(body)
            if not sent:
                return
            os.kill(self._supervisor, WAKE)
        self._told = contents


def take(channel: Channel, before: int) -> int:
    """
    In the supervisor: take what the worker sent.

    Args:
        before: The descriptor that is kept now, -1 for none; closed when there is a newer one.

    Returns:
        The descriptor to keep.
    """
    while True:
        try:
            message = channel.receive()
        except EOFError:
            return before
        if message is None:
            return before
        if message.kind == FILES and message.whole and message.body >= 0:
            if before >= 0:
                os.close(before)
            before, message.body = message.body, -1
        message.close()


def kept_files(fd: int) -> KeptFiles:
    """In a worker that starts: what is in the memory that the supervisor kept, which is closed. Nothing of -1."""
    if fd < 0:
        return KeptFiles()
    try:
        return KeptFiles(decoded(read_memory(fd)))
    finally:
        os.close(fd)
