"""
The log of revocations as a worker reads it: each entry once, as it is appended, and all again when another log stands in its place.

Never writes. A line without its end is not there yet. A line that is no entry is told and passed over: the others revoke all the same.
"""

import os
from pathlib import Path

from lbjwt.auth.revocation import MAX_ENTRIES, Change, RevocationError, RevocationList
from lbjwt.auth.revocation_format import read_lines
from lbjwt.net.files import signature_of
from lbjwt.revocation.store import HEADER_BYTES, is_header, open_log


class LogTail:
    """
    What a log says, kept up with by `look`.

    Attributes:
        path: Of the log.
        entries: Those in force, by this log.
        complaint: What is wrong with the first line that was passed over; "" when none was.
    """

    def __init__(self, path: Path, *, max_entries: int = MAX_ENTRIES) -> None:
        self.path = path
        self.entries = RevocationList(max_entries=max_entries)
        self.complaint = ""
        self._signature: tuple[int, ...] = ()
        self._header = b""  # of the log that was read, up to _offset and _lines
        self._offset = 0
        self._lines = 0

    def waiting(self) -> int:
        """Bytes that a look would read, about; 0 when there is nothing new. Costs one stat(2)."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return 0
        except OSError:
            return 1  # the look will say what is wrong
        return 0 if signature_of(status) == self._signature else max(1, status.st_size - self._offset)

    def look(self, now: float) -> bool:
        """
        Take in what is new. True when there was something.

        A log that is not there has nothing new: what it said before stays in force.

        Raises:
            RevocationError: It cannot be read, is no log, or says more than the list holds. Nothing changed.
        """
        try:
            descriptor = open_log(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise RevocationError(f"{self.path} cannot be read: {error.strerror}") from None
        try:
            status = os.fstat(descriptor)
            header = os.pread(descriptor, HEADER_BYTES, 0)
            if not is_header(header):
                raise RevocationError(f"{self.path} is no log of revocations")
            again = header != self._header or status.st_size < self._offset
            offset, lines = (HEADER_BYTES, 1) if again else (self._offset, self._lines)
            text = _read(descriptor, offset, status.st_size)
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


def _read(descriptor: int, start: int, end: int) -> bytes:
    parts = []
    while start < end and (part := os.pread(descriptor, end - start, start)):
        parts.append(part)
        start += len(part)
    return b"".join(parts)
