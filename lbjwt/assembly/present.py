"""
The keys of an issuer as they can be had at this moment, once: for whoever asks what would happen, not for serving.

Read and fetched by the same parts and within the same limits as for serving; but nothing is kept, written or tried again, and what goes wrong comes
back as a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lbjwt.assembly.keys import key_origin, local_source, stored_keys
from lbjwt.assembly.rings import key_ring_of
from lbjwt.errors import LbjwtError
from lbjwt.jwks import store
from lbjwt.jwks.errors import KeySourceError, sentence_of
from lbjwt.jwks.uri import place_of

if TYPE_CHECKING:
    from lbjwt.assembly.issuers import IssuerInstance
    from lbjwt.jose.keyring import KeyRing
    from lbjwt.jwks.origin import KeyOrigin

__all__ = ["PresentKeys", "present_keys"]


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
    instance: IssuerInstance, directory: Path | None, *, offline: bool = False, now: float
) -> PresentKeys:
    """
    The keys of one issuer. Raises nothing: what is wrong is in the answer.

    Args:
        directory: The state directory, for the copy that has to do when nothing can be fetched; None: there is none.
        offline: Fetch nothing.
        now: Seconds since the epoch, for the age of the copy.
    """
    if instance.issuer.fetch is None:
        return await _local(instance)
    origin = key_origin(instance)
    problem = "nothing is fetched offline"
    if not offline:
        try:
            fetched = await origin.ask(doubtful=True)
            ring = key_ring_of(instance.issuer)(fetched.document or b"")
            return PresentKeys(ring, place_of(origin.uri) if origin.uri else origin.place)
        except (LbjwtError, OSError) as error:
            problem = sentence_of(error)
    if directory is None:
        return PresentKeys(None, origin.place, f"{problem}; there is no state_directory with stored ones")
    return _stored(instance, origin, directory, problem, now)


async def _local(instance: IssuerInstance) -> PresentKeys:
    rings: list[KeyRing | None] = []
    issuer = instance.issuer
    place = f"issuers.{instance.label}.{issuer.key_source}"
    try:
        source = local_source(instance, build=key_ring_of(issuer), publish=rings.append)
        await source.load()
    except KeySourceError as error:
        return PresentKeys(None, place, str(error))
    return PresentKeys(rings[-1], source.place)


def _stored(instance: IssuerInstance, origin: KeyOrigin, directory: Path, problem: str, now: float) -> PresentKeys:
    path = stored_keys(directory, instance)
    remote = instance.issuer.fetch
    assert remote is not None
    try:
        envelope = store.read(path, max_bytes=store.room_for(remote.max_bytes))
        if envelope is None:
            return PresentKeys(None, origin.place, f"{problem}; no keys are stored in {path}")
        store.believed(path, envelope, place=origin.identity, max_stale=remote.max_stale, now=0.0, wall=now)
        ring = key_ring_of(instance.issuer)(envelope.document.encode())
    except LbjwtError as error:
        return PresentKeys(None, origin.place, f"{problem}; {sentence_of(error)}")
    return PresentKeys(ring, str(path), problem, envelope.fetched_at)
