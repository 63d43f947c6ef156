"""The key sources of a process that verifies, looked at every second and whenever the control process has something new."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, Protocol

from lbjwt.keys.errors import sentence_of
from lbjwt.keys.feed import KeyFeed
from lbjwt.keys.source import FeedKeys, LocalKeys
from lbjwt.net.threads import in_thread
from lbjwt.observe._board import Board

LOOK: Final = 1.0
"""Seconds between two looks at files and feed: one stat(2), or 32 bytes, for each source."""

log = logging.getLogger("lbjwt.jwks")


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


Source = LocalKeys | FeedKeys


class WorkerKeys:
    """The key sources of a process that verifies, by issuer index."""

    def __init__(self, board: Board, link: ControlLink) -> None:
        self.settled: Callable[[int], None] = lambda issuer: None
        """Called with an issuer index when an attempt to fetch its keys ended."""
        self.sources: Mapping[int, Source] = {}
        """Those in force."""
        self._board = board
        self._link = link
        self._attempts: dict[int, int] = {}
        """By remote source: how many attempts had ended at the last look."""
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def load(self, sources: Iterable[Source]) -> None:
        """
        Read sources for the first time, in a thread.

        Raises:
            KeySourceError: A file or a text cannot be used: a mistake to mend now. A URL that cannot be reached raises nothing.
        """

        def load() -> None:
            for source in sources:
                source.load(time.monotonic(), time.time())

        await in_thread(load)

    async def wait(self, sources: Iterable[Source], seconds: float) -> None:
        """Wait until one attempt was made for each of these that the feed does not have yet, and not longer."""
        fetched = [source for source in sources if isinstance(source, FeedKeys)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    self._news.clear()
                    for source in fetched:
                        source.load(time.monotonic(), time.time())
                    if all(source.tried for source in fetched):
                        return
                    await self._news.wait()

    def use(self, sources: Mapping[int, Source]) -> None:
        """Put these into force, all at once, and no others. Sources that are new have been loaded; the others look at their files once more."""
        before = self.sources
        self.sources = sources
        for index, source in sources.items():
            if before.get(index) is not source:
                source.begin(time.time())
                self._attempts.pop(index, None)
        known = self._attempts
        self._attempts = {
            index: known.get(index, self._board.source_words(index)["attempts"])
            for index, source in sources.items()
            if isinstance(source, FeedKeys)
        }
        self._look([index for index, source in sources.items() if before.get(index) is source])

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
        for index, before in list(self._attempts.items()):
            attempts = self._board.source_words(index)["attempts"]
            if attempts != before:
                self._attempts[index] = attempts
                self.settled(index)

    def may_refresh(self, issuer: int) -> bool:
        """Whether keys of an issuer are being fetched, or may be now. May be called in any thread."""
        known = self._attempts.get(issuer)
        if known is None:
            return False
        words = self._board.source_words(issuer)
        # An attempt that ended a moment ago brought what is not looked at yet: `notified` follows.
        under_way = words["begun"] != words["attempts"] or words["attempts"] != known
        return under_way or bool(time.monotonic() >= words["not_before"])

    def request_refresh(self, issuer: int) -> bool:
        """A token named a key that is not there. True when its keys are being fetched; in the cool-down the control process is not even notified."""
        if not self.may_refresh(issuer):
            return False
        words = self._board.source_words(issuer)
        if words["begun"] == words["attempts"] == self._attempts[issuer]:
            source = self.sources[issuer]
            if isinstance(source, FeedKeys) and source.requested is not None:
                source.requested.tell()
            self._board.want(issuer)
            self._link.notify()
        return True

    async def _watch(self) -> None:
        pause = LOOK
        while True:
            await asyncio.sleep(pause)
            pause = self._look(self.sources)

    def _look(self, indexes: Iterable[int]) -> float:
        """Look at these sources; return the seconds until the next look. What goes wrong with one must not keep the others from it."""
        pause = LOOK
        for index in indexes:
            try:
                pause = min(pause, self.sources[index].look(time.monotonic(), time.time()))
            except Exception as error:
                log.error("keys of issuer %d: %s", index, sentence_of(error))
        return max(0.001, pause)
