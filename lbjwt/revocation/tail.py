"""
The log of revocations as a worker reads it: each entry once, as it is appended, and all of them after the log was replaced.

An incomplete last line is read later. An invalid line is reported and skipped.
"""

import os
from pathlib import Path

from lbjwt.auth.revocation import MAX_ENTRIES, Change, RevocationError, RevocationList
from lbjwt.auth.revocation_format import read_lines
from lbjwt.files import signature_of
from lbjwt.revocation.store import HEADER_BYTES, open_log


class LogTail:
    """
    The entries of a log, updated by `look`.

    Attributes:
        complaint: What is wrong with the first line that was skipped; "" when none was.
    """

    def __init__(self, path: Path, *, max_entries: int = MAX_ENTRIES, ours: bool = True) -> None:
        """
        Args:
            ours: The log must belong to this user or root; False in a check by another user.
        """
        self.path = path
        self._ours = ours
        self.entries = RevocationList(max_entries=max_entries)
        self.complaint = ""
        self._signature: tuple[int, ...] = ()
        self._header = b""  # of the log that was read, up to _offset and _lines
        self._offset = 0
        self._lines = 0

    def waiting(self) -> int:
        """About how many bytes `look` would read; 0 when nothing changed. One stat(2)."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return 0
        except OSError:
            return 1  # `look` reports the error
        return 0 if signature_of(status) == self._signature else max(1, status.st_size - self._offset)

    def look(self, now: float) -> bool:
        """
        Read new lines. True when entries changed; when the log is missing, they stay.

        Raises:
            RevocationError: It cannot be read, is no log, or has more entries than the list may hold. Nothing changed.
        """
        try:
            descriptor = open_log(self.path, os.O_RDONLY, ours=self._ours)
        except FileNotFoundError:
            return False
        try:
            status = os.fstat(descriptor)
            header = os.pread(descriptor, HEADER_BYTES, 0)
            again = header != self._header or status.st_size < self._offset
            offset, lines = (HEADER_BYTES, 1) if again else (self._offset, self._lines)
            with open(descriptor, "rb", closefd=False) as file:
                file.seek(offset)
                text = file.read(status.st_size - offset)
        finally:
            os.close(descriptor)
        end = text.rfind(b"\n") + 1
        entries: list[Change] = []
        complaint = "" if again else self.complaint
        for line in text[:end].splitlines():
            lines += 1
            try:
                entries += read_lines(line, first=lines)
            except RevocationError as error:
                complaint = complaint or f"{self.path}: {error}"
        if again:
            self.entries.replace(entries, now)
        else:
            self.entries.add(entries, now)
        self._header, self._offset, self._lines = header, offset + end, lines
        self._signature, self.complaint = signature_of(status), complaint
        return again or bool(entries)
