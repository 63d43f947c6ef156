"""Remote keys that one process fetches and verifies with, as a balancer embedded in another program does."""

from collections.abc import Callable
from pathlib import Path

from lbjwt.jose.keyring import KeyRing
from lbjwt.jwks.lifecycle import KeyLifecycle
from lbjwt.jwks.origin import KeyOrigin
from lbjwt.jwks.remote import RemoteKeys
from lbjwt.jwks.source import KeySource
from lbjwt.jwks.store import Envelope

__all__ = ["RemoteKeySource"]


class RemoteKeySource(KeySource):
    """
    `RemoteKeys` as a key source.

    Args:
        origin: Where to ask.
        lifecycle: When to ask, and how long to believe.
        path: File that keeps the last good document; None keeps none.
        on_settled: An attempt ended, with whatever result.

    Attributes:
        keys: The remote keys.
    """

    def __init__(
        self,
        origin: KeyOrigin,
        lifecycle: KeyLifecycle,
        *,
        build: Callable[[bytes], KeyRing],
        publish: Callable[[KeyRing | None], None],
        on_read: Callable[[bool], None] | None = None,
        on_keys: Callable[[int, float], None] | None = None,
        on_settled: Callable[[], None] | None = None,
        path: Path | None = None,
    ) -> None:
        super().__init__(origin.place, build=build, publish=publish, on_read=on_read, on_keys=on_keys)
        self.keys = RemoteKeys(
            origin,
            lifecycle,
            check=build,
            path=path,
            on_document=self._hold,
            on_withdrawn=self._withdraw,
            on_settled=self._settle,
        )
        self._ring: KeyRing | None = None
        self._told = on_settled
        self._counted = (0, 0)

    @property
    def loaded(self) -> bool:
        """As in the base class."""
        return self._ring is not None

    async def load(self) -> None:
        """As in the base class: raises nothing."""
        await self.keys.load()

    def start(self) -> None:
        """As in the base class."""
        self.keys.start()

    async def stop(self) -> None:
        """As in the base class."""
        await self.keys.stop()

    def unknown_kid(self) -> bool:
        """As `RemoteKeys.unknown_kid`."""
        return self.keys.unknown_kid()

    def _hold(self, envelope: Envelope) -> None:
        ring = self.keys.ring
        assert ring is not None
        if ring is not self._ring:
            self._publish(ring)
            self._ring = ring
        self._on_keys(len(ring), envelope.fetched_at)

    def _withdraw(self) -> None:
        self._publish(None)
        self._ring = None
        self._on_keys(0, self.keys.last_success)

    def _settle(self) -> None:
        (attempts, failures), self._counted = self._counted, (self.keys.attempts, self.keys.failures)
        if self.keys.attempts > attempts:  # not one that was given up
            self._on_read(self.keys.failures == failures)
        if self._told is not None:
            self._told()
