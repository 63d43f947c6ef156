"""
Where an issuer's keys come from, seen from the process that verifies with them: a file, the configuration itself, or what another process fetched.

A source reads bytes, has them built into a key ring, and publishes the ring when the bytes changed. Nothing that goes wrong after the first
success takes a key away (THREATS B2), but the age of a fetched document does; there is no fallback to keys from anywhere else (THREATS B1).
What a document means is the business of `lbjwt.jose.keyring`, fetching one that of `lbjwt.jwks.remote`.
"""

import asyncio
import contextlib
import logging
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lbjwt.jose.keyring import KeyRing
from lbjwt.jwks import store
from lbjwt.jwks.complaints import Complaints
from lbjwt.jwks.errors import KeySourceError, sentence_of
from lbjwt.jwks.lifecycle import MAX_STALE, ShelfLife
from lbjwt.jwks.signature import signature_of
from lbjwt.jwks.spare import newest, spare_of

log = logging.getLogger("lbjwt.jwks")

__all__ = [
    "FileKeySource",
    "KeySource",
    "KeySourceError",
    "StaticKeySource",
    "StoredKeySource",
    "secret_from_environment",
]

FILE_CHECK: Final = 1.0
"""Seconds between two looks at a file's inode and times: one stat(2) each."""

MAX_FILE_BYTES: Final = 1024 * 1024
"""Longest key file that is read; 1 MiB is a thousand keys with certificate chains."""


class KeySource(ABC):
    """
    Keys of one issuer, kept current in the background.

    Args:
        place: What messages call the source: a file name, or a URL without its query.
        build: Bytes of the source (of each file, where there are several) to a key ring; whatever it raises means "not usable".
        publish: Called with every new ring, and with None when the keys may no longer be used, in the loop's thread.
        on_read: Told of every document that was read, or could not be.
        on_keys: Told the number of keys in force and when they were last known to be current, in seconds since the epoch.
    """

    def __init__(
        self,
        place: str,
        *,
        build: Callable[..., KeyRing],
        publish: Callable[[KeyRing | None], None],
        on_read: Callable[[bool], None] | None = None,
        on_keys: Callable[[int, float], None] | None = None,
    ) -> None:
        self.place = place
        self._build = build
        self._publish = publish
        self._on_read = on_read or (lambda ok: None)
        self._on_keys = on_keys or (lambda count, fetched_at: None)
        self._documents: tuple[bytes, ...] = ()  # that the ring in force was built from
        self._keys = 0

    @property
    def loaded(self) -> bool:
        """A key ring is in force."""
        return bool(self._documents)

    @abstractmethod
    async def load(self) -> None:
        """
        Read for the first time, before the listeners open.

        Raises:
            KeySourceError: A source that only a person can mend. Keys that are fetched raise nothing: requests are answered with 503 and
                Retry-After until there are some.
        """

    @abstractmethod
    def start(self) -> None:
        """Keep the keys current from now on."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop reading; the ring in force stays."""

    def _take(self, *documents: bytes) -> KeyRing | None:
        """Publish the ring of the documents; None when it is the one in force. Raises what `build` and `publish` raise."""
        if documents == self._documents:
            return None
        ring = self._build(*documents)
        self._publish(ring)
        self._documents, self._keys = documents, len(ring)
        return ring


class StaticKeySource(KeySource):
    """Keys that stand in the configuration or the environment: read once, right or wrong."""

    def __init__(
        self,
        place: str,
        document: bytes,
        *,
        build: Callable[..., KeyRing],
        publish: Callable[[KeyRing | None], None],
        on_read: Callable[[bool], None] | None = None,
        on_keys: Callable[[int, float], None] | None = None,
    ) -> None:
        super().__init__(place, build=build, publish=publish, on_read=on_read, on_keys=on_keys)
        self._given = document

    async def load(self) -> None:
        """As in the base class."""
        try:
            ring = self._take(self._given)
        except Exception as error:
            self._on_read(False)
            raise KeySourceError(f"no keys from {self.place}: {sentence_of(error)}") from None
        self._on_read(True)
        self._on_keys(self._keys, time.time())
        if ring is not None:
            Complaints(self.place).warn(ring.warnings)

    def start(self) -> None:
        """Nothing changes."""

    async def stop(self) -> None:
        """Nothing runs."""


class _WatchedSource(KeySource):
    """A source that looks whether something changed, again and again."""

    _task: asyncio.Task[None] | None = None
    _check: float

    @abstractmethod
    def _look(self) -> None:
        """Take what is new."""

    def poke(self) -> None:
        """Look now. Raises nothing: what goes wrong is logged, and tried again at the next look."""
        try:
            self._look()
        except Exception as error:  # of a callback: whatever it is, the task that keeps the keys current must live
            log.error("keys from %s: %s", self.place, sentence_of(error))

    def _pause(self) -> float:
        """Seconds until the next look."""
        return self._check

    def start(self) -> None:
        """As in the base class."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._watch(), name=f"keys from {self.place}")

    async def stop(self) -> None:
        """As in the base class."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._pause())
            self.poke()


