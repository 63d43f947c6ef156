"""
What the control process does for the whole service: fetch remote keys, and write down what is revoked at run time.
"""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lbjwt.assembly.issuers import issuer_instances
from lbjwt.assembly.keys import FetchedKeys
from lbjwt.process.shared import Shared
from lbjwt.revocation.store import RevocationStore

if TYPE_CHECKING:
    from aiohttp import web


class Service:
    """One thing the control process does. A service overrides what it needs."""

    async def start(self) -> None:
        """
        Begin. Returns soon: what waits for a network is a task of the service's own.

        Raises:
            LbjwtError: It can never work as it is; the message says why.
        """

    async def stop(self) -> None:
        """End. Called once, in the opposite order of the starts, also after a start that failed; has a quarter of a second."""

    def notified(self) -> None:
        """Some worker notified the control process: look at the board. May come without a cause."""

    def extend(self, app: "web.Application") -> None:
        """Add pages to the admin API. Called before `start`; it opens after all starts. Not called without an admin API."""

    def describe(self) -> Mapping[str, Mapping[str, object]]:
        """What ``/status`` tells besides the board: issuer name -> names and values, none of them secret."""
        return {}


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
