"""
The keys of one issuer in a process that verifies with them: read from files or the configuration (`LocalKeys`), or taken from the feed (`FeedKeys`).

A source is read first (`load`), which may fail and may run in a thread, and then put into force (`begin`): a reload that fails changes nothing. From
then on it publishes a new key ring when its bytes changed. Nothing that goes wrong after the first success takes a key away (THREATS B2), but the age
of a fetched document does; there is no fallback to keys from anywhere else (THREATS B1).
"""

import os
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import Final

from lbjwt.jose.keyring import KeyRing
from lbjwt.keys.errors import KeySourceError, sentence_of
from lbjwt.keys.feed import KeyFeed
from lbjwt.keys.log import SourceLog
from lbjwt.keys.schedule import ShelfLife
from lbjwt.net.files import signature_of
from lbjwt.observe._board import Board

MAX_FILE_BYTES: Final = 1024 * 1024
"""Longest key file that is read; 1 MiB is a thousand keys with certificate chains."""

Build = Callable[..., KeyRing]
"""Makes a key ring of the bytes of a source (of each file, where there are several); whatever it raises means "not usable"."""


class LocalKeys:
    """
    Keys of files, of the configuration or of an environment variable. Files are read again when another one stands there or one was written to.

    All files are needed: one that cannot be read leaves the keys in force as they are, those that it held included.

    Args:
        place: What messages call the source.
        given: The bytes themselves; None when they are in the files `paths`.
        publish: Called with every new ring.
        settings: What the source was made of, for comparison: where it is the same, the source is, too.
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
    ) -> None:
        self.place = place
        self.settings = settings
        self.ring: KeyRing | None = None
        """Of the documents that were read last."""
        self._published: KeyRing | None = None
        self._given = given
        self._paths = paths
        self._build = build
        self._publish = publish
        self._board = board
        self._issuer = issuer
        self._log = SourceLog(place)
        self._documents: list[bytes] = []  # that the ring was made of
        self._signatures: list[tuple[int, ...]] = []

    def load(self, now: float, wall: float) -> None:
        """
        Read for the first time. Times: see `look`.

        Raises:
            KeySourceError: There is no usable key, which only a person can mend.
        """
        problem = self._read()
        if problem:
            raise KeySourceError(f"no keys from {self.place}: {problem}")

    def begin(self, wall: float) -> None:
        """Put what `load` read into force."""
        assert self.ring is not None
        if self.ring is not self._published:
            self._publish(self.ring)
            self._published = self.ring
        self._board.set_keys(len(self.ring), wall, issuer=self._issuer)

    def look(self, now: float, wall: float) -> float:
        """
        Read what is new, and log what goes wrong. Returns the seconds until the next look has to be; infinite when any time will do.

        Args:
            now: Monotonic time.
            wall: Seconds since the epoch.
        """
        if self._given is None:
            problem = self._read()
            if problem:
                self._log.failed(problem, in_force=self.ring is not None)
            else:
                self.begin(wall)
        return inf

    def _read(self) -> str:
        """Return "" or the sentence that tells what is wrong."""
        try:
            documents = self._new_documents()
            if documents and documents != self._documents:
                self.ring = ring = self._build(*documents)
                self._documents = documents
                self._log.left_out(ring.warnings)
        except Exception as error:  # a hostile document must not end the task that keeps the keys current
            self._board.add("key_fetches", issuer=self._issuer)
            self._board.add("key_fetch_failures", issuer=self._issuer)
            return sentence_of(error)
        if documents:
            self._board.add("key_fetches", issuer=self._issuer)
            self._log.recovered()
        return ""

    def _new_documents(self) -> list[bytes]:
        """Return what the source holds; nothing when it is known to be what is in force."""
        if self._given is not None:
            return [self._given]
        try:
            known = self._documents and not self._log.failing
            if known and self._signatures == [*map(signature_of, self._paths)]:
                return []
            documents: list[bytes] = []
            self._signatures = []
            for path in self._paths:
                with path.open("rb") as file:
                    # before reading: a write meanwhile is seen at the next look
                    self._signatures.append(signature_of(file.fileno()))
                    documents.append(file.read(MAX_FILE_BYTES + 1))
        except OSError as error:
            if len(self._paths) == 1:
                raise
            raise KeySourceError(f"{error.filename}: {sentence_of(error)}") from None
        if max(map(len, documents)) > MAX_FILE_BYTES:
            raise KeySourceError(f"the file is longer than {MAX_FILE_BYTES} bytes")
        return documents


class FeedKeys:
    """
    Keys that another process fetches, or this one with `RemoteKeys`.

    That process may die, hang or be slow: the ring in force stays until its document is too old, and is withdrawn then, by this process alone.

    Args:
        place: What messages call the source.
        identity: See `identity_of`. A key set of another source is not believed: it is left from before a reload.
        publish: Called with every new ring, and with None when the keys became too old.
        issuer: Its index, also in the feed.
        max_stale: Seconds for which a document is believed after it was fetched; the feed may say less.
        attempts: Of the fetching process, that ended before it knew this source.
        settings: As for `LocalKeys`.
    """

    def __init__(
        self,
        place: str,
        *,
        feed: KeyFeed,
        build: Build,
        publish: Callable[[KeyRing | None], None],
        board: Board,
        issuer: int,
        max_stale: float,
        identity: str,
        attempts: int = 0,
        settings: object = None,
    ) -> None:
        self.settings = settings
        self.ring: KeyRing | None = None
        """None when there are no keys, or they are too old."""
        self._identity = identity
        self._first_attempt = attempts + 1
        self._in_force = False
        self._published: KeyRing | None = None
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
        """Take what is in the feed. Raises nothing: requests are answered with 503 until there are keys."""
        self.look(now, wall)

    def begin(self, wall: float) -> None:
        """Put what is there into force."""
        self._in_force = True
        self._publish(self.ring)  # also when there are none: others may be in force
        self._published = self.ring
        self._announce(self.ring, self._shelf_life.fetched_at if self._shelf_life is not None else 0.0)

    def look(self, now: float, wall: float) -> float:
        """Take what is new, and withdraw what is too old; arguments and result as those of `LocalKeys.look`."""
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
            return  # nothing yet, or it is being written
        life = stored.shelf_life(now, wall, self._max_stale)
        if life is None:
            raise KeySourceError("the keys in the feed are too old, or from the future")
        if stored.document != self._document:
            # which keys were left out has been logged by the process that fetched it
            ring = self._build(stored.document.encode())
        else:
            ring = self.ring
        self._announce(ring, stored.fetched_at)
        self.ring, self._document, self._shelf_life, self._version = ring, stored.document, life, version
        self._log.recovered()

    def _announce(self, ring: KeyRing | None, fetched_at: float) -> None:
        if self._in_force:
            if ring is not self._published:
                self._publish(ring)
                self._published = ring
            self._board.set_keys(0 if ring is None else len(ring), fetched_at, issuer=self._issuer)


def secret_from_environment(variable: str) -> bytes:
    """
    Return the bytes of an environment variable, all of them.

    Raises:
        KeySourceError: It is not set, or empty (THREATS A5).
    """
    value = os.environb.get(os.fsencode(variable), b"")
    if not value:
        raise KeySourceError(f"no keys from the environment: {variable} is not set, or empty")
    return value
