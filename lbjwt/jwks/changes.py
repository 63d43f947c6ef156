"""The log of an issuer's keys: one line for each that comes into force or goes, with its id, its algorithms and why. Nothing of the key itself."""

import logging
from collections.abc import Set
from typing import Final

from lbjwt.jose.keyring import KeyRing
from lbjwt.jose.keys import VerificationKey

__all__ = ["log_key_changes", "log_revoked_keys"]

MOST_LINES: Final = 20
"""Lines about one change: a set of a hundred keys that are all new does not fill the log."""

log = logging.getLogger("lbjwt.jwks")


def log_key_changes(issuer: str, before: KeyRing | None, after: KeyRing | None, *, source: str) -> None:
    """
    Tell what changed.

    Args:
        issuer: Its name in the configuration.
        after: None when the keys became too old to be believed.
        source: Where the keys come from, for people.
    """
    gone = "not confirmed for max_stale by" if after is None else "no longer in"
    old, new = tuple(before or ()), tuple(after or ())
    lines = [("added", key, f"from {source}") for key in new if not any(key.same_as(other) for other in old)]
    lines += [("removed", key, f"{gone} {source}") for key in old if not any(key.same_as(other) for other in new)]
    _write([f"issuer {issuer}: key {what}: {_shown(key)}, {why}" for what, key, why in lines])


def log_revoked_keys(before: Set[tuple[str, VerificationKey]], after: Set[tuple[str, VerificationKey]]) -> None:
    """
    Tell which keys in force are revoked by their id, or no longer are.

    Args:
        after: Of each such key the name of its issuer in the configuration, and the key.
    """
    changes = (("revoked by its id", after - before), ("no longer revoked by its id", before - after))
    _write([f"issuer {issuer}: key {what}: {_shown(key)}" for what, keys in changes for issuer, key in keys])


def _write(lines: list[str]) -> None:
    for line in lines[:MOST_LINES]:
        log.info("%s", line)
    if len(lines) > MOST_LINES:
        log.info("and %d more changes of keys", len(lines) - MOST_LINES)


def _shown(key: VerificationKey) -> str:
    name = f"id {key.kid!r}" if key.kid else "without id"
    return f"{name}, {' '.join(sorted(key.algorithms))}"