class FileKeySource(_WatchedSource):
    """
    Keys of a file, or of several together, read again when another file stands under a name or one was written to. They have no shelf life.

    All files are needed: one that cannot be read leaves the keys in force as they are, those that it held included.
    """

    def __init__(
        self,
        *paths: Path,
        build: Callable[..., KeyRing],
        publish: Callable[[KeyRing | None], None],
        on_read: Callable[[bool], None] | None = None,
        on_keys: Callable[[int, float], None] | None = None,
        check: float = FILE_CHECK,
    ) -> None:
        super().__init__(", ".join(map(str, paths)), build=build, publish=publish, on_read=on_read, on_keys=on_keys)
        self._paths = paths
        self._check = check
        self._complaints = Complaints(self.place)
        self._signatures: list[tuple[int, ...]] = []

    async def load(self) -> None:
        """As in the base class."""
        sentence = self._attempt()
        if sentence:
            self._complaints.complain(sentence, in_force=self.loaded)
            raise KeySourceError(f"no keys from {self.place}: {sentence}")

    def _look(self) -> None:
        sentence = self._attempt()
        if sentence:
            self._complaints.complain(sentence, in_force=self.loaded)

    def _attempt(self) -> str:
        """Read if there is something new. Returns "" or the sentence that tells what is wrong; raises nothing."""
        try:
            documents = self._read()
            ring = self._take(*documents) if documents else None
        except Exception as error:  # a hostile document must not end the task that keeps the keys current
            self._on_read(False)
            return sentence_of(error)
        self._on_keys(self._keys, time.time())
        if documents:
            self._on_read(True)
            self._complaints.mended()
        if ring is not None:
            self._complaints.warn(ring.warnings)
        return ""

    def _read(self) -> list[bytes]:
        """Return what the files hold; nothing when it is known to be what is in force."""
        try:
            if self.loaded and not self._complaints.pending and self._signatures == [*map(signature_of, self._paths)]:
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


class StoredKeySource(_WatchedSource):
    """
    Keys that another process fetches and stores: read again when poked, or when the stat of the file changed.

    The process that fetches may die, hang or be slow: the ring in force stays until its document is too old, and is withdrawn then, by this
    process alone.

    Args:
        path: The envelope file.
        place: See `identity_of`: an envelope of another place is not used.
        max_stale: Seconds for which a document is believed after it was fetched; the envelope may say less.
    """

    def __init__(
        self,
        path: Path,
        *,
        place: str,
        build: Callable[..., KeyRing],
        publish: Callable[[KeyRing | None], None],
        on_read: Callable[[bool], None] | None = None,
        on_keys: Callable[[int, float], None] | None = None,
        max_stale: float = MAX_STALE,
        max_bytes: int = store.MAX_BYTES,
        check: float = FILE_CHECK,
    ) -> None:
        super().__init__(place.partition("?")[0], build=build, publish=publish, on_read=on_read, on_keys=on_keys)
        self._path = path
        # once: the names of a path made anew at every look would be work, and memory, for each source and second
        self._paths = (path, spare_of(path))
        self._identity = place
        self._max_stale = max_stale
        self._max_bytes = max_bytes
        self._check = check
        self._complaints = Complaints(self.place)
        self._signature: tuple[int, ...] | None = None  # of the file the ring in force is from
        self._shelf_life: ShelfLife | None = None

    async def load(self) -> None:
        """As in the base class: raises nothing."""
        self.poke()

    def _pause(self) -> float:
        if self._shelf_life is None:
            return self._check
        return max(0.001, min(self._check, self._shelf_life.left(time.monotonic(), time.time())))

    def _look(self) -> None:
        try:
            self._refresh()
        except Exception as error:
            self._on_read(False)
            self._complaints.complain(sentence_of(error), in_force=self.loaded)
        life = self._shelf_life
        if life is not None and life.left(time.monotonic(), time.time()) <= 0:
            self._publish(None)
            self._shelf_life, self._documents, self._keys = None, (), 0
            self._complaints.withdrawn(life.limit)
            self._on_keys(0, life.fetched_at)

    def _refresh(self) -> None:
        signature: tuple[int, ...] = ()
        for path in self._paths:
            with contextlib.suppress(FileNotFoundError):
                signature += signature_of(path)
        if not signature or signature == self._signature:
            return  # not written yet, or known
        envelope = newest(self._paths, max_bytes=self._max_bytes)
        if envelope is None:
            return
        life = store.believed(
            self._path,
            envelope,
            place=self._identity,
            max_stale=self._max_stale,
            now=time.monotonic(),
            wall=time.time(),
        )
        self._take(envelope.document.encode())  # whoever stored it has told of the keys that were left out
        self._shelf_life = life
        self._signature = signature
        self._on_read(True)
        self._on_keys(self._keys, envelope.fetched_at)
        self._complaints.mended()


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
