"""The present keys of an issuer, read or fetched once for `explain` and `doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lbjwt.assembly.keys import key_origin, local_keys, place_of_keys, read_stored, stored_keys
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
        ring: None without keys.
        source: Where they come from, or would.
        problem: Why there are none, or why they are the stored ones; else "".
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
    The keys of one issuer: fetched, or the stored ones if that fails. Errors are in the result.

    Args:
        directory: The state directory; None without one.
        offline: Fetch nothing.
        now: Seconds since the epoch, for the age of stored keys.
    """
    place = place_of_keys(instance)
    build = key_ring_of(instance.issuer)
    if instance.issuer.fetch is None:
        rings: list[KeyRing] = []
        try:
            local_keys(instance, publish=rings.append, board=Board(1, 0, instance.index + 1)).load(0.0, now)
        except KeySourceError as error:
            return PresentKeys(None, f"issuers.{instance.label}.{instance.issuer.key_source}", str(error))
        return PresentKeys(rings[-1], place)
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
