"""
The keys in a process that verifies with them: of each issuer those of files or of the configuration (`LocalKeys`) or those of the feed (`FeedKeys`).

A source is read first (`load`), which may fail and may run in a thread, and then put into force (`begin`): a reload that fails changes nothing. From
then on it publishes a new key ring when its bytes change. After the first success no failure removes a key (THREATS B2), only the age of a fetched
document does. There is no fallback to another source (THREATS B1).
"""

import os
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import Final

from lbjwt.files import Kept, nothing_kept, read_regular, signature_of
from lbjwt.jose.keyring import KeyRing
from lbjwt.keys.errors import KeySourceError, sentence_of
from lbjwt.keys.feed import KeyFeed
from lbjwt.keys.log import SourceLog
from lbjwt.keys.requested import RequestedKeys
from lbjwt.keys.schedule import ShelfLife
from lbjwt.observe._board import Board

MAX_FILE_BYTES: Final = 1024 * 1024
"""Longest key file; 1 MiB is a thousand keys with certificate chains."""

Build = Callable[..., KeyRing]
"""Makes a key ring of the bytes of a source (of each file, if there are several). If it raises anything, they are refused."""


class LocalKeys:
    """
    Keys of files, of the configuration or of an environment variable. Files are read again when they are replaced or written to.

    All files are needed: if one cannot be read, all keys in force stay, those of that file included.

    Args:
        place: The name of the source in messages.
        given: The bytes themselves; None if they are in the files `paths`.
        publish: Called with every new ring.
        settings: What the source was made of. A reload keeps a source with equal settings.
        kept: Used by `load` in place of files that cannot be used.
    """

    def __init__(
        self,
        place: str,
        *,
        given: bytes | None = None,
        paths: Sequence[Path] = (),
        build: Build,
        publish: Callable[[KeyRing], None],
        board: Board,
        issuer: int,
        settings: object = None,
        kept: Kept = nothing_kept,
    ) -> None:
        self.place = place
        self.settings = settings
        self.ring: KeyRing | None = None
        """Of the documents that were read last."""
        self._published: KeyRing | None = None
        self.paths = tuple(paths)
        self._kept = kept
        self._given = given
        self._build = build
        self._publish = publish
        self._board = board
        self._issuer = issuer
        self._log = SourceLog(place)
        self._documents: list[bytes] = []  # that the ring was made of
        self._signatures: list[tuple[int, ...]] = []

    def load(self, now: float, wall: float) -> None:
        """
        Read for the first time. Times as in `look`.

        Raises:
            KeySourceError: There is no usable key.
        """
        problem = self._read()
        if problem and not self._use_kept(problem):
            raise KeySourceError(f"no keys from {self.place}: {problem}")

    def _use_kept(self, problem: str) -> bool:
        """Take what the process before had of the files that cannot be used. `look` reads them again until they can."""
        documents = list(self._kept(self.paths))
        if documents:
            self.ring = self._build(*documents)
            self._documents = documents
            self._log.failed(problem, in_force=True)
        return bool(documents)

    @property
    def contents(self) -> tuple[bytes, ...]:
        """Of the files, as they were read last."""
        return tuple(self._documents)

    def begin(self, wall: float) -> None:
        """Put what was read into force; `wall` as in `look`."""
        assert self.ring is not None
        if self.ring is not self._published:
            self._publish(self.ring)
            self._published = self.ring
        self._board.set_keys(len(self.ring), wall, issuer=self._issuer)

    def look(self, now: float, wall: float) -> float:
        """
        Read what is new and log failures. Returns the seconds until the next call is due; infinite if there is no such time.

        Args:
            now: Monotonic time.
            wall: Seconds since the epoch.
        """
        if self._given is None:
            problem = self._read()
            if not problem:
                try:
                    self.begin(wall)
                except Exception as error:  # the next look publishes the ring
                    problem = sentence_of(error)
            if problem:
                self._log.failed(problem, in_force=self._published is not None)
        return inf

    def _read(self) -> str:
        """Return what is wrong, or ""."""
        try:
            documents = self._new_documents()
            if documents and documents != self._documents:
                self.ring = ring = self._build(*documents)
                self._documents = documents
                self._log.left_out(ring.warnings)
        except Exception as error:  # a hostile document must not end the task
            self._board.add("key_fetches", issuer=self._issuer)
            self._board.add("key_fetch_failures", issuer=self._issuer)
            return sentence_of(error)
        if documents:
            self._board.add("key_fetches", issuer=self._issuer)
            self._log.recovered()
        return ""

    def _new_documents(self) -> list[bytes]:
        """Return the bytes of the source; nothing if the files did not change."""
        if self._given is not None:
            return [self._given]
        try:
            known = self._documents and not self._log.failing
            if known and self._signatures == [signature_of(path.stat()) for path in self.paths]:
                return []
            documents: list[bytes] = []
            self._signatures = []
            for path in self.paths:
                document, signature = read_key_file(path)
                self._signatures.append(signature)
                documents.append(document)
        except OSError as error:
            if len(self.paths) == 1:
                raise
            raise KeySourceError(f"{error.filename}: {sentence_of(error)}") from None
        if max(map(len, documents)) > MAX_FILE_BYTES:
            raise KeySourceError(f"the file is larger than {MAX_FILE_BYTES} bytes")
        return documents


