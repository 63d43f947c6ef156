"""
From configured key sources to working ones: in the process that fetches (`FetchedKeys`) and in those that verify (`worker_keys`), which meet at the
feed and the board. A balancer that is embedded in another program has both in its one loop (`EmbeddedControl`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
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
    stored_keys,
)
from lbjwt.errors import ConfigurationError
from lbjwt.keys.errors import StoreError
from lbjwt.keys.feed import KeyFeed, StoredKeySet
from lbjwt.keys.log import log_key_changes
from lbjwt.keys.source import ControlLink, FeedKeys, LocalKeys, WorkerKeys

if TYPE_CHECKING:
    from lbjwt.assembly.issuers import IssuerInstance
    from lbjwt.auth.verifier import Verifier
    from lbjwt.jose.keyring import KeyRing
    from lbjwt.keys.remote import RemoteKeys
    from lbjwt.observe._board import Board

FIRST_KEYS: Final = 1.0
"""Seconds a starting worker waits for the control process beyond the timeout of a fetch."""

log = logging.getLogger("lbjwt.jwks")


def worker_keys(instances: Sequence[IssuerInstance], verifier: Verifier, board: Board, link: ControlLink) -> WorkerKeys:
    """
    The key sources of a process that verifies.

    Raises:
        KeySourceError: The environment does not hold a secret.
    """
    sources: dict[int, LocalKeys | FeedKeys] = {}
    longest_wait = 0.0
    for instance in instances:
        index, remote = instance.index, instance.issuer.fetch
        if remote is None:
            publish = partial(_publish_local, verifier, board, instance)
            sources[index] = local_keys(instance, publish=publish, board=board)
            continue
        longest_wait = max(longest_wait, 2 * remote.timeout + FIRST_KEYS)
        sources[index] = FeedKeys(
            place_of_keys(instance),
            identity=key_identity(instance),
            feed=link.feed,
            build=key_ring_of(instance.issuer),
            publish=partial(verifier.publish, issuer=index),
            board=board,
            issuer=index,
            max_stale=remote.max_stale,
        )
    return WorkerKeys(sources, board, link, longest_wait=longest_wait)


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
        self._keys: dict[str, RemoteKeys] = {}
        for instance in instances:
            if instance.issuer.fetch is None:
                continue
            from lbjwt.keys.remote import RemoteKeys  # imports aiohttp, which a worker does not need

            self._keys[instance.name] = RemoteKeys(
                key_origin(instance),
                key_lifecycle(instance.issuer.fetch),
                name=instance.name,
                source=instance.index,
                build=key_ring_of(instance.issuer),
                board=board,
                feed=feed,
                notify=notify,
                path=stored_keys(directory, instance) if directory is not None else None,
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
        """Fetch the keys of other issuers from now on."""
        raise ConfigurationError("the keys of other issuers cannot be fetched yet")

    def notified(self) -> None:
        """Some worker wants keys that are not there."""
        for keys in self._keys.values():
            keys.notified()

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
    return {one.index: one.issuer.fetch.max_bytes for one in instances if one.issuer.fetch is not None}


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


def _publish_local(verifier: Verifier, board: Board, instance: IssuerInstance, ring: KeyRing) -> None:
    before = verifier.keys_of(instance.index)
    verifier.publish(ring, instance.index)
    if board.slot == 0:  # every worker reads the same files: one of them logs
        log_key_changes(instance.name, before, ring, source=place_of_keys(instance))
