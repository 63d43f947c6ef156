"""
The keys in a process that verifies with them: of each issuer those of files or of the configuration (`LocalKeys`) or those of the feed (`FeedKeys`),
looked at every second and whenever the control process has something new (`WorkerKeys`).

A source publishes a new key ring when its bytes change. After the first success no failure removes a key (THREATS B2), only the age of a fetched
document does. There is no fallback to another source (THREATS B1).
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Final, Protocol

from lbjwt.files import signature_of
from lbjwt.jose.keyring import KeyRing
from lbjwt.keys.errors import KeySourceError, sentence_of
from lbjwt.keys.feed import KeyFeed
from lbjwt.keys.log import SourceLog
from lbjwt.keys.schedule import ShelfLife
from lbjwt.observe._board import Board

MAX_FILE_BYTES: Final = 1024 * 1024
"""Longest key file; 1 MiB is a thousand keys with certificate chains."""

LOOK: Final = 1.0
"""Seconds between two looks at files and feed: one stat(2), or 32 bytes, for each source."""

log = logging.getLogger("lbjwt.jwks")

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
    ) -> None:
        self.place = place
        self._given = given
        self._paths = paths
        self._build = build
        self._publish = publish
        self._board = board
        self._issuer = issuer
        self._log = SourceLog(place)
        self._documents: list[bytes] = []  # that the ring in force was made of
        self._keys = 0
        self._signatures: list[tuple[int, ...]] = []

    def load(self, now: float, wall: float) -> None:
        """
        Read for the first time, before the listeners open. Times as in `look`.

        Raises:
            KeySourceError: There is no usable key.
        """
        problem = self._read(wall)
        if problem:
            raise KeySourceError(f"no keys from {self.place}: {problem}")

    def look(self, now: float, wall: float) -> float:
        """
        Read what is new and log failures. Returns the seconds until the next call is due; infinite if there is no such time.

        Args:
            now: Monotonic time.
            wall: Seconds since the epoch.
        """
        problem = self._read(wall) if self._given is None else ""
        if problem:
            self._log.failed(problem, in_force=bool(self._documents))
        return inf

    def _read(self, wall: float) -> str:
        """Return what is wrong, or ""."""
        try:
            documents = self._new_documents()
            if documents and documents != self._documents:
                ring = self._build(*documents)
                self._publish(ring)
                self._documents, self._keys = documents, len(ring)
                self._log.left_out(ring.warnings)
        except Exception as error:  # a hostile document must not end the task
            self._board.add("key_fetches", issuer=self._issuer)
            self._board.add("key_fetch_failures", issuer=self._issuer)
            return sentence_of(error)
        self._board.set_keys(self._keys, wall, issuer=self._issuer)
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
            if known and self._signatures == [signature_of(path.stat()) for path in self._paths]:
                return []
            documents: list[bytes] = []
            self._signatures = []
            for path in self._paths:
                document, signature = read_key_file(path)
                self._signatures.append(signature)
                documents.append(document)
        except OSError as error:
            if len(self._paths) == 1:
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
    ) -> None:
        self._identity = identity
        self._feed = feed
        self._build = build
        self._publish = publish
        self._board = board
        self._issuer = issuer
        self._max_stale = max_stale
        self._log = SourceLog(place)
        self._version = b""
        self._document = ""  # that the ring in force was made of
        self._keys = 0
        self._shelf_life: ShelfLife | None = None

    @property
    def loaded(self) -> bool:
        return self._shelf_life is not None

    def load(self, now: float, wall: float) -> None:
        """Take what is in the feed. Raises nothing: without keys, requests get 503."""
        self.look(now, wall)

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
            self._publish(None)
            self._shelf_life, self._document, self._keys = None, "", 0
            self._log.withdrawn(life.limit)
            self._board.set_keys(0, life.fetched_at, issuer=self._issuer)
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
        if stored.document != self._document:
            # the process that fetched it has logged which keys were left out
            ring = self._build(stored.document.encode())
            self._publish(ring)
            self._document, self._keys = stored.document, len(ring)
        self._shelf_life, self._version = life, version
        self._board.set_keys(self._keys, stored.fetched_at, issuer=self._issuer)
        self._log.recovered()


def read_key_file(path: Path) -> tuple[bytes, tuple[int, ...]]:
    """
    Return the content of a key file and its signature. Of a file longer than `MAX_FILE_BYTES` one byte more comes back, so that it can be refused.

    Raises:
        OSError: It cannot be read; the error has its name.
    """
    try:
        with path.open("rb") as file:
            signature = signature_of(
                os.fstat(file.fileno())
            )  # before reading: a write meanwhile is seen at the next look
            return file.read(MAX_FILE_BYTES + 1), signature
    except OSError as error:
        error.filename = str(path)  # not set by a failed read
        raise


def secret_from_environment(variable: str) -> bytes:
    """Return the bytes of an environment variable; KeySourceError if it is not set or empty (THREATS A5)."""
    value = os.environb.get(os.fsencode(variable), b"")
    if not value:
        raise KeySourceError(f"no keys from the environment: the variable {variable} is not set, or is empty")
    return value


class ControlLink(Protocol):
    """What a worker has of its control process."""

    directory: Path | None
    """The state directory."""
    feed: KeyFeed

    def notify(self) -> None:
        """Make the control process look at the board."""

    def listen(self, notified: Callable[[], None]) -> None:
        """Call `notified` in the running loop whenever the control process has something new."""

    def ignore(self) -> None:
        """End that."""


class WorkerKeys:
    """The key sources of a process that verifies, by issuer index."""

    def __init__(
        self, sources: Mapping[int, LocalKeys | FeedKeys], board: Board, link: ControlLink, *, longest_wait: float = 0.0
    ) -> None:
        """
        Args:
            longest_wait: Seconds that `load` waits at most for the first attempts of the control process.
        """
        self.settled: Callable[[int], None] = lambda issuer: None
        """Called with an issuer index when an attempt to fetch its keys ended."""
        self._sources = sources
        self._board = board
        self._link = link
        self._longest_wait = longest_wait
        self._fetched = {index: source for index, source in sources.items() if isinstance(source, FeedKeys)}
        self._attempts = {index: board.source_words(index)["attempts"] for index in self._fetched}
        """By remote source: how many attempts had ended at the last look."""
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """
        Read all for the first time; wait until one attempt was made for what the feed does not have yet, and not much longer.

        Raises:
            KeySourceError: A file or a text cannot be used: a mistake to mend now. A URL that cannot be reached raises nothing.
        """
        for source in self._sources.values():
            source.load(time.monotonic(), time.time())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._longest_wait):
                while any(
                    not source.loaded and not self._board.source_words(index)["attempts"]
                    for index, source in self._fetched.items()
                ):
                    self._news.clear()
                    await self._news.wait()

    def start(self) -> None:
        """Keep the keys current from now on."""
        self._task = asyncio.get_running_loop().create_task(self._watch(), name="keys")

    async def stop(self) -> None:
        """End that; the keys in force stay."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def notified(self) -> None:
        """The control process has something new: take the keys first, then judge the requests that waited for them."""
        self._look(self._attempts)
        self._news.set()
        for index, before in self._attempts.items():
            attempts = self._board.source_words(index)["attempts"]
            if attempts != before:
                self._attempts[index] = attempts
                self.settled(index)

    def request_refresh(self, issuer: int) -> bool:
        """A token named a key that is not there. True when its keys are being fetched; in the cool-down the control process is not even notified."""
        if issuer not in self._attempts:
            return False
        words = self._board.source_words(issuer)
        if words["attempts"] != self._attempts[issuer]:
            return True  # an attempt ended a moment ago, and what it brought is not looked at yet: `notified` follows
        under_way = words["begun"] != words["attempts"]
        if not under_way and time.monotonic() < words["not_before"]:
            return False
        if not under_way:
            self._board.want(issuer)
            self._link.notify()
        return True

    async def _watch(self) -> None:
        pause = LOOK
        while True:
            await asyncio.sleep(pause)
            pause = self._look(self._sources)

    def _look(self, indexes: Iterable[int]) -> float:
        """Look at these sources; return the seconds until the next look. What goes wrong with one must not keep the others from it."""
        pause = LOOK
        for index in indexes:
            try:
                pause = min(pause, self._sources[index].look(time.monotonic(), time.time()))
            except Exception as error:
                log.error("keys of issuer %d: %s", index, sentence_of(error))
        return max(0.001, pause)
