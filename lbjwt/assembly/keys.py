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

import orjson

from lbjwt.assembly.rings import key_ring_of
from lbjwt.keys import store
from lbjwt.keys.egress import SYSTEM_TLS, ClientTls, Egress
from lbjwt.keys.errors import StoreError
from lbjwt.keys.feed import KeyFeed
from lbjwt.keys.log import log_key_changes
from lbjwt.keys.schedule import KeyLifecycle
from lbjwt.keys.source import FeedKeys, LocalKeys, secret_from_environment
from lbjwt.keys.uri import identity_of
from lbjwt.keys.worker import ControlLink, WorkerKeys

if TYPE_CHECKING:
    from lbjwt.assembly.issuers import IssuerInstance
    from lbjwt.auth.verifier import Verifier
    from lbjwt.config.remote import KeyFetch
    from lbjwt.jose.keyring import KeyRing
    from lbjwt.keys.remote import KeyOrigin, RemoteKeys
    from lbjwt.observe._board import Board

KEYS: Final = "keys"
"""The subdirectory of the state directory with one file for each remote source."""

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
        self._worker: Callable[[], None] | None = None
        super().__init__(instances, board, self.feed, directory, self._notify_worker)

    async def start(self) -> None:
        """Begin to fetch; returns at once."""
        if self.directory is not None:
            with contextlib.suppress(OSError):  # writing there will log what is wrong
                for directory in (self.directory, self.directory / KEYS):
                    directory.mkdir(mode=0o700, exist_ok=True)
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


def read_stored(instance: IssuerInstance, directory: Path, wall: float) -> store.StoredKeySet | None:
    """
    The stored key set of a remote source; None when there is none.

    Raises:
        StoreError: It must not be used.
    """
    remote = instance.issuer.fetch
    assert remote is not None
    return store.read(
        stored_keys(directory, instance),
        place=identity_of(**_whose(instance)),
        max_stale=remote.max_stale,
        max_bytes=store.room_for(remote.max_bytes),
        wall=wall,
    )


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
    return KeyOrigin(egress, **_whose(instance))


def local_keys(instance: IssuerInstance, *, publish: Callable[[KeyRing], None], board: Board) -> LocalKeys:
    """
    A source that is not fetched.

    Raises:
        KeySourceError: The environment does not hold the secret.
    """
    issuer = instance.issuer
    given = None
    if issuer.secret_env is not None:
        given = secret_from_environment(issuer.secret_env)
    elif issuer.jwks is not None:
        given = orjson.dumps(issuer.jwks)
    elif issuer.pem is not None:
        given = issuer.pem.encode()
    return LocalKeys(
        place_of_keys(instance),
        given=given,
        paths=issuer.key_files,
        build=key_ring_of(issuer),
        publish=publish,
        board=board,
        issuer=instance.index,
    )


def place_of_keys(instance: IssuerInstance) -> str:
    """Where the keys come from, for people: without the query of a URL, which may hold a secret."""
    issuer = instance.issuer
    if issuer.fetch is not None:
        return identity_of(**_whose(instance)).partition("?")[0]
    if issuer.key_files:
        return ", ".join(map(str, issuer.key_files))
    if issuer.secret_env is not None:
        return f"the environment variable {issuer.secret_env}"
    return f"issuers.{instance.label}.{issuer.key_source}"


def stored_keys(directory: Path, instance: IssuerInstance) -> Path:
    """The file that keeps the last good keys of a remote source."""
    return directory / KEYS / f"{instance.name.replace('/', '+')}.json"


def wait_for_keys(instances: Sequence[IssuerInstance]) -> float:
    """Seconds a request waits at most for keys that a fetch may bring: that long a fetch can last, and twice as long with discovery."""
    issuers = [one.issuer for one in instances]
    fetches = [issuer.remote_jwks.timeout for issuer in issuers if issuer.remote_jwks is not None]
    fetches += [2 * issuer.discovery.timeout for issuer in issuers if issuer.discovery is not None]
    return max(fetches, default=0.0)


def _publish_local(verifier: Verifier, board: Board, instance: IssuerInstance, ring: KeyRing) -> None:
    before = verifier.keys_of(instance.index)
    verifier.publish(ring, instance.index)
    if board.slot == 0:  # every worker reads the same files: one of them logs
        log_key_changes(instance.name, before, ring, source=place_of_keys(instance))


def key_lifecycle(remote: KeyFetch) -> KeyLifecycle:
    """When a remote source is asked, and how long it is believed."""
    return KeyLifecycle(
        interval=remote.refresh_interval,
        floor=remote.shortest_interval,
        ceiling=remote.longest_interval,
        cooldown=remote.cooldown,
        max_stale=remote.max_stale,
    )


def _whose(instance: IssuerInstance) -> dict[str, str]:
    """Where to find the keys of a remote source: at `uri`, or at the address that the metadata of `issuer` gives."""
    issuer = instance.issuer
    if issuer.remote_jwks is not None:
        return {"uri": instance.of_tenant(issuer.remote_jwks.uri)}
    assert issuer.issuer is not None
    return {"issuer": instance.of_tenant(issuer.issuer)}
