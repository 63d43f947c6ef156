"""
One remote source in the process that fetches: where its keys are (`KeyOrigin`), and how they are kept current (`RemoteKeys`).

`KeyLifecycle` decides when to fetch and how long keys are valid. One task makes one attempt at a time, and nothing that a server sends ends the task
(THREATS B6).
"""

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from lbjwt.jose.keyring import KeyRing
from lbjwt.keys import store
from lbjwt.keys.discovery import discover
from lbjwt.keys.egress import Egress
from lbjwt.keys.errors import JWKSFetchError, StoreError, sentence_of
from lbjwt.keys.feed import KeyFeed, StoredKeySet
from lbjwt.keys.fetcher import Fetched, fetch
from lbjwt.keys.log import SourceLog, log_key_changes
from lbjwt.keys.schedule import KeyLifecycle
from lbjwt.keys.uri import identity_of, place_of, same_origin
from lbjwt.net.threads import in_thread
from lbjwt.observe._board import Board

REDISCOVERY: Final = 86_400.0
"""Seconds until discovery is repeated although the keys can be fetched."""

STORE_RETRY: Final = 10.0
"""Seconds until a key set that could not be stored is written again."""

LONGEST_SLEEP: Final = 60.0
"""Seconds: no later than this after a suspended machine wakes, old keys are withdrawn."""

_chance = random.SystemRandom()  # forked processes must not draw the same numbers

log = logging.getLogger("lbjwt.jwks")


class KeyOrigin:
    """
    Where the keys are: a URL, or an issuer whose metadata has the URL. Remembers the last URL and its entity tag.

    Args:
        egress: How documents are fetched. Discovery, which may fetch three, lasts at most twice the timeout of one. The bearer token goes only to
            the origin of `uri` or `issuer`, not to another origin from an issuer's metadata.
        uri: URL of the key set.
        issuer: In place of `uri`: the issuer, exactly as in tokens.
    """

    def __init__(self, egress: Egress, *, uri: str | None = None, issuer: str | None = None) -> None:
        self.uri = uri
        self.identity = identity_of(uri=uri, issuer=issuer)
        self.place = place_of(uri) if uri is not None else str(issuer)
        self.fetches = self.discoveries = 0
        self._issuer = issuer
        self.egress = egress
        self._discovered_at = -math.inf
        self._last_warning = ""
        self._tag: tuple[str, str] | None = None  # of the document in force: the URL it came from, and its entity tag

    async def ask(self, *, doubtful: bool = False) -> Fetched:
        """
        Fetch the keys; the document is None if they are unchanged. Raises what `fetch` raises.

        Args:
            doubtful: Do not send the entity tag: the document that we have may be outdated.
        """
        if self._issuer is None:
            return await self._fetch(doubtful)
        limit = 2 * self.egress.timeout
        try:
            async with asyncio.timeout(limit):
                return await self._fetch_discovered(doubtful)
        except TimeoutError:
            raise JWKSFetchError(f"{self.place} did not answer completely within {limit:g} s") from None

    def accepted(self, fetched: Fetched) -> None:
        """The document was good: remember its entity tag for the next fetch."""
        if fetched.etag is not None:
            assert self.uri is not None
            self._tag = (self.uri, fetched.etag)
        elif fetched.document is not None:
            self._tag = None

    def restored(self, etag: str | None, document: bytes, fetched_at: float) -> None:
        """The document in force is a stored one with this entity tag. With discovery, its URL is not known, so the tag is not used."""
        if self.uri is not None and etag is not None:
            self._tag = (self.uri, etag)

    def refused(self) -> None:
        """The fetch failed or the document was bad: repeat the discovery at the next fetch, because the keys may have moved."""
        self._discovered_at = -math.inf

    @property
    def tag(self) -> str | None:
        return self._tag[1] if self._tag is not None else None

    async def _fetch_discovered(self, doubtful: bool) -> Fetched:
        """Fetch from the last URL. Repeat the discovery only after a day, or if the fetch fails."""
        before = self.uri
        asked = before is None or time.monotonic() - self._discovered_at >= REDISCOVERY
        if asked:
            try:
                await self._discover()
            except JWKSFetchError as error:
                if before is None:
                    raise
                if str(error) != self._last_warning:
                    self._last_warning = str(error)
                    log.warning("fetching the keys of %s from the previous URL: %s", self.place, error)
        try:
            return await self._fetch(doubtful)
        except JWKSFetchError:
            if asked:
                raise
            with contextlib.suppress(JWKSFetchError):
                await self._discover()
            if self.uri == before:
                raise
        return await self._fetch(doubtful)

    async def _discover(self) -> None:
        assert self._issuer is not None
        self.discoveries += 1
        self._discovered_at = time.monotonic()  # also if it fails: then the known URL is used for another day
        self.uri = await discover(self._issuer, self.egress)
        self._last_warning = ""

    async def _fetch(self, doubtful: bool) -> Fetched:
        assert self.uri is not None
        self.fetches += 1
        ours = self._issuer is None or same_origin(self.uri, self._issuer)
        etag = None if doubtful or self._tag is None or self._tag[0] != self.uri else self._tag[1]
        return await fetch(self.uri, self.egress if ours else self.egress.without_token(), etag=etag)


