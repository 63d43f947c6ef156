"""From the configured revocations to those in force in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbjwt.keys.log import log_revoked_keys
from lbjwt.revocation.reader import RevocationReader
from lbjwt.revocation.store import LOG_NAME, RevocationStore

if TYPE_CHECKING:
    from lbjwt.assembly.issuers import IssuerInstance
    from lbjwt.auth.trusted_issuer import Revoked
    from lbjwt.auth.verifier import Verifier
    from lbjwt.config import model
    from lbjwt.jose.keys import VerificationKey


def new_reader(
    configuration: model.Configuration,
    directory: Path | None,
    on_change: Callable[[bool], None] = lambda more: None,
    store: RevocationStore | None = None,
) -> RevocationReader | None:
    """
    The reader of the log in the state directory and of the operator's file; None without `revocation`.

    Args:
        directory: The state directory; None without one, and then there is no log.
        store: The store, if this process has it; then the log is not read.
    """
    revocation = configuration.revocation
    if revocation is None:
        return None
    return RevocationReader(
        log=directory / LOG_NAME if directory is not None and store is None else None,
        file=revocation.file,
        made=store.entries if store is not None else None,
        on_change=on_change,
        max_entries=revocation.max_entries,
    )


def new_store(configuration: model.Configuration, directory: Path | None) -> RevocationStore | None:
    """
    Where revocations made at run time are kept; None when nothing can be revoked.

    Args:
        directory: Of state; None: they end with the process.
    """
    revocation = configuration.revocation
    if revocation is None:
        return None
    return RevocationStore(directory, max_entries=revocation.max_entries)


def revocation_check(reader: RevocationReader | None) -> Revoked | None:
    """What a verifier asks about every token; None without a reader."""
    if reader is None:
        return None

    def revoked(issuer: int, kid: str, claims: Mapping[str, Any], now: float) -> bool:
        return reader.revokes(claims.get("iss", ""), kid, claims, now)

    return revoked


class RevokedKeys:
    """Logs which keys in force are revoked by their id, except those that are revoked for one of several tenants only."""

    def __init__(self, instances: list[IssuerInstance], verifier: Verifier, reader: RevocationReader) -> None:
        self._instances = instances
        self._verifier = verifier
        self._reader = reader
        self._told: frozenset[tuple[str, VerificationKey]] = frozenset()

    def use(self, instances: list[IssuerInstance]) -> None:
        """Look at the keys of these issuers from now on."""
        self._instances = instances
        self.look()

    def look(self) -> None:
        """Log what changed since the last call."""
        now = time.time()
        found = frozenset(
            (instance.name, key)
            for instance in self._instances
            for key in self._verifier.keys_of(instance.index) or ()
            # claims that only the revocation of a key can match
            if key.kid
            and self._reader.revokes(instance.of_tenant(instance.issuer.issuer or ""), key.kid, {"iat": inf}, now)
        )
        log_revoked_keys(self._told, found)
        self._told = found
