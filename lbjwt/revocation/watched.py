"""
The operator's file of revocations: read whole when it changed, and taken as a whole or not at all.

A file with one line that is no entry changes nothing: half of an edit, silently applied, would hide the mistake and leave a token good
that somebody believes revoked. Files are edited in several ways (appended to, written anew in place, replaced by rename), so what looks like a
loss, a shorter file or a broken line, counts only when nothing was written between two looks. Additions count at once, and cost what they add:
of a file that begins as before, only the rest is taken apart.
"""

import os
import stat
from hashlib import sha256
from pathlib import Path
from typing import Final

from lbjwt.auth.revocation import MAX_ENTRIES, RevocationError, RevocationList
from lbjwt.auth.revocation_format import read_lines
from lbjwt.net.files import signature_of

MAX_FILE: Final = 256 * 1024 * 1024
"""Bytes of the file: a million entries of 256 bytes. More is another file than was meant."""


class WatchedFile:
    """
    What a file says, kept up with by `look`.

    Attributes:
        path: Of the file.
        entries: Those in force, by this file.
    """

    def __init__(self, path: Path, *, max_entries: int = MAX_ENTRIES) -> None:
        self.path = path
        self.entries = RevocationList(max_entries=max_entries)
        self._applied: tuple[int, ...] = ()
        self._applied_size = 0
        self._applied_digest = b""  # of what was read; "" when its last line could still grow
        self._applied_lines = 0
        self._seen: tuple[int, ...] = ()  # at the last look
        self._refused: tuple[tuple[int, ...], str] = ((), "")  # what was read and is no list, and why

    def waiting(self) -> int:
        """Bytes that a look would read, about; 0 when there is nothing new. Costs one stat(2)."""
        try:
            status = self.path.stat()
        except OSError:
            return 1  # the look will say what is wrong
        signature = signature_of(status)
        if signature == self._applied:
            return 0
        return 1 if signature == self._refused[0] else max(1, status.st_size)

    def load(self, now: float) -> None:
        """
        Read the file for the first time.

        Raises:
            RevocationError: It cannot be read, or a line of it is no entry.
        """
        while not self.look(now, patient=False):
            pass  # written to while it was read

    def look(self, now: float, *, patient: bool = True) -> bool:
        """
        Take the file in when it changed. True when it did.

        Args:
            patient: Believe a loss only when the file has not changed since the last look.

        Raises:
            RevocationError: As `load`; the entries in force stay.
        """
        try:
            # not blocking: a named pipe would hold the whole worker
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise RevocationError(f"{self.path} cannot be read: {error.strerror}") from None
        try:
            status = os.fstat(descriptor)
            signature = signature_of(status)
            if signature == self._applied:
                return False
            if signature == self._refused[0]:
                raise RevocationError(self._refused[1])
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE:
                raise RevocationError(f"{self.path} is no file of at most {MAX_FILE} bytes")
            steady = signature == self._seen or not patient
            self._seen = signature
            if status.st_size < self._applied_size and not steady:
                return False
            with open(descriptor, "rb", closefd=False) as file:
                text = file.read(status.st_size)
            after = os.fstat(descriptor)
            if signature_of(after) != signature:
                # Written to meanwhile. When it grew, what stood there stands there still: whole lines of it count at once, or a busy
                # writer would hold all entries back; the next look goes on behind them.
                if after.st_size <= status.st_size or len(text) != status.st_size:
                    return False
                text = text[: text.rfind(b"\n") + 1]
                if len(text) < self._applied_size:
                    return False
        finally:
            os.close(descriptor)
        try:
            self._take(text, now)
        except RevocationError as error:
            if not steady:
                return False
            self._refused = (signature, f"{self.path}: {error}")
            raise RevocationError(self._refused[1]) from None
        self._applied, self._applied_size = signature, len(text)
        self._applied_digest = sha256(text).digest() if text.endswith(b"\n") else b""
        self._applied_lines = text.count(b"\n")
        return True

    def _take(self, text: bytes, now: float) -> None:
        size = self._applied_size
        if self._applied_digest and len(text) > size and sha256(text[:size]).digest() == self._applied_digest:
            self.entries.add(read_lines(text[size:], first=self._applied_lines + 1), now)
        else:
            self.entries.replace(read_lines(text), now)
