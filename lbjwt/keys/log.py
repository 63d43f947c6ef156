"""The log of the key sources: a failure and its end are logged once, not per attempt; each added or removed key has a line."""

import logging
from collections.abc import Iterable, Set
from typing import Final

from lbjwt.jose.keyring import KeyRing
from lbjwt.jose.keys import VerificationKey

MOST_WARNINGS: Final = 10
"""About one document."""

MOST_LINES: Final = 20
"""About one change of keys."""

log = logging.getLogger("lbjwt.jwks")


class SourceLog:
    def __init__(self, place: str) -> None:
        self._place = place
        self._failure = ""

    @property
    def failing(self) -> bool:
        return bool(self._failure)

    def failed(self, sentence: str, *, in_force: bool) -> None:
        """Log why there are no new keys. `in_force`: there are earlier ones, and they stay."""
        if sentence == self._failure:
            return
        self._failure = sentence
        missing, meanwhile = (
            ("no new keys", "the current keys stay in force")
            if in_force
            else ("no keys", "requests get 503 until a fetch succeeds")
        )
        log.warning(
            "%s%s: %s; %s", missing, "" if self._place in sentence else f" from {self._place}", sentence, meanwhile
        )

    def recovered(self) -> None:
        if self._failure:
            log.info("lbjwt can read the keys from %s again", self._place)
            self._failure = ""

    def withdrawn(self, max_stale: float) -> None:
        log.error(
            "no fetch of the keys from %s succeeded for %g s, so lbjwt has withdrawn them; requests get 503 until a fetch succeeds",
            self._place,
            max_stale,
        )

    def left_out(self, warnings: tuple[str, ...]) -> None:
        """Log which keys of a new document cannot be used, and why."""
        for warning in warnings[:MOST_WARNINGS]:
            log.warning("keys from %s: %s", self._place, warning)
        if len(warnings) > MOST_WARNINGS:
            log.warning("keys from %s: and %d more warnings", self._place, len(warnings) - MOST_WARNINGS)


def log_key_changes(issuer: str, before: KeyRing | None, after: KeyRing | None, *, source: str) -> None:
    """Log each added and removed key. `after` is None when the keys became too old; `source` is where they come from."""
    gone = "not confirmed for max_stale by" if after is None else "no longer in"
    old, new = tuple(before or ()), tuple(after or ())
    lines = [("added", key, f"from {source}") for key in new if not any(key.same_as(other) for other in old)]
    lines += [("removed", key, f"{gone} {source}") for key in old if not any(key.same_as(other) for other in new)]
    _write(f"issuer {issuer}: key {what}: {_shown(key)}, {why}" for what, key, why in lines)


def log_revoked_keys(before: Set[tuple[str, VerificationKey]], after: Set[tuple[str, VerificationKey]]) -> None:
    """Log which keys in force, each with the name of its issuer, were revoked by their id or are no longer revoked."""
    changes = (("revoked by its id", after - before), ("no longer revoked by its id", before - after))
    _write(f"issuer {issuer}: key {what}: {_shown(key)}" for what, keys in changes for issuer, key in keys)


def _write(lines: Iterable[str]) -> None:
    lines = list(lines)
    for line in lines[:MOST_LINES]:
        log.info("%s", line)
    if len(lines) > MOST_LINES:
        log.info("and %d more changes of keys", len(lines) - MOST_LINES)


def _shown(key: VerificationKey) -> str:
    name = f"id {key.kid!r}" if key.kid else "without id"
    return f"{name}, {' '.join(sorted(key.algorithms))}"
