"""
From configured key sources to working ones, in the process that fetches (`FetchedKeys`) and in those that verify (`WorkerKeys`).

Both meet at the feed and the board. A balancer that is embedded in another program has both in its one loop (`EmbeddedControl`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from lbjwt.assembly.rings import key_ring_of
from lbjwt.keys import store
from lbjwt.keys.egress import SYSTEM_TLS, ClientTls, Egress
from lbjwt.keys.errors import StoreError, sentence_of
from lbjwt.keys.feed import KeyFeed
from lbjwt.keys.log import log_key_changes
from lbjwt.keys.schedule import KeyLifecycle
from lbjwt.keys.source import FeedKeys, LocalKeys, secret_from_environment
from lbjwt.keys.uri import identity_of

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


class WorkerKeys:
    """
    The key sources of a process that verifies.

    Args:
        link: To the process that fetches.

    Attributes:
        settled: Called with an issuer index when an attempt to fetch its keys ended.

    Raises:
        KeySourceError: The environment does not hold a secret.
    """

    def __init__(
        self, instances: Sequence[IssuerInstance], verifier: Verifier, board: Board, link: ControlLink
    ) -> None:
        self.settled: Callable[[int], None] = lambda issuer: None
        self._board = board
        self._link = link
        self._sources: list[LocalKeys | FeedKeys] = []
        self._attempts: dict[int, int] = {}
        """By remote source: how many attempts had ended at the last look."""
        self._longest_wait = 0.0
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        for instance in instances:
            index, remote = instance.index, instance.issuer.fetch
            if remote is None:
                publish = partial(_publish_local, verifier, board, instance)
                self._sources.append(local_keys(instance, publish=publish, board=board))
                continue
            self._attempts[index] = board.source_words(index)["attempts"]
            self._longest_wait = max(self._longest_wait, 2 * remote.timeout + FIRST_KEYS)
            self._sources.append(
                FeedKeys(
                    place_of_keys(instance),
                    feed=link.feed,
                    build=key_ring_of(instance.issuer),
                    publish=partial(verifier.publish, issuer=index),
                    board=board,
                    issuer=index,
                    max_stale=remote.max_stale,
                )
            )

    async def load(self) -> None:
        """
        Read all for the first time; wait until one attempt was made for what the feed does not have yet, and not much longer.

        Raises:
            KeySourceError: A file or a text cannot be used: a mistake to mend now. A URL that cannot be reached raises nothing.
        """
        for source in self._sources:
            source.load(time.monotonic(), time.time())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._longest_wait):
                while any(
                    not self._in_force(index) and not self._board.source_words(index)["attempts"]
                    for index in self._attempts
                ):
                    self._news.clear()
                    await self._news.wait()

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
        for index, before in self._attempts.items():
            attempts = self._board.source_words(index)["attempts"]
            if attempts != before:
                self._attempts[index] = attempts
                self.settled(index)

    def request_refresh(self, issuer: int) -> bool:
        """A token named a key that is not there. True when its keys are being fetched; in the cool-down the control process is not even notified."""
        if issuer not in self._attempts:
            return False
        words = self._board.source_words(issuer)
        if words["attempts"] != self._attempts[issuer]:
            return True  # an attempt ended a moment ago, and what it brought is not looked at yet: `notified` follows
        under_way = words["begun"] != words["attempts"]
        if not under_way and time.monotonic() < words["not_before"]:
            return False
        if not under_way:
            self._board.want(issuer)
            self._link.notify()
        return True

    def _in_force(self, index: int) -> bool:
        source = self._sources[index]
        return isinstance(source, FeedKeys) and source.loaded

    async def _watch(self) -> None:
        pause = LOOK
        while True:
            await asyncio.sleep(pause)
            pause = self._look(range(len(self._sources)))

    def _look(self, indexes: Sequence[int] | dict[int, int]) -> float:
        """Look at these sources; return the seconds until the next look. What goes wrong with one must not keep the others from it."""
        pause = LOOK
        for index in indexes:
            try:
                pause = min(pause, self._sources[index].look(time.monotonic(), time.time()))
            except Exception as error:
                log.error("keys of issuer %d: %s", index, sentence_of(error))
        return max(0.001, pause)


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
    """The feed of all remote sources, with the key sets that the last run stored. One that must not be used is left out with a warning."""
    remote = {one.index: one.issuer.fetch.max_bytes for one in instances if one.issuer.fetch is not None}
    feed = KeyFeed(remote)
    for instance in instances:
        if directory is not None and instance.index in remote:
            try:
                stored = read_stored(instance, directory, time.time())
                if stored is not None:
                    feed.put(instance.index, stored)
            except (StoreError, ValueError) as error:
                log.warning("no stored keys for %s: %s", place_of_keys(instance), error)
    return feed


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
    interval = remote.refresh_interval
    return KeyLifecycle(
        interval=interval,
        floor=min(remote.shortest_interval, interval),
        ceiling=max(remote.longest_interval, interval),
        cooldown=remote.cooldown,
        max_stale=remote.max_stale,
    )


def _whose(instance: IssuerInstance) -> dict[str, str]:
    """Where the keys of a remote source are: `uri`, or the `issuer` that tells."""
    issuer = instance.issuer
    if issuer.remote_jwks is not None:
        return {"uri": instance.of_tenant(issuer.remote_jwks.uri)}
    assert issuer.issuer is not None
    return {"issuer": instance.of_tenant(issuer.issuer)}
