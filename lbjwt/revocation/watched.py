"""
The operator's file of revocations: read when it changed, and applied as a whole or not at all.

One invalid line keeps the whole change out: half of an edit would hide the mistake and leave a token valid that was meant to be revoked. Editors
append, write in place, or replace the file by rename. So a shorter file or an invalid line counts only when the file did not change between
two checks. Additions count at once; if the file begins as before, only the rest is parsed.
"""

import os
from hashlib import sha256
from pathlib import Path
from typing import Final

from lbjwt.auth.revocation import MAX_ENTRIES, RevocationError, RevocationList
from lbjwt.auth.revocation_format import read_lines
from lbjwt.files import open_regular, signature_of

MAX_FILE: Final = 256 * 1024 * 1024  # bytes: a million entries of 256


class WatchedFile:
    """The entries of a file, updated by `look`."""

    def __init__(self, path: Path, *, max_entries: int = MAX_ENTRIES) -> None:
        self.path = path
        self.entries = RevocationList(max_entries=max_entries)
        self._applied: tuple[int, ...] = ()
        self._applied_size = 0
        self._applied_digest = b""  # of what was read; "" when its last line could still grow
        self._applied_lines = 0
        self._seen: tuple[int, ...] = ()  # at the last look
        self._refused: tuple[tuple[int, ...], str] = ((), "")  # the signature of an invalid file, and its error

    def waiting(self) -> int:
        """As `LogTail.waiting`."""
        try:
            status = self.path.stat()
        except OSError:
            return 1  # `look` reports the error
        signature = signature_of(status)
        if signature == self._applied:
            return 0
        return 1 if signature == self._refused[0] else max(1, status.st_size)

    def load(self, now: float) -> None:
        """
        Read the file for the first time.

        Raises:
            RevocationError: It cannot be read, or has an invalid line.
        """
        while not self.look(now, patient=False):
            pass  # the file changed during the read

    def look(self, now: float, *, patient: bool = True) -> bool:
        """
        Read the file if it changed. True when the entries were replaced.

        Args:
            patient: Apply a shorter file, or report an invalid line, only when the file has not changed since the last check.

        Raises:
            RevocationError: As `load`; the entries in force stay.
        """
        try:
            descriptor, status = open_regular(self.path)
        except OSError as error:
            raise RevocationError(f"{self.path} cannot be read: {error.strerror}") from None
        try:
            signature = signature_of(status)
            if signature == self._applied:
                return False
            if signature == self._refused[0]:
                raise RevocationError(self._refused[1])
            if status.st_size > MAX_FILE:
                raise RevocationError(f"{self.path} is larger than {MAX_FILE} bytes")
            steady = signature == self._seen or not patient
            self._seen = signature
            if status.st_size < self._applied_size and not steady:
                return False
            with open(descriptor, "rb", closefd=False) as file:
                text = file.read(status.st_size)
            after = os.fstat(descriptor)
            if signature_of(after) != signature:
                # The file changed during the read. If it grew, apply its whole lines at once, or a busy writer would delay all entries.
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
