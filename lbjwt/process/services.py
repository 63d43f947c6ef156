"""
What the keeper does for the whole service: fetch remote keys, and write down what is revoked at run time.

Each is a `Service` around parts of lower floors; here they meet the board and the eventfds that tell the workers.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lbjwt.assembly.issuers import issuer_instances
from lbjwt.assembly.keys import KeeperKeys
from lbjwt.config.model import Configuration
from lbjwt.observe._board import Board
from lbjwt.process.service import Service
from lbjwt.process.wakeups import Wakeups
from lbjwt.revocation.store import RevocationStore

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["services"]


def services(configuration: Configuration, board: Board, wakeups: Wakeups, directory: Path | None) -> list[Service]:
    """Return what this configuration needs."""
    if directory is None:
        return []
    found: list[Service] = [_Keys(configuration, board, wakeups, directory)]
    if configuration.revocation is not None:
        found.append(_Revocations(configuration, wakeups, directory))
    return found


class _Keys(Service):
    """Fetches the keys of every remote source."""

    def __init__(self, configuration: Configuration, board: Board, wakeups: Wakeups, directory: Path) -> None:
        self._keys = KeeperKeys(issuer_instances(configuration), board, directory, wakeups.poke_workers)

    async def start(self) -> None:
        """As in the base class."""
        await self._keys.start()

    async def stop(self) -> None:
        """As in the base class."""
        await self._keys.stop()

    def poked(self) -> None:
        """As in the base class."""
        self._keys.poked()

    def describe(self) -> Mapping[str, Mapping[str, object]]:
        """As in the base class."""
        return self._keys.describe()


class _Revocations(Service):
    """Writes what is revoked over the admin door into the log that all workers read."""

    def __init__(self, configuration: Configuration, wakeups: Wakeups, directory: Path) -> None:
        assert configuration.revocation is not None
        self._store = RevocationStore(directory, max_entries=configuration.revocation.max_entries)
        self._wakeups = wakeups

    async def start(self) -> None:
        """As in the base class."""
        self._store.open(time.time())

    async def stop(self) -> None:
        """As in the base class."""
        self._store.close()

    def extend(self, app: "web.Application") -> None:
        """As in the base class."""
        from lbjwt.admin.revocations import RevocationPages

        RevocationPages(self._store, on_change=self._wakeups.poke_workers).add_to(app)
