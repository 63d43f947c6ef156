"""
From configured key sources to working ones, and the wish for keys that are not there yet.

A balancer that lives alone fetches its remote keys itself (`OwnKeys`). A worker of a service reads what the keeper stored (`SharedKeys`) and asks it
for more through the board; `KeeperKeys` is the keeper's side of that.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from lbjwt.assembly.rings import key_ring_of
from lbjwt.jwks.changes import log_key_changes
from lbjwt.jwks.egress import Egress
from lbjwt.jwks.embedded import RemoteKeySource
from lbjwt.jwks.lifecycle import KeyLifecycle
from lbjwt.jwks.origin import KeyOrigin
from lbjwt.jwks.remote import RemoteKeys
from lbjwt.jwks.source import FileKeySource, KeySource, StaticKeySource, StoredKeySource, secret_from_environment
from lbjwt.jwks.store import Envelope, room_for
from lbjwt.jwks.trust import ClientTls
from lbjwt.jwks.uri import identity_of

if TYPE_CHECKING:
    from lbjwt.assembly.issuers import IssuerInstance
    from lbjwt.auth.verifier import Verifier
    from lbjwt.config.remote import KeyFetch
    from lbjwt.jose.keyring import KeyRing
    from lbjwt.observe._board import Board

__all__ = [
    "KeeperKeys",
    "KeeperLink",
    "OwnKeys",
    "SharedKeys",
    "key_origin",
    "local_source",
    "stored_keys",
    "wait_for_keys",
]

KEYS: Final = "keys"
"""The subdirectory of the state directory with one file for each remote source."""

FIRST_KEYS: Final = 1.0
"""Seconds a starting worker waits for the keeper beyond the timeout of a fetch."""


class KeeperLink(Protocol):
    """What a worker has of its keeper."""

    directory: Path
    """The state directory."""

    def poke(self) -> None:
        """Make the keeper look at the board."""

    def listen(self, poked: Callable[[], None]) -> None:
        """Call `poked` in the running loop whenever the keeper has something new."""

    def ignore(self) -> None:
        """End that."""


class OwnKeys:
    """
    The key sources of a balancer that fetches for itself.

    Args:
        directory: Where the last good remote keys are kept for the next start; None keeps none.

    Attributes:
        settled: Called with an issuer index when an attempt to fetch its keys ended.
    """

    def __init__(
        self, instances: list[IssuerInstance], verifier: Verifier, board: Board, directory: Path | None = None
    ) -> None:
        self.settled: Callable[[int], None] = lambda issuer: None
        self._directory = directory
        self._names = [instance.name for instance in instances]
        self._sources: list[KeySource] = []
        for instance in instances:
            parts = _Parts(instance, verifier, board)
            if parts.remote is None:
                self._sources.append(parts.local())
                continue
            self._sources.append(
                RemoteKeySource(
                    parts.origin(),
                    _lifecycle(parts.remote),
                    path=stored_keys(directory, instance) if directory is not None else None,
                    on_settled=partial(self._settled, instance.index),
                    **parts.callbacks,
                )
            )

    async def load(self) -> None:
        """
        Read all for the first time.

        Raises:
            KeySourceError: A file or a text cannot be used: a mistake to mend now. A URL that cannot be reached raises nothing.
        """
        if self._directory is not None:
            with contextlib.suppress(OSError):  # whoever writes there will say what is wrong
                for directory in (self._directory, self._directory / KEYS):
                    directory.mkdir(mode=0o700, exist_ok=True)
        await _load(self._sources)

    def start(self) -> None:
        """Keep the keys current from now on."""
        for source in self._sources:
            source.start()

    async def stop(self) -> None:
        """End that; the keys in force stay."""
        for source in self._sources:
            await source.stop()

    def _settled(self, issuer: int) -> None:
        self.settled(issuer)

    def describe(self) -> dict[str, dict[str, Any]]:
        """For the admin status, by the name of the issuer."""
        return {
            name: source.keys.describe()
            for name, source in zip(self._names, self._sources, strict=True)
            if isinstance(source, RemoteKeySource)
        }

    def ask(self, issuer: int) -> bool:
        """A token named a key that is not there. True when the keys are being fetched now."""
        source = self._sources[issuer]
        return isinstance(source, RemoteKeySource) and source.unknown_kid()


class SharedKeys:
    """The key sources of a worker: files and texts of its own, remote ones as the keeper stored them."""

    def __init__(self, instances: list[IssuerInstance], verifier: Verifier, board: Board, link: KeeperLink) -> None:
        self.settled: Callable[[int], None] = lambda issuer: None
        self._board = board
        self._link = link
        self._sources: list[KeySource] = []
        self._attempts: dict[int, int] = {}
        """By remote source: how many attempts the keeper had ended at the last look."""
        self._patience = 0.0
        self._news = asyncio.Event()
        for instance in instances:
            parts = _Parts(instance, verifier, board)
            if parts.remote is None:
                self._sources.append(parts.local())
                continue
            self._attempts[instance.index] = board.source_words(instance.index)["attempts"]
            self._patience = max(self._patience, 2 * parts.remote.timeout + FIRST_KEYS)
            self._sources.append(
                StoredKeySource(
                    stored_keys(link.directory, instance),
                    place=identity_of(**_whose(instance)),
                    max_stale=parts.remote.max_stale,
                    max_bytes=room_for(parts.remote.max_bytes),
                    # the keeper counts what it fetches, and logs the keys that come and go
                    **parts.callbacks | {"on_read": None, "publish": partial(verifier.publish, issuer=instance.index)},
                )
            )

    async def load(self) -> None:
        """As `OwnKeys.load`: waits until the keeper has tried once to get what is not stored yet, and not much longer."""
        await _load(self._sources)
        try:
            async with asyncio.timeout(self._patience):
                while any(
                    not self._sources[index].loaded and not self._board.source_words(index)["attempts"]
                    for index in self._attempts
                ):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass

    def start(self) -> None:
        """As `OwnKeys.start`."""
        for source in self._sources:
            source.start()

    async def stop(self) -> None:
        """As `OwnKeys.stop`."""
        for source in self._sources:
            await source.stop()

    def poked(self) -> None:
        """The keeper has something new: take the keys first, then judge those who waited for them."""
        self._news.set()
        for index, before in self._attempts.items():
            source = self._sources[index]
            assert isinstance(source, StoredKeySource)
            source.poke()
            attempts = self._board.source_words(index)["attempts"]
            if attempts != before:
                self._attempts[index] = attempts
                self.settled(index)

    def ask(self, issuer: int) -> bool:
        """As `OwnKeys.ask`. During the cool-down the keeper is not even woken."""
        if issuer not in self._attempts:
            return False
        words = self._board.source_words(issuer)
        if words["attempts"] != self._attempts[issuer]:
            return True  # an attempt ended a moment ago, and what it brought is not looked at yet: `poked` follows
        under_way = words["begun"] != words["attempts"]
        if not under_way and time.monotonic() < words["not_before"]:
            return False
        if not under_way:
            self._board.want(issuer)
            self._link.poke()
        return True


class KeeperKeys:
    """
    The remote key sources of a whole service: fetched once, stored for all workers.

    Args:
        tell: Wakes the workers.
    """

    def __init__(
        self, instances: list[IssuerInstance], board: Board, directory: Path, tell: Callable[[], None]
    ) -> None:
        self._board = board
        self._tell = tell
        self._wanted: dict[int, int] = {}
        self._keys: dict[int, RemoteKeys] = {}
        self._names: dict[int, str] = {}
        self._rings: dict[int, KeyRing | None] = {}
        self._origins: dict[int, str] = {}
        self._failures: dict[int, int] = {}
        for instance in instances:
            parts = _Parts(instance, None, board)
            if parts.remote is None:
                continue
            index = instance.index
            self._names[index] = instance.name
            self._rings[index] = None
            self._origins[index] = parts.place
            self._failures[index] = 0
            self._wanted[index] = board.wanted(index)
            self._keys[index] = RemoteKeys(
                parts.origin(),
                _lifecycle(parts.remote),
                check=parts.build,
                path=stored_keys(directory, instance),
                on_started=partial(self._started, index),
                on_document=partial(self._stored, index),
                on_withdrawn=partial(self._withdrawn, index),
                on_settled=partial(self._settled, index),
            )

    async def start(self) -> None:
        """Begin to fetch; returns at once."""
        self._first = asyncio.get_running_loop().create_task(self._load())

    async def _load(self) -> None:
        await asyncio.gather(*(_begin(keys) for keys in self._keys.values()))

    async def stop(self) -> None:
        """End every attempt under way."""
        self._first.cancel()
        await asyncio.gather(self._first, return_exceptions=True)
        for keys in self._keys.values():
            await keys.stop()

    def poked(self) -> None:
        """Some worker wants keys that are not there."""
        refused = False
        for index, keys in self._keys.items():
            wanted = self._board.wanted(index)
            if wanted == self._wanted[index]:
                continue
            self._wanted[index] = wanted
            if not keys.unknown_kid():  # in the cool-down after all: those who wait need not
                self._board.add_source(index, "begun")
                self._board.add_source(index, "attempts")
                refused = True
            self._board.set_source_time(index, "not_before", keys.not_before)
        if refused:
            self._tell()

    def describe(self) -> dict[str, dict[str, Any]]:
        """For the admin status, by the name of the issuer."""
        return {self._names[index]: keys.describe() for index, keys in self._keys.items()}

    def _started(self, index: int) -> None:
        self._board.add_source(index, "begun")
        self._board.set_source_time(index, "not_before", self._keys[index].not_before)

    def _stored(self, index: int, envelope: Envelope) -> None:
        self._log_changes(index, self._keys[index].ring)
        self._board.set_source_time(index, "last_success", envelope.fetched_at)
        self._tell()

    def _withdrawn(self, index: int) -> None:
        self._log_changes(index, None)
        self._tell()

    def _log_changes(self, index: int, ring: KeyRing | None) -> None:
        log_key_changes(self._names[index], self._rings[index], ring, source=self._origins[index])
        self._rings[index] = ring

    def _settled(self, index: int) -> None:
        board, keys = self._board, self._keys[index]
        words = board.source_words(index)
        # also what a keeper before this one began and never ended
        board.add_source(index, "attempts", words["begun"] - words["attempts"])
        board.add_source(index, "fetches")
        board.add_source(index, "failures", keys.failures - self._failures[index])
        self._failures[index] = keys.failures
        board.set_source_time(index, "not_before", keys.not_before)
        self._tell()


class _Parts:
    """What the sources of one issuer are made of."""

    def __init__(self, instance: IssuerInstance, verifier: Verifier | None, board: Board) -> None:
        self._instance = instance
        issuer, index = instance.issuer, instance.index
        self.remote: KeyFetch | None = issuer.fetch
        self.build = key_ring_of(issuer)
        self.place = _place_of(instance)
        self.callbacks: dict[str, Any] = {
            "build": self.build,
            "on_read": lambda ok: _count_read(board, index, ok),
            "on_keys": lambda count, fetched_at: board.set_keys(count, fetched_at, issuer=index),
        }
        if verifier is not None:
            self.callbacks["publish"] = partial(self._publish, verifier, board)

    def _publish(self, verifier: Verifier, board: Board, ring: KeyRing | None) -> None:
        index = self._instance.index
        before = verifier.keys_of(index)
        verifier.publish(ring, index)
        if board.slot == 0:  # every worker reads the same files: one of them tells
            log_key_changes(self._instance.name, before, ring, source=self.place)

    def origin(self) -> KeyOrigin:
        """Where a remote source is asked, and how."""
        return key_origin(self._instance)

    def local(self) -> KeySource:
        """A source that needs nobody else."""
        return local_source(self._instance, **self.callbacks)


def key_origin(instance: IssuerInstance) -> KeyOrigin:
    """Where a remote source is asked, and how."""
    remote = instance.issuer.fetch
    assert remote is not None
    tls = None
    if remote.ca_file is not None or remote.client_certificate is not None:
        tls = ClientTls(ca_file=remote.ca_file, certificate=remote.client_certificate, private_key=remote.client_key)
    return KeyOrigin(
        **_whose(instance),
        timeout=remote.timeout,
        max_bytes=remote.max_bytes,
        allow_http=remote.allow_http,
        tls=tls,
        egress=Egress(remote.proxy, remote.proxy_from_environment, remote.bearer_token_file),
    )


def local_source(instance: IssuerInstance, **callbacks: Any) -> KeySource:
    """
    A source that needs nobody else.

    Args:
        callbacks: See `KeySource`.

    Raises:
        KeySourceError: The environment does not hold the secret.
    """
    issuer, place = instance.issuer, _place_of(instance)
    if issuer.key_files:
        return FileKeySource(*issuer.key_files, **callbacks)
    if issuer.secret_env is not None:
        return StaticKeySource(place, secret_from_environment(issuer.secret_env), **callbacks)
    if issuer.jwks is not None:
        return StaticKeySource(place, orjson.dumps(issuer.jwks), **callbacks)
    assert issuer.pem is not None, "the configuration names exactly one key source"
    return StaticKeySource(place, issuer.pem.encode(), **callbacks)


def _place_of(instance: IssuerInstance) -> str:
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


def wait_for_keys(instances: list[IssuerInstance]) -> float:
    """Seconds a request waits at most for keys that a fetch may bring: that long a fetch can last, and twice as long with discovery."""
    issuers = [one.issuer for one in instances]
    fetches = [issuer.remote_jwks.timeout for issuer in issuers if issuer.remote_jwks is not None]
    fetches += [2 * issuer.discovery.timeout for issuer in issuers if issuer.discovery is not None]
    return max(fetches, default=0.0)


def _lifecycle(remote: KeyFetch) -> KeyLifecycle:
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


async def _load(sources: list[KeySource]) -> None:
    """All at once: one issuer that does not answer must not add its time to another's."""
    for problem in await asyncio.gather(*(source.load() for source in sources), return_exceptions=True):
        if problem is not None:
            raise problem


async def _begin(keys: RemoteKeys) -> None:
    await keys.load()
    keys.start()


def _count_read(board: Board, index: int, ok: bool) -> None:
    board.add("key_fetches", issuer=index)
    if not ok:
        board.add("key_fetch_failures", issuer=index)