class Origin(Protocol):
    """Where the keys of a source are: a `KeyOrigin`, several of them (`keys.several`), or a URL for each key (`keys.by_id`)."""

    identity: str
    place: str
    egress: Egress

    @property
    def uri(self) -> str | None: ...
    @property
    def fetches(self) -> int: ...
    @property
    def discoveries(self) -> int: ...
    @property
    def tag(self) -> str | None: ...
    async def ask(self, *, doubtful: bool = False) -> Fetched: ...
    def accepted(self, fetched: Fetched) -> None: ...
    def refused(self) -> None: ...
    def restored(self, etag: str | None, document: bytes, fetched_at: float) -> None: ...


class RemoteKeys:
    """
    Fetches the keys of one remote source, puts each good key set into the feed, and records its attempts on the board.

    Args:
        name: Of the issuer, for the log.
        source: Its number on the board and in the feed.
        build: Makes a key ring of a document. If it raises anything, the document is refused and the previous one stays.
        notify: Called when there is something new on the board or in the feed.
        path: File with the last good key set, for a cold start; None keeps none.
        settings: What the source was made of. A reload keeps a source with equal settings.
        before: The source that the issuer had before a reload, so that the log names the keys that go.
    """

    def __init__(
        self,
        origin: Origin,
        lifecycle: KeyLifecycle,
        *,
        name: str,
        source: int,
        build: Callable[[bytes], KeyRing],
        board: Board,
        feed: KeyFeed,
        notify: Callable[[], None],
        path: Path | None = None,
        settings: object = None,
        before: "RemoteKeys | None" = None,
    ) -> None:
        self.settings = settings
        self.origin = origin
        self.lifecycle = lifecycle
        self.attempts = self.failures = self.documents = self.store_failures = self.withdrawals = 0
        self.last_success = 0.0
        self._name = name
        self.source = source
        self._build = build
        self._board = board
        self._feed = feed
        self._notify = notify
        self._path = path
        self._log = SourceLog(origin.place)
        self._document: bytes | None = None  # the last good one, also after it became too old
        self._ring: KeyRing | None = None  # made of it
        self._in_force: KeyRing | None = before._in_force if before is not None else None
        self._good_until = 0.0
        self._last_failure: tuple[str, float] | None = None
        self._unsaved: tuple[StoredKeySet, float] | None = None  # and when to write it
        self._store_warning = ""
        self._wanted = board.wanted(source)  # refresh requests that were seen
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Restore the keys in the feed and begin the first attempt."""
        if self._task is None:
            if not self.lifecycle.has_keys:
                self._restore()
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"keys from {self.origin.place}")

    async def stop(self) -> None:
        """End everything; an attempt in progress ends on the board too, so that no request waits for it."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self.lifecycle.under_way:  # begun by a refresh request, and never made
            self._abandon()

    def forget(self) -> None:
        """Take away its last good keys, in the feed and on disk: nobody trusts its issuer any more."""
        if self.source in self._feed:
            self._feed.clear(self.source)
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def notified(self) -> None:
        """
        Fetch if a worker counted a refresh request, unless the cooldown forbids it (THREATS B4).

        Workers see the end of an attempt on the board. In the cooldown, an attempt begins and ends there at once, so that no request waits.
        """
        wanted = self._board.wanted(self.source)
        if wanted == self._wanted:
            return
        self._wanted = wanted
        if self._task is not None and self.lifecycle.unknown_kid(time.monotonic()):
            self._wake.set()
        if self.lifecycle.under_way:
            self._tell_not_before()
        else:
            self._board.add_source(self.source, "begun")
            self._end_on_board()

    def describe(self) -> dict[str, Any]:
        """For the admin status. Times are seconds since the epoch, `next_fetch` is seconds from now; no key is in it."""
        now = time.monotonic()
        origin, lifecycle = self.origin, self.lifecycle
        failure, failed_at = self._last_failure or (None, None)
        return {
            "place": origin.place,
            "keys_from": place_of(origin.uri) if origin.uri is not None else None,
            "state": lifecycle.state(now),
            "fetching": lifecycle.under_way,
            "next_fetch": 0.0 if lifecycle.under_way else max(0.0, lifecycle.due - now),
            "last_success": self.last_success or None,
            "good_until": self._good_until if lifecycle.has_keys else None,
            "last_failure": failure,
            "last_failure_at": failed_at,
            "failures_in_a_row": lifecycle.failures,
            "attempts": self.attempts,
            "failures": self.failures,
            "fetches": origin.fetches,
            "discoveries": origin.discoveries,
            "documents": self.documents,
            "withdrawals": self.withdrawals,
            "store_failures": self.store_failures,
        }

    async def _run(self) -> None:
        while True:
            now = time.monotonic()
            save = LONGEST_SLEEP if self._unsaved is None else self._unsaved[1] - now
            pause = min(self.lifecycle.wait(now, time.time()), save, LONGEST_SLEEP)
            if pause > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
            self._wake.clear()
            await self._turn()

    async def _turn(self) -> None:
        now = time.monotonic()
        if self.lifecycle.withdraw(now, time.time()):
            self.withdrawals += 1
            self._log.withdrawn(self.lifecycle.max_stale)
            self._log_change(None)
            self._notify()
        requested = self.lifecycle.under_way  # for a key that is not in the document
        if self.lifecycle.wants_fetch(now):
            self.lifecycle.begin()
        if self.lifecycle.under_way:
            await self._attempt(doubtful=requested)
        if self._unsaved is not None and time.monotonic() >= self._unsaved[1]:
            await self._save(self._unsaved[0])

    async def _attempt(self, *, doubtful: bool) -> None:
        """Make the attempt that was begun. Raises only the cancellation of this task."""
        self._board.add_source(self.source, "begun")
        self._tell_not_before()
        failure: str | None = None
        max_age, answers_request = None, True
        try:
            fetched = await self.origin.ask(doubtful=doubtful)
            max_age, answers_request = fetched.max_age, fetched.answers_request
            self._accept(fetched)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                self._abandon()
                raise
            failure = f"{self.origin.place} could not be fetched (cancelled)"
        except Exception as error:  # a hostile response must not end this task
            failure = sentence_of(error)
        now, wall = time.monotonic(), time.time()
        self.attempts += 1
        self._board.add_source(self.source, "fetches")
        if failure is not None:
            self.failures += 1
            self._board.add_source(self.source, "failures")
            self._last_failure = (failure, wall)
            self.origin.refused()
            self.lifecycle.failed(now, _chance.random())
            self._log.failed(failure, in_force=self.lifecycle.has_keys)
        else:
            self.lifecycle.succeeded(now, wall, _chance.random(), max_age=max_age, answers_request=answers_request)
            self._log.recovered()
        self._end_on_board()

    def _accept(self, fetched: Fetched) -> None:
        """Put a document that makes a key ring into the feed. Raises what `build` raises."""
        document = self._document if fetched.document is None else fetched.document
        assert document is not None
        text = document.decode()
        if document != self._document:
            self._ring = self._build(document)
            self._document = document
            self.documents += 1
            self._log.left_out(self._ring.warnings)
        self.origin.accepted(fetched)
        now = time.time()
        stored = StoredKeySet(self.origin.identity, now, now + self.lifecycle.max_stale, text, self.origin.tag)
        self._feed.put(self.source, stored)
        self._believe(now, stored.good_until)
        if self._path is not None:
            self._unsaved = (stored, 0.0)

    def _restore(self) -> None:
        """Use the key set in the feed, which is a stored one or from a previous control process. Raises nothing."""
        stored = self._feed.get(self.source)
        now, wall = time.monotonic(), time.time()
        shelf_life = stored.shelf_life(now, wall, self.lifecycle.max_stale) if stored is not None else None
        if stored is None or shelf_life is None or stored.place != self.origin.identity:
            return
        document = stored.document.encode()
        try:
            self._ring = self._build(document)
            self.lifecycle.restored(shelf_life)
        except Exception as error:
            log.warning("no stored keys for %s: %s", self.origin.place, sentence_of(error))
            return
        self._document = document
        self.origin.restored(stored.etag, document, stored.fetched_at)
        log.info("lbjwt uses the stored keys of %s until the next fetch", self.origin.place)
        self._log.left_out(self._ring.warnings)
        self._believe(stored.fetched_at, stored.fetched_at + shelf_life.limit)

    def _believe(self, fetched_at: float, good_until: float) -> None:
        self.last_success = fetched_at
        self._good_until = good_until
        self._board.set_source_time(self.source, "last_success", fetched_at)
        self._log_change(self._ring)
        self._notify()

    def _log_change(self, ring: KeyRing | None) -> None:
        log_key_changes(self._name, self._in_force, ring, source=self.origin.identity.partition("?")[0])
        self._in_force = ring

    def _abandon(self) -> None:
        self.lifecycle.abandoned(time.monotonic())
        self._end_on_board()

    def _end_on_board(self) -> None:
        """Mark the attempt as ended, and all that a previous control process left unfinished."""
        words = self._board.source_words(self.source)
        self._board.add_source(self.source, "attempts", words["begun"] - words["attempts"])
        self._tell_not_before()
        self._notify()

    def _tell_not_before(self) -> None:
        self._board.set_source_time(self.source, "not_before", self.lifecycle.not_before(time.monotonic()))

    async def _save(self, stored: StoredKeySet) -> None:
        """Write the stored copy; after a failure try again later."""
        assert self._path is not None
        # in a thread, because a disk may be slow; not cancelled, because two writers must not overlap
        writing = asyncio.ensure_future(in_thread(store.write, self._path, stored))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.gather(writing, return_exceptions=True)
            raise
        except StoreError as error:
            self.store_failures += 1
            self._unsaved = (stored, time.monotonic() + STORE_RETRY)
            if str(error) != self._store_warning:
                self._store_warning = str(error)
                log.warning("cannot store the keys from %s: %s", self.origin.place, error)
        else:
            self._unsaved = None
            self._store_warning = ""