class FeedKeys:
    """
    Keys from the feed. If the process that fetches dies or hangs, the ring in force stays until this process finds its document too old.

    Args:
        place: The name of the source in messages.
        identity: Which source it is, see `identity_of`. Key sets of another one in the feed are not taken: the process that fetches may not have
            applied this configuration yet.
        publish: Called with every new ring, and with None when the keys became too old.
        issuer: Its index, also in the feed.
        max_stale: Seconds for which a document is valid after it was fetched; the feed may say less.
        attempts: Of the process that fetches, that ended before it knew this source.
        settings: As in `LocalKeys`.
        requested: Where key ids go that tokens named and no key has; None where all keys come in one document.
    """

    def __init__(
        self,
        place: str,
        *,
        identity: str,
        feed: KeyFeed,
        build: Build,
        publish: Callable[[KeyRing | None], None],
        board: Board,
        issuer: int,
        max_stale: float,
        attempts: int = 0,
        settings: object = None,
        requested: RequestedKeys | None = None,
    ) -> None:
        self.settings = settings
        self.requested = requested
        self.ring: KeyRing | None = None
        """None if there are no keys, or they are too old."""
        self._first_attempt = attempts + 1
        self._in_force = False
        self._published: KeyRing | None = None
        self._identity = identity
        self._feed = feed
        self._build = build
        self._publish = publish
        self._board = board
        self._issuer = issuer
        self._max_stale = max_stale
        self._log = SourceLog(place)
        self._version = b""
        self._document = ""  # that the ring was made of
        self._shelf_life: ShelfLife | None = None

    @property
    def loaded(self) -> bool:
        return self._shelf_life is not None

    @property
    def tried(self) -> bool:
        """Whether there are keys, or an attempt to fetch them has ended."""
        return self.loaded or self._board.source_words(self._issuer)["attempts"] >= self._first_attempt

    def load(self, now: float, wall: float) -> None:
        """Take what is in the feed. Raises nothing: without keys, requests get 503."""
        self.look(now, wall)

    def begin(self, wall: float) -> None:
        """Put what was taken into force; `wall` as in `look`."""
        self._in_force = True
        if self._shelf_life is not None:
            self._announce(self.ring, self._shelf_life.fetched_at)

    def look(self, now: float, wall: float) -> float:
        """Take what is new and withdraw what is too old; arguments and result as in `LocalKeys.look`."""
        try:
            self._take(now, wall)
        except Exception as error:
            self._log.failed(sentence_of(error), in_force=self.loaded)
        life = self._shelf_life
        if life is None:
            return inf
        left = life.left(now, wall)
        if left <= 0:
            self._announce(None, life.fetched_at)
            self._shelf_life, self._document, self.ring = None, "", None
            self._log.withdrawn(life.limit)
        return left

    def _take(self, now: float, wall: float) -> None:
        version = self._feed.version(self._issuer)
        if version == self._version:
            return
        stored = self._feed.get(self._issuer)
        if stored is None or stored.place != self._identity:
            return  # none yet, or it is being written, or it is of another source
        life = stored.shelf_life(now, wall, self._max_stale)
        if life is None:
            raise KeySourceError("the keys in the feed are too old, or from the future")
        # the process that fetched it has logged which keys were left out
        ring = self.ring if stored.document == self._document else self._build(stored.document.encode())
        self._announce(ring, stored.fetched_at)
        self.ring, self._document, self._shelf_life, self._version = ring, stored.document, life, version
        self._log.recovered()

    def _announce(self, ring: KeyRing | None, fetched_at: float) -> None:
        if self._in_force:
            if ring is not self._published:
                self._publish(ring)
                self._published = ring
            self._board.set_keys(0 if ring is None else len(ring), fetched_at, issuer=self._issuer)


def read_key_file(path: Path) -> tuple[bytes, tuple[int, ...]]:
    """
    Return the content of a key file and its signature. Of a file longer than `MAX_FILE_BYTES` one byte more comes back, so that it can be refused.

    Raises:
        OSError: It cannot be read, or is not a regular file; the error has its name.
    """
    document, status = read_regular(path, MAX_FILE_BYTES)
    return document, signature_of(status)


def secret_from_environment(variable: str) -> bytes:
    """Return the bytes of an environment variable; KeySourceError if it is not set or empty (THREATS A5)."""
    value = os.environb.get(os.fsencode(variable), b"")
    if not value:
        raise KeySourceError(f"no keys from the environment: the variable {variable} is not set, or is empty")
    return value
