"""
What the control process does for the whole service: fetch remote keys, and write down what is revoked at run time.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lbjwt.assembly.issuers import issuer_instances
from lbjwt.assembly.keys import FetchedKeys
from lbjwt.process.service import Service
from lbjwt.process.shared import Shared
from lbjwt.revocation.store import RevocationStore

if TYPE_CHECKING:
    from aiohttp import web


def services(shared: Shared) -> list[Service]:
    """Return what this configuration needs."""
    configuration, wakeups = shared.configuration, shared.wakeups
    assert wakeups is not None and shared.feed is not None
    kept = shared.directory if configuration.state_directory is not None else None
    instances = issuer_instances(configuration)
    found: list[Service] = [_Keys(instances, shared.board, shared.feed, kept, wakeups.notify_workers)]
    if configuration.revocation is not None:
        assert shared.directory is not None
        store = RevocationStore(shared.directory, max_entries=configuration.revocation.max_entries)
        found.append(_Revocations(store, wakeups.notify_workers))
    return found


class _Keys(FetchedKeys, Service):
    """Fetches the keys of every remote source."""


class _Revocations(Service):
    """Writes what is revoked over the admin API into the log that all workers read."""

    def __init__(self, store: RevocationStore, notify: Callable[[], None]) -> None:
        self._store = store
        self._notify = notify

    async def start(self) -> None:
        self._store.open(time.time())

    async def stop(self) -> None:
        self._store.close()

    def extend(self, app: "web.Application") -> None:
        from lbjwt.admin.revocations import RevocationPages

        RevocationPages(self._store, on_change=self._notify).add_to(app)
