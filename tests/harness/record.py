"""What a backend remembers of each request, in memory or in a file that outlives a killed backend."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson


@dataclass(slots=True)
class Seen:
    """One request as the backend saw it."""

    backend: str  # the backend's name
    conn: str  # unique over all backends and restarts
    ordinal: int  # of the request on its connection, from 1
    id: str  # X-Test-Id, "" when it had none
    method: str
    target: str
    verified: str  # "ok", "off", or why the shadow verifier refuses
    request_id: str  # X-Request-Id as forwarded
    body_size: int = 0
    digest: str = ""  # SHA-256 of the body, hex; "" without a body
    finished: bool = False  # the request arrived whole
    whole: bool = True  # the response was meant to be complete and correct
    sent: bool = False  # the response was handed to the kernel
    crossed: bool = False  # stray bytes were on their way when it came: nobody could tell them from its response
    head: bytes = b""  # exact bytes; not written to files


FIELDS = [name for name in Seen.__dataclass_fields__ if name != "head"]


class MemoryRecorder:
    """Records of a backend in the same process."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def add(self, record: Seen) -> None:
        """A request head arrived."""
        self.seen.append(record)

    def update(self, record: Seen) -> None:
        """Something about a request became known; the object is already in the list."""

    def flush(self) -> None:
        """Nothing to write."""


class FileRecorder:
    """
    Records as JSON lines, written before the response leaves, so that a SIGKILL loses none.

    A request may have several lines (arrived, finished, answered); `read_records` keeps the last.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lines: list[tuple[Seen, bool]] = []

    def add(self, record: Seen) -> None:
        """A request head arrived."""
        self._lines.append((record, False))

    def update(self, record: Seen) -> None:
        """Something about a request became known."""
        if not self._lines or self._lines[-1][0] is not record:
            self._lines.append((record, True))

    def flush(self) -> None:
        """Write what was gathered, in one write."""
        if self._lines:
            os.write(self._fd, b"".join(orjson.dumps(_plain(record, more)) + b"\n" for record, more in self._lines))
            self._lines.clear()


def _plain(record: Seen, more: bool) -> dict[str, Any]:
    """Everything but the head. `more`: a later line about a request that has one."""
    fields: dict[str, Any] = {name: getattr(record, name) for name in FIELDS}
    if more:
        fields["more"] = True
    return fields


def read_records(path: Path, offset: int = 0) -> tuple[list[Seen], int]:
    """Records in the file from `offset` on, the last line of each request, and the offset to go on from."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], offset
    end = data.rfind(b"\n") + 1
    found: dict[tuple[str, int], Seen] = {}
    for line in data[:end].splitlines():
        fields = orjson.loads(line)
        more = fields.pop("more", False)
        record = Seen(**fields)
        if not more or (record.conn, record.ordinal) in found:  # else: its first line was read by an earlier call
            found[record.conn, record.ordinal] = record
    return list(found.values()), offset + end
