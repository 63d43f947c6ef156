"""
The log of revocations made at run time: one process appends, the workers read (`tail`), and it survives a restart.

A file of lines. The first identifies the log, so that readers notice when it was compacted, which replaces the file; each further line is an
entry or an undo. A change is confirmed once it is on disk. An incomplete last line, left by a crash, is cut off before the next write; any
other invalid line is an error, because it may be a revocation.
"""

import contextlib
import errno
import logging
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from lbjwt.auth.revocation import MAX_ENTRIES, Change, Revocation, RevocationError, RevocationList, Undo
from lbjwt.auth.revocation_format import line_of, read_lines
from lbjwt.files import file_fault, open_regular, sync_directory

LOG_NAME: Final = "revocations.jsonl"
SLACK: Final = 1000  # lines beyond twice the entries in force at which a log is compacted
HEADER_BYTES: Final = 54
_HEADER: Final = re.compile(rb'\{"format":1,"log":"[0-9a-f]{32}"\}\n')

log = logging.getLogger("lbjwt.revocation")


def is_header(line: bytes) -> bool:
    return _HEADER.fullmatch(line) is not None


def open_log(path: Path, flags: int, *, ours: bool = True) -> int:
    """
    Open a log that only its owner can change, and return the descriptor.

    Args:
        ours: As for `file_fault`.

    Raises:
        FileNotFoundError: There is none.
        RevocationError: It cannot be opened, is a symbolic link, no file or no log, or others may write it.
    """
    try:
        descriptor, status = open_regular(path, flags | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RevocationError(f"the log of revocations {path} cannot be used: {error.strerror}") from None
    if fault := file_fault(status, ours=ours):
        os.close(descriptor)
        raise RevocationError(f"the log of revocations {path} cannot be used: {fault}")
    if not is_header(os.pread(descriptor, HEADER_BYTES, 0)):
        os.close(descriptor)
        raise RevocationError(f"{path} is not a log of revocations")
    return descriptor


class RevocationStore:
    """
    The only writer of a log: changes are on disk before they are in force.

    Attributes:
        path: Of the log.
        entries: Those in force.
    """

    def __init__(self, directory: Path | None, *, max_entries: int = MAX_ENTRIES) -> None:
        """With `directory` None, the entries end with this process."""
        self.entries = RevocationList(max_entries=max_entries)
        self.path = (directory or Path()) / LOG_NAME
        self._in_memory = directory is None
        self._descriptor = -1
        self._end = 0  # of the last whole line, in bytes
        self._lines = 0

    def append(self, entries: Iterable[Revocation], now: float) -> int:
        """
        Put entries in force, all of them or none. Returns how many were not in force already.

        Raises:
            RevocationError: The list is full, or writing failed.
        """
        fresh = [entry for entry in entries if entry.expires > now and not self.entries.covers(entry)]
        if fresh:
            self.entries.require_room(len(fresh), now)
            self._commit(fresh, now)
        return len(fresh)

    def undo(self, undone: Iterable[Undo], now: float) -> int:
        """
        Remove entries, all that are named or none. Returns how many were removed.

        Raises:
            RevocationError: Writing failed.
        """
        held = {undo: count for undo in undone if (count := self.entries.named_by(undo))}
        if held:
            self._commit(list(held), now)
        return sum(held.values())

    def open(self, now: float) -> None:
        """
        Read the log, or create one.

        Raises:
            RevocationError: It cannot be read or written, or has an invalid line.
        """
        if self._in_memory:
            return
        try:
            if not self._read(now) or self._lines > 2 * len(self.entries) + SLACK:
                self._rewrite(now)
        except OSError as error:
            raise RevocationError(f"the log of revocations {self.path} cannot be used: {error.strerror}") from None

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _commit(self, changes: Sequence[Change], now: float) -> None:
        if self._in_memory:
            self.entries.add(changes, now)
            return
        lines = b"".join(map(line_of, changes))
        try:
            if not self._is_current():
                # removed or replaced by another process: keep its entries and ours
                self._read(now)
                self._rewrite(now)
            self._write(lines)
        except RevocationError as error:
            log.error("%s", error)  # names the file; the caller's message does not
            raise RevocationError(
                "another program replaced the log of revocations with a file that lbjwt cannot use; nothing was changed"
            ) from None
        except OSError as error:
            raise RevocationError(
                f"cannot write the log of revocations: {error.strerror}; nothing was changed"
            ) from None
        self._lines += len(changes)
        self.entries.add(changes, now)
        if self._lines > 2 * len(self.entries) + SLACK:
            try:
                self._rewrite(now)
            except OSError as error:
                log.warning("could not compact the log of revocations %s: %s", self.path, error.strerror)

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(os.stat(self.path, follow_symlinks=False), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _read(self, now: float) -> bool:
        """Open the log and take its entries in. False when there is none."""
        self.close()
        try:
            descriptor = open_log(self.path, os.O_RDWR | os.O_APPEND)
        except FileNotFoundError:
            return False
        try:
            with open(descriptor, "rb", closefd=False) as file:
                text = file.read()
            end = text.rfind(b"\n") + 1
            try:
                self.entries.add(read_lines(text[:end][HEADER_BYTES:], first=2), now)
            except RevocationError as error:
                raise RevocationError(f"{self.path}: {error}") from None
            os.fchmod(descriptor, 0o600)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor, self._end = descriptor, end
        self._lines = text.count(b"\n", 0, end) - 1
        return True

    def _write(self, lines: bytes) -> None:
        """Append and sync. A failure leaves the log as it was."""
        if os.fstat(self._descriptor).st_size != self._end:
            os.ftruncate(self._descriptor, self._end)  # an incomplete last line
        try:
            if os.write(self._descriptor, lines) != len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise
        self._end += len(lines)

    def _rewrite(self, now: float) -> None:
        """Replace the log by one of the entries in force. A crash leaves either the old or the new one."""
        self.entries.prune(now)
        name = self.path.with_name(f"{LOG_NAME}.new")
        with contextlib.suppress(FileNotFoundError):
            name.unlink()
        descriptor = os.open(name, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "ab", closefd=False) as file:
                file.write(b'{"format":1,"log":"%s"}\n' % secrets.token_hex(16).encode())
                file.writelines(map(line_of, self.entries))
            os.fsync(descriptor)
            os.rename(name, self.path)
        except BaseException:
            os.close(descriptor)
            raise
        self.close()
        self._descriptor = descriptor
        self._end = os.fstat(descriptor).st_size
        self._lines = len(self.entries)
        sync_directory(self.path.parent)
