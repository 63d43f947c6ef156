"""
From configured key sources to those of the process that fetches: all remote sources of a service, once for all workers (`FetchedKeys`). Workers get
what it fetches through the feed. A balancer that is embedded in another program has both in its one loop (`EmbeddedControl`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbjwt.assembly.keys import KEYS, place_of_keys, read_stored, source_settings, stored_keys, whose_keys
from lbjwt.assembly.rings import key_ring_of
from lbjwt.keys.egress import SYSTEM_TLS, ClientTls, Egress
from lbjwt.keys.errors import StoreError
from lbjwt.keys.feed import KeyFeed
from lbjwt.keys.schedule import KeyLifecycle

if TYPE_CHECKING:
    from lbjwt.assembly.issuers import IssuerInstance
    from lbjwt.config.remote import KeyFetch
    from lbjwt.keys.remote import KeyOrigin, RemoteKeys
    from lbjwt.observe._board import Board

log = logging.getLogger("lbjwt.jwks")


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
        self._keys: dict[str, RemoteKeys] = {}
        for instance in instances:
            if instance.issuer.fetch is not None:
                self._keys[instance.name] = self._made(instance, instance.issuer.fetch)

    def _made(self, instance: IssuerInstance, fetch: KeyFetch, before: RemoteKeys | None = None) -> RemoteKeys:
        from lbjwt.keys.remote import RemoteKeys  # imports aiohttp, which a worker does not need

        return RemoteKeys(
            key_origin(instance),
            key_lifecycle(fetch),
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

    async def reload(self, instances: Sequence[IssuerInstance]) -> None:
        """
        Fetch for these issuers from now on. A source whose settings stay goes on as if nothing had happened; for one that left, an attempt under way
        is given up.
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
                new[instance.name] = self._made(instance, instance.issuer.fetch, known)
        self._keys = kept
        for name, keys in before.items():
            if name not in kept:
                await keys.stop()  # before the next one writes to the same file and the same place in the feed
        self._keys = kept | new
        for keys in new.values():
            keys.start()

    async def stop(self) -> None:
        """End every attempt under way."""
        for keys in self._keys.values():
            await keys.stop()

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
        self.feed = new_feed(instances, directory)
        self._longest = longest_key_sets(instances)
        self._worker: Callable[[], None] | None = None
        super().__init__(instances, board, self.feed, directory, self._notify_worker)

    async def start(self) -> None:
        """Begin to fetch; returns at once."""
        if self.directory is not None:
            with contextlib.suppress(OSError):  # writing there will log what is wrong
                for directory in (self.directory, self.directory / KEYS):
                    directory.mkdir(mode=0o700, exist_ok=True)
        await super().start()

    def make_room(self, instances: Sequence[IssuerInstance]) -> None:
        """
        Make room in the feed for those of these issuers that have none of this size, with the key sets that are stored for them.

        Raises:
            ConfigurationError: The system does not give that much memory.
        """
        longest = longest_key_sets(instances)
        new = {index: size for index, size in longest.items() if self._longest.get(index) != size}
        if new:
            os.close(self.feed.add(new))
            self._longest |= new
            put_stored(self.feed, [one for one in instances if one.index in new], self.directory)

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
    """The feed of all remote sources, with the key sets that the last run stored."""
    feed = KeyFeed(longest_key_sets(instances))
    put_stored(feed, instances, directory)
    return feed


def longest_key_sets(instances: Sequence[IssuerInstance]) -> dict[int, int]:
    """What a feed needs to know of the remote sources among these: bytes of the longest document, by issuer index."""
    return {one.index: one.issuer.fetch.max_bytes for one in instances if one.issuer.fetch is not None}


def put_stored(feed: KeyFeed, instances: Sequence[IssuerInstance], directory: Path | None) -> None:
    """Put the stored key sets of the remote sources among these into the feed. One that must not be used is left out with a warning."""
    for instance in instances:
        if directory is not None and instance.issuer.fetch is not None:
            try:
                stored = read_stored(instance, directory, time.time())
                if stored is not None:
                    feed.put(instance.index, stored)
            except (StoreError, ValueError) as error:
                log.warning("no stored keys for %s: %s", place_of_keys(instance), error)


def key_origin(instance: IssuerInstance) -> KeyOrigin:
    """Where a remote source is asked, and how."""
    from lbjwt.keys.remote import KeyOrigin  # imports aiohttp

    remote = instance.issuer.fetch
    assert remote is not None
    tls = SYSTEM_TLS
    if remote.ca_file is not None or remote.client_certificate is not None:
        tls = ClientTls(ca_file=remote.ca_file, certificate=remote.client_certificate, private_key=remote.client_key)
    egress = Egress(
        timeout=remote.timeout,
        max_bytes=remote.max_bytes,
        allow_http=remote.allow_http,
        tls=tls,
        proxy=remote.proxy,
        proxy_from_environment=remote.proxy_from_environment,
        bearer_token_file=remote.bearer_token_file,
    )
    return KeyOrigin(egress, **whose_keys(instance))


def key_lifecycle(remote: KeyFetch) -> KeyLifecycle:
    """When a remote source is asked, and how long it is believed."""
    return KeyLifecycle(
        interval=remote.refresh_interval,
        floor=remote.shortest_interval,
        ceiling=remote.longest_interval,
        cooldown=remote.cooldown,
        max_stale=remote.max_stale,
    )
