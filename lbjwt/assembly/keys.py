"""
From configured key sources to working ones: in the process that fetches (`FetchedKeys`) and in those that verify (`worker_sources`), which meet at
the feed and the board. A balancer that is embedded in another program has both in its one loop (`EmbeddedControl`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lbjwt.assembly.sources import (
    key_identity,
    key_lifecycle,
    key_origin,
    key_ring_of,
    local_keys,
    place_of_keys,
    read_stored,
    source_settings,
    stored_keys,
)
from lbjwt.files import Kept, nothing_kept
from lbjwt.keys.errors import StoreError
from lbjwt.keys.feed import KeyFeed, StoredKeySet
from lbjwt.keys.log import log_key_changes
from lbjwt.keys.requested import RequestedKeys
from lbjwt.keys.source import FeedKeys

if TYPE_CHECKING:
    from lbjwt.assembly.issuers import IssuerInstance
    from lbjwt.auth.verifier import Verifier
    from lbjwt.jose.keyring import KeyRing
    from lbjwt.keys.remote import RemoteKeys
    from lbjwt.keys.worker import Source
    from lbjwt.observe._board import Board

FIRST_KEYS: Final = 1.0
"""Seconds a starting worker waits for the control process beyond the timeout of a fetch."""

NEW_KEYS: Final = 0.5
"""Seconds a reload waits for the first keys of new remote sources. Then it goes on, and tokens of these issuers get 503 until they come."""

log = logging.getLogger("lbjwt.jwks")


def worker_sources(
    instances: Sequence[IssuerInstance],
    known: Mapping[int, Source],
    verifier: Verifier,
    board: Board,
    feed: KeyFeed,
    kept: Kept = nothing_kept,
) -> dict[int, Source]:
    """
    The key sources of a process that verifies, by issuer index.

    Args:
        known: Those in force. One with equal settings stays.
        kept: Used in place of key files that cannot be used.

    Raises:
        KeySourceError: The environment does not hold a secret.
    """
    sources: dict[int, Source] = {}
    for instance in instances:
        index, remote, settings = instance.index, instance.issuer.fetch, source_settings(instance)
        if index in known and known[index].settings == settings:
            sources[index] = known[index]
        elif remote is None:
            publish = _LocalPublisher(verifier, board, instance)
            sources[index] = local_keys(instance, publish=publish, board=board, kept=kept)
        else:
            requested = RequestedKeys(partial(feed.request_keys, index, board.slot))
            sources[index] = FeedKeys(
                place_of_keys(instance),
                identity=key_identity(instance),
                feed=feed,
                build=key_ring_of(instance.issuer, missing=requested.add),
                publish=partial(verifier.publish, issuer=index),
                board=board,
                issuer=index,
                max_stale=remote.max_stale,
                attempts=board.source_words(index)["attempts"] if known else 0,
                settings=settings,
                requested=requested if instance.issuer.remote_keys is not None else None,
            )
    return sources


def first_fetch(instances: Sequence[IssuerInstance]) -> float:
    """Seconds that a starting worker waits at most for the first attempts to fetch keys; 0 if none are fetched."""
    return max(
        (2 * one.issuer.fetch.timeout + FIRST_KEYS for one in instances if one.issuer.fetch is not None), default=0.0
    )


class FetchedKeys:
    """
    The remote key sources of a whole service: fetched once, for all workers.

    Args:
        directory: Of state, where the last good key sets are kept for the next start; None keeps none.
        notify: Wakes the workers.
    """

    def __init__(
        self,
        instances: Sequence[IssuerInstance],
        board: Board,
        feed: KeyFeed,
        directory: Path | None,
        notify: Callable[[], None],
    ) -> None:
        self._board = board
        self._feed = feed
        self._directory = directory
        self._notify = notify
        self._keys = {one.name: self._made(one) for one in instances if one.issuer.fetch is not None}

    def _made(self, instance: IssuerInstance, before: RemoteKeys | None = None) -> RemoteKeys:
        from lbjwt.keys.remote import RemoteKeys  # imports aiohttp, which a worker does not need

        assert instance.issuer.fetch is not None
        return RemoteKeys(
            key_origin(instance, partial(self._feed.take_requested, instance.index)),
            key_lifecycle(instance.issuer.fetch),
            name=instance.name,
            source=instance.index,
            build=key_ring_of(instance.issuer),
            board=self._board,
            feed=self._feed,
            notify=self._notify,
            path=stored_keys(self._directory, instance) if self._directory is not None else None,
            settings=source_settings(instance),
            before=before,
        )

    async def start(self) -> None:
        """Begin to fetch; returns at once."""
        for keys in self._keys.values():
            keys.start()

    async def stop(self) -> None:
        """End every attempt under way."""
        for keys in self._keys.values():
            await keys.stop()

    async def reload(self, instances: Sequence[IssuerInstance]) -> None:
        """
        Fetch the keys of these issuers from now on. A source with the same settings goes on undisturbed; of one that left, an attempt under way is
        given up.
        """
        before = self._keys
        kept: dict[str, RemoteKeys] = {}
        new: dict[str, RemoteKeys] = {}
        for instance in instances:
            known = before.get(instance.name)
            if instance.issuer.fetch is None:
                continue
            if known is not None and known.settings == source_settings(instance):
                kept[instance.name] = known
            else:
                new[instance.name] = self._made(instance, known)
        self._keys = kept
        for name, keys in before.items():
            if name not in kept:
                await keys.stop()  # before the next one writes to the same file and the same place in the feed
            if name not in kept and name not in new:
                keys.forget()
        self._keys = kept | new
        for keys in new.values():
            keys.start()

    def notified(self) -> None:
        """Some worker wants keys that are not there."""
        for keys in self._keys.values():
            keys.notified()

    def is_due(self, now: float, wall: float) -> bool:
        """Whether an attempt is due or under way; `now` is monotonic, `wall` seconds since the epoch. May be called in any thread."""
        return any(keys.lifecycle.under_way or keys.lifecycle.wait(now, wall) <= 0.0 for keys in self._keys.values())

    def overdue(self, wall: float) -> list[int]:
        """
        Issuers whose last success is longer ago by the wall clock than any two fetches may be apart: the process was frozen meanwhile, and the
        monotonic clock, by which a fetch becomes due, may have stood still. May be called in any thread.
        """
        return [keys.source for keys in self._keys.values() if 0.0 < keys.last_success < wall - keys.lifecycle.latest]

    def describe(self) -> dict[str, dict[str, Any]]:
        """For the admin status, by the name of the issuer."""
        return {name: keys.describe() for name, keys in self._keys.items()}


class EmbeddedControl(FetchedKeys):
    """The part of the control process, and the link to it, of a balancer that fetches its remote keys in its own loop."""

    def __init__(self, instances: Sequence[IssuerInstance], board: Board, directory: Path | None) -> None:
        self.directory = directory
        self.feed = new_feed(instances, None)
        self._instances = instances
        self._worker: Callable[[], None] | None = None
        super().__init__(instances, board, self.feed, directory, self._notify_worker)

    async def start(self) -> None:
        """Begin to fetch; returns at once."""
        put_stored(self.feed, self._instances, self.directory)
        await super().start()

    def make_room(self, instances: Sequence[IssuerInstance]) -> None:
        """
        Make room in the feed for the key sets of these issuers, see `make_room`.

        Raises:
            ConfigurationError: The system does not give that much memory.
        """
        made = make_room(self.feed, instances, self.directory)
        if made is not None:
            os.close(made.fd)

    def notify(self) -> None:
        """Look at the board in the next turn of the loop."""
        asyncio.get_running_loop().call_soon(self.notified)

    def listen(self, notified: Callable[[], None]) -> None:
        """Call `notified` whenever there is something new."""
        self._worker = notified

    def ignore(self) -> None:
        """End that."""
        self._worker = None

    def _notify_worker(self) -> None:
        if self._worker is not None:
            asyncio.get_running_loop().call_soon(self._worker)


def new_feed(instances: Sequence[IssuerInstance], directory: Path | None) -> KeyFeed:
    """The feed of all remote sources, with the key sets that the last run stored in the state directory."""
    feed = KeyFeed(longest_key_sets(instances))
    put_stored(feed, instances, directory)
    return feed


def longest_key_sets(instances: Sequence[IssuerInstance]) -> dict[int, int]:
    """What a feed needs to know of the remote sources among these: bytes of the longest document, by issuer index."""
    return {one.index: one.issuer.fetch.longest_document for one in instances if one.issuer.fetch is not None}


@dataclass(frozen=True, slots=True)
class Room:
    """Memory that was added to a feed: what `KeyFeed.attach` needs in another process."""

    longest: dict[int, int]
    fd: int
    """The caller of `make_room` closes it."""


def make_room(feed: KeyFeed, instances: Sequence[IssuerInstance], directory: Path | None) -> Room | None:
    """
    Make room in a feed for those of these issuers that have none, or need more; None if there is nothing to do. A key set that is in the feed moves
    along, and a source without one begins with what the state directory has.

    Raises:
        ConfigurationError: The system does not give that much memory; nothing changed.
    """
    longest = {index: most for index, most in longest_key_sets(instances).items() if not feed.has_room(index, most)}
    if not longest:
        return None
    kept = {index: stored for index in longest if index in feed and (stored := feed.get(index)) is not None}
    room = Room(longest, feed.add(longest))
    for index, stored in kept.items():
        feed.put(index, stored)  # it fits: rooms only grow
    put_stored(feed, [one for one in instances if one.index in longest and one.index not in kept], directory)
    return room


def put_stored(feed: KeyFeed, instances: Sequence[IssuerInstance], directory: Path | None) -> None:
    """Put the stored key sets into the feed. One that must not be used is left out with a warning."""
    for instance in instances:
        if directory is not None and instance.issuer.fetch is not None:
            try:
                stored = read_stored(instance, directory, time.time())
                if stored is not None:
                    feed.put(instance.index, stored)
            except (StoreError, ValueError) as error:
                log.warning("no stored keys for %s: %s", place_of_keys(instance), error)


def key_sets(instances: Sequence[IssuerInstance], feed: KeyFeed) -> list[StoredKeySet]:
    """The key sets in a feed, for the program that replaces this one."""
    remote = [one.index for one in instances if one.issuer.fetch is not None]
    return [stored for index in remote if (stored := feed.get(index)) is not None]


def put_inherited(feed: KeyFeed, instances: Sequence[IssuerInstance], inherited: Sequence[StoredKeySet]) -> None:
    """Put the key sets of the program that this one replaces into the feed. A newer one that was stored stays; one that is too old is left out."""
    for instance in instances:
        fetch = instance.issuer.fetch
        for stored in inherited if fetch is not None else ():
            assert fetch is not None
            there = feed.get(instance.index)
            is_newer = there is None or stored.fetched_at > there.fetched_at
            is_good = stored.shelf_life(0.0, time.time(), fetch.max_stale) is not None
            if is_newer and is_good and stored.place == key_identity(instance):
                with contextlib.suppress(ValueError):  # `max_bytes` is smaller than it was
                    feed.put(instance.index, stored)


class _LocalPublisher:
    """Publishes the rings of a source that this process reads itself, and logs what changed since those that the issuer had before."""

    def __init__(self, verifier: Verifier, board: Board, instance: IssuerInstance) -> None:
        self._verifier = verifier
        self._instance = instance
        self._logs = board.slot == 0  # every worker reads the same files: one of them logs
        self._before = verifier.keys_of(instance.index)

    def __call__(self, ring: KeyRing) -> None:
        self._verifier.publish(ring, self._instance.index)
        if self._logs:
            log_key_changes(self._instance.name, self._before, ring, source=place_of_keys(self._instance))
        self._before = ring
