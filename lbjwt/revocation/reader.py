"""
The revocations in force in one process: those of the log and those of the operator's file, read several times a second.

After an error, the entries in force stay, and lbjwt logs it once. Long reads run in a thread, so that requests do not wait for them.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from lbjwt.auth.revocation import MAX_ENTRIES, RevocationError, RevocationList
from lbjwt.net.threads import in_thread
from lbjwt.revocation.tail import LogTail
from lbjwt.revocation.watched import WatchedFile

CHECK: Final = 0.25  # seconds between two checks of log and file, one stat(2) each
PRUNE: Final = 60.0  # seconds between two removals of expired entries
MANY: Final = 10_000  # entries to prune in the event loop (2 ms); a thread prunes more
INLINE: Final = 65_536  # bytes to read in the event loop (about 500 entries, 2 ms); a thread reads more

log = logging.getLogger("lbjwt.revocation")


class RevocationReader:
    """
    Follows a log, a file, or both.

    Attributes:
        made: The revocations made at run time; empty without a log.
        filed: Those of the file; empty without one.
    """

    def __init__(
        self,
        *,
        log: Path | None = None,
        file: Path | None = None,
        made: RevocationList | None = None,
        on_change: Callable[[bool], None],
        max_entries: int = MAX_ENTRIES,
        check: float = CHECK,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            log: The log of a `RevocationStore`; it need not exist yet.
            made: In place of a log, entries that this process makes; it calls `on_change` itself.
            on_change: Called in the loop's thread after each change and the first load: with True when tokens may be revoked that were
                accepted before, with False when entries were only removed.
            max_entries: Of log and file, each.
            check: Seconds between two checks of log and file.
        """
        self._tail = LogTail(log or Path(), max_entries=max_entries)
        self._watched = WatchedFile(file or Path(), max_entries=max_entries)
        self._parts: list[LogTail | WatchedFile] = []
        if log is not None:
            self._parts.append(self._tail)
        if file is not None:
            self._parts.append(self._watched)
        self.made = self._tail.entries if made is None else made
        self.filed = self._watched.entries
        self._on_change = on_change
        self._check = check
        self._clock = clock
        self._complaints: dict[Path, str] = {}
        self._poked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self.made) + len(self.filed)

    def revokes(self, issuer: str, kid: str, claims: Mapping[str, Any], now: float) -> bool:
        """As `RevocationList.revokes`, for both lists."""
        return self.made.revokes(issuer, kid, claims, now) or self.filed.revokes(issuer, kid, claims, now)

    async def load(self) -> None:
        """
        Read for the first time, before the listeners open.

        Raises:
            RevocationError: The file cannot be read or has an invalid line, or the log is no log.
        """
        for part in self._parts:
            work = part.load if isinstance(part, WatchedFile) else part.look
            await _apart(part.waiting() > INLINE, work, self._clock())
            self._complain(part, "")
        self._on_change(True)

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="revocations")

    async def stop(self) -> None:
        """Stop reading; the entries stay in force."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def poke(self) -> None:
        """Check log and file now."""
        self._poked.set()

    async def _run(self) -> None:
        prune_at = time.monotonic() + PRUNE
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._check):
                    await self._poked.wait()
            self._poked.clear()
            for part in self._parts:
                try:
                    await self._look(part)
                except RevocationError as error:
                    self._complain(part, str(error))
                except Exception as error:  # must not end the task
                    self._complain(part, f"{part.path} cannot be read ({type(error).__name__})")
            if time.monotonic() >= prune_at:
                prune_at = time.monotonic() + PRUNE
                if await _apart(len(self) > MANY, self._prune, self._clock()):
                    self._on_change(False)

    async def _look(self, part: LogTail | WatchedFile) -> None:
        size = part.waiting()
        changed = size > 0 and await _apart(size > INLINE, part.look, self._clock())
        if changed or not size:  # else the next check decides
            self._complain(part, "")
        if changed:
            self._on_change(True)

    def _prune(self, now: float) -> int:
        return self.made.prune(now) + self.filed.prune(now)

    def _complain(self, part: LogTail | WatchedFile, sentence: str) -> None:
        """Log a problem once, not with each check; "" when it is over."""
        sentence = sentence or (part.complaint if isinstance(part, LogTail) else "")
        if sentence == self._complaints.get(part.path, ""):
            return
        self._complaints[part.path] = sentence
        if sentence:
            log.error("revocations: %s; the current entries stay in force", sentence)
        else:
            log.info("revocations: lbjwt can read %s again", part.path)


async def _apart(long: bool, work: Callable[[float], Any], now: float) -> Any:
    """Do the work, in a thread when it is long."""
    return await in_thread(work, now) if long else work(now)
