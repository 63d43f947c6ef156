"""
Where an issuer's keys come from, and how they stay current: the thin I/O around `RefreshSchedule`.

A source reads bytes, has them built into a key ring, and publishes the ring when the bytes changed. Nothing that goes wrong after the first
success takes a key away: the last good ring stays in force through every failure (CVE-2026-48524, envoyproxy/envoy issue 13705), and there is
no fallback to keys from anywhere else (CVE-2026-31837). What a document means is the business of `lbjwt.jose.keyring`.
"""

import asyncio
import contextlib
import logging
import os
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lbjwt.errors import LbjwtError
from lbjwt.jose.keyring import KeyRing
from lbjwt.jwks.refresh import RefreshSchedule
from lbjwt.observe._board import Board

__all__ = ["FileKeySource", "KeySource", "KeySourceError", "RemoteKeySource"]

FILE_CHECK: Final = 2.0
"""Seconds between two looks at a key file's inode and modification time: one stat(2) each."""

MAX_FILE_BYTES: Final = 1024 * 1024
"""Longest key file that is read; 1 MiB is a thousand keys with certificate chains."""

_chance = random.SystemRandom()  # workers forked at one moment must not draw alike

log = logging.getLogger("lbjwt.jwks")


class KeySourceError(LbjwtError):
    """A key source that cannot work; the message is a sentence with the place and the cause, and holds no key."""


class KeySource(ABC):
    """
    Keys of one issuer, kept current in the background.

    Args:
        place: What messages call the source: a file name, or a URL without its query.
        build: Bytes of the source to a key ring; whatever it raises means "not usable".
        publish: Called with every new ring, in the loop's thread.
        board: Where key count, age, fetches and failures are told.
        schedule: When to read again.
    """

    def __init__(
        self,
        place: str,
        *,
        build: Callable[[bytes], KeyRing],
        publish: Callable[[KeyRing], None],
        board: Board,
        schedule: RefreshSchedule,
    ) -> None:
        self.place = place
        self._build = build
        self._publish = publish
        self._board = board
        self._schedule = schedule
        self._document: bytes | None = None  # that the ring in force was built from
        self._keys = 0
        self._complaint = ""
        self._task: asyncio.Task[None] | None = None

    @property
    def loaded(self) -> bool:
        """A key ring was published; it stays in force."""
        return self._document is not None

    @abstractmethod
    async def _read(self) -> bytes | None:
        """Return the document, or None when it is known to be the one in force. Raises any Exception when there is none."""

    async def load(self) -> None:
        """
        Read for the first time, before the listeners open.

        Raises:
            KeySourceError: A file cannot be read or used: a mistake to mend now. An unreachable URL raises nothing: requests are answered
                with 503 and Retry-After until it can be reached.
        """
        await self._attempt()

    def start(self) -> None:
        """Keep the keys current from now on."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"keys from {self.place}")

    async def stop(self) -> None:
        """Stop reading; the ring in force stays."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._schedule.wait(time.monotonic()))
            if self._schedule.wants_fetch(time.monotonic()):
                await self._attempt()

    async def _attempt(self) -> str:
        """Read once and publish what is new. Returns "" or the sentence that tells what is wrong; raises nothing."""
        try:
            document = await self._read()
            if document is not None and document != self._document:
                ring = self._build(document)
                self._publish(ring)
                self._document, self._keys = document, len(ring)
                for warning in ring.warnings:
                    log.warning("keys from %s: %s", self.place, warning)
        except Exception as error:  # a hostile document must not end the task that keeps the keys current
            self._schedule.failed(time.monotonic(), _chance.random())
            self._board.add("key_fetches")
            self._board.add("key_fetch_failures")
            return self._complain(_sentence(error))
        self._schedule.succeeded(time.monotonic(), _chance.random())
        self._board.set_keys(self._keys, time.time())
        if document is not None:
            self._board.add("key_fetches")
            if self._complaint:
                log.info("the keys from %s can be read again", self.place)
        self._complaint = ""
        return ""

    def _complain(self, sentence: str) -> str:
        """Log a failure once, not once an attempt."""
        if sentence != self._complaint:
            missing, meanwhile = (
                ("no new keys", "the keys in force stay")
                if self.loaded
                else ("no keys", "requests are answered with 503 until there are some")
            )
            source = "" if self.place in sentence else f" from {self.place}"
            log.warning("%s%s: %s; %s", missing, source, sentence, meanwhile)
            self._complaint = sentence
        return sentence


class RemoteKeySource(KeySource):
    """Keys of a JWKS URL."""

    def __init__(
        self,
        uri: str,
        *,
        timeout: float,
        max_bytes: int,
        allow_http: bool,
        build: Callable[[bytes], KeyRing],
        publish: Callable[[KeyRing], None],
        board: Board,
        schedule: RefreshSchedule,
    ) -> None:
        super().__init__(uri.partition("?")[0], build=build, publish=publish, board=board, schedule=schedule)
        self._uri = uri
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._allow_http = allow_http

    async def _read(self) -> bytes:
        from lbjwt.jwks.fetch import fetch  # aiohttp is imported only when a URL is configured

        return await fetch(self._uri, timeout=self._timeout, max_bytes=self._max_bytes, allow_http=self._allow_http)


class FileKeySource(KeySource):
    """Keys of a file, read again when another file stands under its name or it was written to."""

    def __init__(
        self,
        path: Path,
        *,
        build: Callable[[bytes], KeyRing],
        publish: Callable[[KeyRing], None],
        board: Board,
        check: float = FILE_CHECK,
    ) -> None:
        super().__init__(str(path), build=build, publish=publish, board=board, schedule=RefreshSchedule(check))
        self._path = path
        self._signature: tuple[int, ...] = ()

    async def load(self) -> None:
        """As in the base class."""
        sentence = await self._attempt()
        if sentence:
            raise KeySourceError(f"no keys from {self.place}: {sentence}")

    async def _read(self) -> bytes | None:
        signature = _signature(self._path.stat())
        if signature == self._signature and self.loaded and not self._complaint:
            return None
        with self._path.open("rb") as file:
            self._signature = _signature(
                os.fstat(file.fileno())
            )  # before reading: a write meanwhile is seen at the next look
            document = file.read(MAX_FILE_BYTES + 1)
        if len(document) > MAX_FILE_BYTES:
            raise KeySourceError(f"the file is longer than {MAX_FILE_BYTES} bytes")
        return document


def _signature(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _sentence(error: Exception) -> str:
    """Only errors made for people are quoted: the text of another might hold a piece of the document."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, LbjwtError):
        return str(error)
    return f"the document cannot be used ({type(error).__name__})"
