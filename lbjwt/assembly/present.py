"""The keys of an issuer as they can be had at this moment, once, for `explain` and `doctor`: nothing is kept, written or tried again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lbjwt.assembly.fetched_keys import key_origin
from lbjwt.assembly.keys import local_keys, place_of_keys, read_stored, stored_keys
from lbjwt.assembly.rings import key_ring_of
from lbjwt.errors import LbjwtError
from lbjwt.keys.errors import KeySourceError, sentence_of
from lbjwt.keys.uri import place_of
from lbjwt.observe._board import Board

if TYPE_CHECKING:
    from lbjwt.assembly.issuers import IssuerInstance
    from lbjwt.jose.keyring import KeyRing


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
    place = place_of_keys(instance)
    build = key_ring_of(instance.issuer)
    if instance.issuer.fetch is None:
        try:
            keys = local_keys(instance, publish=lambda ring: None, board=Board(1, 0, instance.index + 1))
            keys.load(0.0, now)
        except KeySourceError as error:
            return PresentKeys(None, f"issuers.{instance.label}.{instance.issuer.key_source}", str(error))
        return PresentKeys(keys.ring, place)
    problem = "nothing is fetched offline"
    if not offline:
        origin = key_origin(instance)
        try:
            fetched = await origin.ask(doubtful=True)
            return PresentKeys(build(fetched.document or b""), place_of(origin.uri) if origin.uri else origin.place)
        except (LbjwtError, OSError) as error:
            problem = sentence_of(error)
    if directory is None:
        return PresentKeys(None, place, f"{problem}; there is no state_directory with stored ones")
    path = stored_keys(directory, instance)
    try:
        stored = read_stored(instance, directory, now)
        if stored is None:
            return PresentKeys(None, place, f"{problem}; no keys are stored in {path}")
        return PresentKeys(build(stored.document.encode()), str(path), problem, stored.fetched_at)
    except LbjwtError as error:
        return PresentKeys(None, place, f"{problem}; {sentence_of(error)}")
