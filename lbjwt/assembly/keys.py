"""From configured key sources to those of a process that verifies. Those of the process that fetches are in `assembly.fetched_keys`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from lbjwt.assembly.rings import key_ring_of
from lbjwt.keys import store
from lbjwt.keys.log import log_key_changes
from lbjwt.keys.source import FeedKeys, LocalKeys, secret_from_environment
from lbjwt.keys.uri import identity_of

if TYPE_CHECKING:
    from lbjwt.assembly.issuers import IssuerInstance
    from lbjwt.auth.verifier import Verifier
    from lbjwt.jose.keyring import KeyRing
    from lbjwt.keys.feed import KeyFeed
    from lbjwt.keys.worker import Source
    from lbjwt.observe._board import Board

KEYS: Final = "keys"
"""The subdirectory of the state directory with one file for each remote source."""

FIRST_KEYS: Final = 1.0
"""Seconds a starting worker waits for the control process beyond the timeout of a fetch."""

NEW_KEYS: Final = 0.5
"""Seconds a reload waits for the first keys of new remote sources. Then it goes on, and tokens of these issuers get 503 until they come."""


def source_settings(instance: IssuerInstance) -> object:
    """Everything that the keys of an issuer depend on: while it is the same, a reload leaves its source as it is."""
    issuer = instance.issuer
    return (
        instance.index,
        instance.name,
        instance.key_source,
        issuer.fetch,
        issuer.algorithms,
        issuer.allow_padding,
        issuer.symmetric,
    )


def worker_sources(
    instances: Sequence[IssuerInstance],
    known: Mapping[int, Source],
    verifier: Verifier,
    board: Board,
    feed: KeyFeed,
) -> dict[int, Source]:
    """
    The key sources of a process that verifies, by issuer index.

    Args:
        known: Those in force. One whose settings are the same stays.

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
            sources[index] = local_keys(instance, publish=publish, board=board, settings=settings)
        else:
            sources[index] = FeedKeys(
                place_of_keys(instance),
                feed=feed,
                build=key_ring_of(instance.issuer),
                publish=partial(verifier.publish, issuer=index),
                board=board,
                issuer=index,
                max_stale=remote.max_stale,
                identity=identity_of(**whose_keys(instance)),
                attempts=board.source_words(index)["attempts"] if known else 0,
                settings=settings,
            )
    return sources


def first_fetch(instances: Sequence[IssuerInstance]) -> float:
    """Seconds that the first attempts for remote keys take at most, with the start of the process that makes them; 0 without remote keys."""
    return max(
        (2 * one.issuer.fetch.timeout + FIRST_KEYS for one in instances if one.issuer.fetch is not None), default=0.0
    )


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
        place=identity_of(**whose_keys(instance)),
        max_stale=remote.max_stale,
        max_bytes=store.room_for(remote.max_bytes),
        wall=wall,
    )


def local_keys(
    instance: IssuerInstance, *, publish: Callable[[KeyRing], None], board: Board, settings: object = None
) -> LocalKeys:
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
        settings=settings,
    )


def place_of_keys(instance: IssuerInstance) -> str:
    """Where the keys come from, for people: without the query of a URL, which may hold a secret."""
    issuer = instance.issuer
    if issuer.fetch is not None:
        return identity_of(**whose_keys(instance)).partition("?")[0]
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


def whose_keys(instance: IssuerInstance) -> dict[str, str]:
    """Where to find the keys of a remote source: at `uri`, or at the address that the metadata of `issuer` gives."""
    issuer = instance.issuer
    if issuer.remote_jwks is not None:
        return {"uri": instance.of_tenant(issuer.remote_jwks.uri)}
    assert issuer.issuer is not None
    return {"issuer": instance.of_tenant(issuer.issuer)}
