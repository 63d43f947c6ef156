"""
The keys of one remote source, kept current in one process: asyncio around `KeyLifecycle`, `KeyOrigin` and the stored copy.

Decides nothing itself: when to fetch and how long to believe is the life cycle's business, what a document means that of the `check` it is given.
One task makes one attempt at a time, whoever asked for it; no request waits in here, and nothing that a server sends ends the task (THREATS B6).
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lbjwt.jose.keyring import KeyRing
from lbjwt.jwks import spare, store
from lbjwt.jwks.complaints import Complaints
from lbjwt.jwks.errors import StoreError, sentence_of
from lbjwt.jwks.lifecycle import KeyLifecycle
from lbjwt.jwks.origin import KeyOrigin
from lbjwt.jwks.store import Envelope, room_for
from lbjwt.jwks.uri import place_of

if TYPE_CHECKING:
    from lbjwt.jwks.fetch import Fetched

__all__ = ["RemoteKeys"]

STORE_RETRY: Final = 10.0
"""Seconds until a document that could not be stored is written again."""

LONGEST_SLEEP: Final = 60.0
"""Seconds: after a suspended machine wakes, its keys are found too old no later."""

_chance = random.SystemRandom()  # processes forked at one moment must not draw alike

log = logging.getLogger("lbjwt.jwks")


class RemoteKeys:
    """
    One remote source.

    Args:
        origin: Where to ask.
        lifecycle: When to ask, and how long to believe. Both are this object's alone.
        check: A document to a key ring; whatever it raises means that the document is not usable and the one before stays.
        path: File that keeps the last good document; None keeps none.
        on_started: An attempt begins.
        on_document: There is a good document, new or confirmed, believed until its `good_until`. The file holds it already, unless that failed:
            then this is called again when it does.
        on_withdrawn: The keys are too old and must not be used any more.
        on_settled: An attempt ended, with whatever result; what it brought was told before. Whoever waits need not wait longer.

    Attributes:
        attempts: Attempts that ended.
        failures: Those without a usable document.
        documents: Documents that differed from the one before.
        store_failures: Times that the copy could not be written.
        withdrawals: Times that keys became too old.
        last_success: Seconds since the epoch; 0 when there was none.
        ring: Made of the last good document, also after it became too old.
    """

    def __init__(
        self,
        origin: KeyOrigin,
        lifecycle: KeyLifecycle,
        *,
        check: Callable[[bytes], KeyRing],
        path: Path | None = None,
        on_started: Callable[[], None] | None = None,
        on_document: Callable[[Envelope], None] | None = None,
        on_withdrawn: Callable[[], None] | None = None,
        on_settled: Callable[[], None] | None = None,
    ) -> None:
        self.origin = origin
        self.lifecycle = lifecycle
        self.attempts = self.failures = self.documents = self.store_failures = self.withdrawals = 0
        self.last_success = 0.0
        self.ring: KeyRing | None = None
        self._check = check
        self._path = path
        self._on_started = on_started
        self._on_document = on_document
        self._on_withdrawn = on_withdrawn
        self._on_settled = on_settled
        self._complaints = Complaints(origin.place)
        self._document: bytes | None = None
        self._good_until = 0.0
        self._last_failure: tuple[str, float] | None = None
        self._unsaved: tuple[Envelope, float] | None = None  # and when to write it again
        self._store_complaint = ""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def not_before(self) -> float:
        """The monotonic time before which an unknown key id is not worth waiting for."""
        return self.lifecycle.not_before(time.monotonic())

    async def load(self) -> None:
        """
        Get the keys before traffic: the stored copy if it is good, else by one attempt. Raises nothing.

        A copy is enough to open the listeners: an issuer that hangs delays no start. `start` asks the issuer at once.
        """
        if not self.lifecycle.has_keys:
            self._restore()
        if not self.lifecycle.has_keys:
            self.lifecycle.begin()
            await self._attempt(doubtful=False)

    def start(self) -> None:
        """Keep the keys current from now on."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"keys from {self.origin.place}")

    async def stop(self) -> None:
        """End everything, an attempt under way too; whoever waits for it is told."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self.lifecycle.under_way:  # begun by an unknown key id, and never made
            self._abandon()

    def unknown_kid(self) -> bool:
        """
        A token named a key that nobody knows: fetch, unless that was done just now (THREATS B4).

        Returns:
            An attempt is under way, so `on_settled` will be called. False means that waiting is of no use.
        """
        if self._task is not None and self.lifecycle.unknown_kid(time.monotonic()):
            self._wake.set()
        return self.lifecycle.under_way

    def describe(self) -> dict[str, Any]:
        """For the admin status. Times are seconds since the epoch, `next_fetch` is seconds from now; no key is in it."""
        now = time.monotonic()
        origin, lifecycle = self.origin, self.lifecycle
        failure, failed_at = self._last_failure or (None, None)
        return {
            "place": origin.place,
            "keys_from": place_of(origin.uri) if origin.uri is not None else None,
            "state": lifecycle.state(now).value,
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
            pause = self._pause()
            if pause > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
            self._wake.clear()
            await self._turn()

    def _pause(self) -> float:
        now = time.monotonic()
        retry = LONGEST_SLEEP if self._unsaved is None else self._unsaved[1] - now
        return min(self.lifecycle.wait(now, time.time()), retry, LONGEST_SLEEP)

    async def _turn(self) -> None:
        now = time.monotonic()
        if self.lifecycle.withdraw(now, time.time()):
            self.withdrawals += 1
            self._complaints.withdrawn(self.lifecycle.max_stale)
            self._tell(self._on_withdrawn)
        if self.lifecycle.under_way:  # for a key that the document does not have, whatever its entity tag says
            await self._attempt(doubtful=True)
        elif self.lifecycle.wants_fetch(now):
            self.lifecycle.begin()
            await self._attempt(doubtful=False)
        elif self._unsaved is not None and now >= self._unsaved[1]:
            envelope = self._unsaved[0]
            if await self._save(envelope):  # those who read the file can be told now
                self._tell(self._on_document, envelope)

    async def _attempt(self, *, doubtful: bool) -> None:
        """Make the attempt that was begun. Raises nothing but the cancellation of this very task."""
        self._tell(self._on_started)
        failure: str | None = None
        max_age = None
        try:
            fetched = await self.origin.ask(doubtful=doubtful)
            max_age = fetched.max_age
            await self._accept(fetched)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                self._abandon()
                raise
            failure = f"{self.origin.place} could not be asked (cancelled)"
        except Exception as error:  # a hostile answer must not end the task that keeps the keys current
            failure = sentence_of(error)
        now, wall = time.monotonic(), time.time()
        self.attempts += 1
        if failure is not None:
            self.failures += 1
            self._last_failure = (failure, wall)
            self.origin.refused()
            self.lifecycle.failed(now, _chance.random())
            self._complaints.complain(failure, in_force=self.lifecycle.has_keys)
        else:
            self.lifecycle.succeeded(now, wall, _chance.random(), max_age=max_age)
            self._complaints.mended()
        self._tell(self._on_settled)

    async def _accept(self, fetched: "Fetched") -> None:
        """Believe a document that passes the check, store it, and tell. Raises what the check and the telling raise."""
        document = self._document if fetched.document is None else fetched.document
        assert document is not None
        text = document.decode()
        if document != self._document:
            self.ring = self._check(document)
            self._document = document
            self.documents += 1
            self._complaints.warn(self.ring.warnings)
        self.origin.accepted(fetched)
        self.last_success = time.time()
        self._good_until = self.last_success + self.lifecycle.max_stale
        envelope = Envelope(self.origin.identity, self.last_success, self._good_until, text, self.origin.tag)
        await self._save(envelope)
        if self._on_document is not None:
            self._on_document(envelope)

    def _abandon(self) -> None:
        self.lifecycle.abandoned(time.monotonic())
        self._tell(self._on_settled)

    async def _save(self, envelope: Envelope) -> bool:
        """Write the copy; True when it stands there. A full disk takes no keys away from this process; it is tried again soon."""
        if self._path is None:
            return False
        # in a thread, for a disk may be slow; to its end, for the next writer must not meet this one
        writing = asyncio.ensure_future(asyncio.to_thread(store.write, self._path, envelope))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.gather(writing, return_exceptions=True)
            raise
        except StoreError as error:
            self.store_failures += 1
            self._unsaved = (envelope, time.monotonic() + STORE_RETRY)
            if str(error) != self._store_complaint:
                self._store_complaint = str(error)
                log.warning("the keys from %s are not stored: %s", self.origin.place, error)
            with contextlib.suppress(StoreError):  # those who read the file must learn of it all the same
                spare.put(self._path, envelope)
            return False
        spare.withdraw(self._path)
        self._unsaved = None
        self._store_complaint = ""
        return True

    def _restore(self) -> None:
        """Take the stored copy into force, if there is one that can be believed. Raises nothing."""
        if self._path is None:
            return
        lifecycle = self.lifecycle
        try:
            envelope = store.read(self._path, max_bytes=room_for(self.origin.max_bytes))
            if envelope is None:
                return
            shelf_life = store.believed(
                self._path,
                envelope,
                place=self.origin.identity,
                max_stale=lifecycle.max_stale,
                now=time.monotonic(),
                wall=time.time(),
            )
            document = envelope.document.encode()
            ring = self._check(document)
            lifecycle.restored(shelf_life)
        except Exception as error:
            log.warning("no stored keys for %s: %s", self.origin.place, sentence_of(error))
            return
        self._document, self.ring = document, ring
        self.origin.restored(envelope.etag)
        self.last_success = envelope.fetched_at
        self._good_until = shelf_life.fetched_at + shelf_life.limit
        log.info("the keys from %s are those stored before, until it is asked again", self.origin.place)
        self._complaints.warn(ring.warnings)
        self._tell(self._on_document, envelope)

    def _tell(self, callback: Callable[..., None] | None, *arguments: Any) -> None:
        """Call back. What is wrong on the other side must not end the task that keeps the keys current."""
        if callback is not None:
            try:
                callback(*arguments)
            except Exception as error:
                log.error("keys from %s: %s", self.origin.place, sentence_of(error))
