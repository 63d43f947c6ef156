"""
What the key source of an issuer means: which bytes it holds or where they are fetched and stored, and how they become keys. Each function looks once;
`assembly.keys` keeps the keys of a service current.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from lbjwt._compact import parse_base64url, parse_object
from lbjwt.errors import LbjwtError
from lbjwt.files import Kept, nothing_kept
from lbjwt.jose.keyring import KeyRing
from lbjwt.keys import store
from lbjwt.keys.egress import SYSTEM_TLS, ClientTls, Egress
from lbjwt.keys.errors import KeySourceError, sentence_of
from lbjwt.keys.feed import StoredKeySet, room_for
from lbjwt.keys.parts import ring_of_sets
from lbjwt.keys.ring_by_id import ring_of_key, ring_of_keys
from lbjwt.keys.schedule import KeyLifecycle
from lbjwt.keys.source import LocalKeys, read_key_file, secret_from_environment
from lbjwt.keys.uri import identity_of, place_of
from lbjwt.observe._board import Board

if TYPE_CHECKING:
    from lbjwt.assembly.issuers import IssuerInstance
    from lbjwt.config.issuer import Issuer
    from lbjwt.config.remote import KeyFetch
    from lbjwt.keys.remote import Origin

KEYS: Final = "keys"
"""The subdirectory of the state directory with one file for each remote source."""


def key_ring_of(issuer: Issuer, *, missing: Callable[[str], None] = lambda kid: None) -> Callable[..., KeyRing]:
    """
    The function that takes the bytes of the source (of each file, where there are several) and returns the key ring.

    It raises KeyFormatError for what is not usable.

    Args:
        missing: With `remote_keys`: called with each key id that a token names and no key has.
    """
    algorithms = issuer.algorithms
    source = issuer.key_source
    if source in ("pem", "pem_file"):
        return partial(KeyRing.from_pem, algorithms=algorithms)
    if source.startswith("secret_"):
        return partial(KeyRing.from_secret, algorithms=algorithms or ())
    if issuer.remote_keys is not None:
        return partial(ring_of_keys, algorithms=algorithms, allow_padding=issuer.allow_padding, missing=missing)
    build = _of_one_set(issuer)
    several = issuer.remote_jwks is not None and issuer.remote_jwks.more_uris
    return partial(ring_of_sets, build=build) if several else build


def _of_one_set(issuer: Issuer) -> Callable[..., KeyRing]:
    remote = issuer.fetch
    limits: dict[str, Any] = {"max_keys": remote.max_keys, "max_bytes": remote.max_bytes} if remote is not None else {}
    return partial(
        KeyRing.from_jwks,
        algorithms=issuer.algorithms,
        allow_padding=issuer.allow_padding,
        symmetric=issuer.symmetric,
        **limits,
    )


def secrets_of(issuer: Issuer, documents: Iterable[bytes]) -> list[bytes]:
    """The secrets that its key source holds, of which a key ring was made, for a look at how hard they are to guess."""
    if issuer.jwks_file is None:
        return list(documents) if issuer.symmetric else []
    members = [member for document in documents for member in (parse_object(document) or {}).get("keys", [])]
    texts = [member.get("k") for member in members if issuer.symmetric and isinstance(member, dict)]
    return [parse_base64url(text.encode(), padding=True) or b"" for text in texts if isinstance(text, str)]


def documents_of(issuer: Issuer) -> list[bytes]:
    """
    Return what the keys of an issuer are read from, when they are not fetched: each file, or what the configuration or the environment holds.

    Raises:
        OSError: A file cannot be read; the error names it.
        KeySourceError: The environment does not hold the secret.
    """
    if issuer.key_files:
        return [read_key_file(file)[0] for file in issuer.key_files]
    if issuer.secret_env is not None:
        return [secret_from_environment(issuer.secret_env)]
    return [orjson.dumps(issuer.jwks) if issuer.jwks is not None else (issuer.pem or "").encode()]


def read_stored(instance: IssuerInstance, directory: Path, wall: float) -> StoredKeySet | None:
    """
    The stored key set of a remote source; None when there is none.

    Raises:
        StoreError: It must not be used.
    """
    remote = instance.issuer.fetch
    assert remote is not None
    return store.read(
        stored_keys(directory, instance),
        place=key_identity(instance),
        max_stale=remote.max_stale,
        max_bytes=room_for(remote.longest_document),
        wall=wall,
    )


def key_origin(instance: IssuerInstance, requested: Callable[[], Iterable[str]] = tuple) -> Origin:
    """
    Where a remote source is asked, and how.

    Args:
        requested: With `remote_keys`: the key ids that tokens named.
    """
    from lbjwt.keys.by_id import OriginById  # these import aiohttp
    from lbjwt.keys.remote import KeyOrigin
    from lbjwt.keys.several import SeveralOrigins

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
    issuer = instance.issuer
    if issuer.remote_keys is not None:
        return OriginById(
            egress,
            issuer.remote_keys.uri,
            requested=requested,
            check=partial(ring_of_key, algorithms=issuer.algorithms, allow_padding=issuer.allow_padding),
            interval=remote.refresh_interval,
            max_keys=remote.max_keys,
            max_stale=remote.max_stale,
        )
    if issuer.remote_jwks is not None and issuer.remote_jwks.more_uris:
        origins = [KeyOrigin(egress, uri=instance.of_tenant(uri)) for uri in issuer.remote_jwks.uris]
        return SeveralOrigins(origins, _of_one_set(issuer), remote.max_stale)
    return KeyOrigin(egress, **_whose(instance))


def source_settings(instance: IssuerInstance) -> object:
    """Everything that the keys of an issuer depend on: while it is the same, a reload keeps its source as it is."""
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


def local_keys(
    instance: IssuerInstance, *, publish: Callable[[KeyRing], None], board: Board, kept: Kept = nothing_kept
) -> LocalKeys:
    """
    A source that is not fetched. kept: used in place of files that cannot be used.

    Raises:
        KeySourceError: The environment does not hold the secret.
    """
    issuer = instance.issuer
    return LocalKeys(
        place_of_keys(instance),
        given=None if issuer.key_files else documents_of(issuer)[0],
        paths=issuer.key_files,
        build=key_ring_of(issuer),
        publish=publish,
        board=board,
        issuer=instance.index,
        settings=source_settings(instance),
        kept=kept,
    )


def place_of_keys(instance: IssuerInstance) -> str:
    """Where the keys come from, for people: without the query of a URL, which may hold a secret."""
    issuer = instance.issuer
    if issuer.fetch is not None:
        if issuer.remote_jwks is not None:
            return " and ".join(place_of(instance.of_tenant(uri)) for uri in issuer.remote_jwks.uris)
        return key_identity(instance).partition("?")[0]
    if issuer.key_files:
        return ", ".join(map(str, issuer.key_files))
    if issuer.secret_env is not None:
        return f"the environment variable {issuer.secret_env}"
    return f"issuers.{instance.label}.{issuer.key_source}"


def stored_keys(directory: Path, instance: IssuerInstance) -> Path:
    """The file that keeps the last good keys of a remote source."""
    return directory / KEYS / f"{instance.name.replace('/', '+')}.json"


def wait_for_keys(instances: Sequence[IssuerInstance]) -> float:
    """Seconds a request waits at most for keys that an attempt to fetch them may bring."""
    return max((one.issuer.fetch.longest_attempt for one in instances if one.issuer.fetch is not None), default=0.0)


def key_lifecycle(remote: KeyFetch) -> KeyLifecycle:
    """When a remote source is asked, and how long it is believed."""
    return KeyLifecycle(
        interval=remote.refresh_interval,
        floor=remote.shortest_interval,
        ceiling=remote.longest_interval,
        cooldown=remote.cooldown,
        max_stale=remote.max_stale,
    )


def key_identity(instance: IssuerInstance) -> str:
    """Which remote source it is, for stored key sets and those in the feed: nobody takes the keys of another one."""
    remote = instance.issuer.remote_jwks
    if remote is not None and remote.more_uris:
        return " ".join(identity_of(uri=instance.of_tenant(uri)) for uri in remote.uris)
    return identity_of(**_whose(instance))


def _whose(instance: IssuerInstance) -> dict[str, str]:
    """Where to find the keys of a remote source: at `uri`, or at the address that the metadata of `issuer` gives."""
    issuer = instance.issuer
    if issuer.remote_keys is not None:
        return {"uri": issuer.remote_keys.uri}
    if issuer.remote_jwks is not None:
        return {"uri": instance.of_tenant(issuer.remote_jwks.uri)}
    assert issuer.issuer is not None
    return {"issuer": instance.of_tenant(issuer.issuer)}


@dataclass(frozen=True, slots=True)
class PresentKeys:
    """
    What was found.

    Attributes:
        ring: None when there are no keys.
        source: Where they come from, or would.
        problem: Why there are none, or why the stored ones had to do; "" when all is well.
        stored_at: When stored keys were fetched, seconds since the epoch; None for fresh ones.
    """

    ring: KeyRing | None
    source: str
    problem: str = ""
    stored_at: float | None = None


async def present_keys(
    instance: IssuerInstance, directory: Path | None, *, offline: bool = False, now: float, kids: Iterable[str] = ()
) -> PresentKeys:
    """
    The keys of one issuer. Raises nothing: what is wrong is in the answer.

    Args:
        directory: The state directory, for the copy that has to do when nothing can be fetched; None: there is none.
        offline: Fetch nothing.
        now: Seconds since the epoch, for the age of the copy.
        kids: The key ids that are asked for, where each key has a URL of its own.
    """
    place = place_of_keys(instance)
    build = key_ring_of(instance.issuer)
    if instance.issuer.fetch is None:
        keys = None
        try:
            keys = local_keys(instance, publish=lambda ring: None, board=Board(1, 0, instance.index + 1))
            keys.load(0.0, now)
        except KeySourceError as error:
            return PresentKeys(None, f"issuers.{instance.label}.{instance.issuer.key_source}", str(error))
        return PresentKeys(keys.ring, place)
    problem = "lbjwt fetches no keys when offline"
    if not offline:
        origin = key_origin(instance, lambda: kids)
        try:
            fetched = await origin.ask(doubtful=True)
            return PresentKeys(build(fetched.document or b""), place_of(origin.uri) if origin.uri else origin.place)
        except (LbjwtError, OSError) as error:
            problem = sentence_of(error)
    if directory is None:
        return PresentKeys(None, place, f"{problem}; no state_directory is configured, so there are no stored keys")
    path = stored_keys(directory, instance)
    try:
        stored = read_stored(instance, directory, now)
        if stored is None:
            return PresentKeys(None, place, f"{problem}; there are no stored keys in {path}")
        return PresentKeys(build(stored.document.encode()), str(path), problem, stored.fetched_at)
    except LbjwtError as error:
        return PresentKeys(None, place, f"{problem}; {sentence_of(error)}")
