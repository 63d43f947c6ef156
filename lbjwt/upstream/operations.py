"""
Endpoints taken out of service and weighted at run time: what the command line, the admin API and an embedding program may change, and what they see.

The state is two words of an endpoint in the shared memory that every worker reads before it picks one, so a change holds for the next request of
every worker. It belongs to the row of the endpoint: a reload keeps it, also one that removes the endpoint and one that brings it back. With a state
directory, a restart and an upgrade keep it too (`stored_settings`); without one, they begin with every endpoint in service.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from lbjwt.address import Address
from lbjwt.errors import LbjwtError, cause_of, there_are
from lbjwt.observe._board import Board
from lbjwt.observe._endpoint_states import SERVICE_NAMES
from lbjwt.upstream.stored_settings import MAX_WEIGHT, Setting, StoredSettings

CONFIGURED: Final = "configured"
"""In place of a weight: that of the configuration."""

LOOK: Final = 0.05
"""Seconds between two looks at an endpoint that is to become quiet."""

log = logging.getLogger("lbjwt.endpoints")


class UnknownEndpoint(LbjwtError):
    """There is no such cluster, or no such endpoint in it; the text has the ones that may be meant."""


@dataclass(frozen=True, slots=True)
class EndpointState:
    """
    An endpoint as all workers see it.

    Attributes:
        address: As the configuration writes it.
        state: `in service`, `drained` or `disabled`.
        weight: Set at run time; None: that of the configuration.
        requests_in_flight: Over all workers, tunnels among them.
        connections: Over all workers: being opened, in use or idle.
        survives_restart: State and weight are those after a restart and an upgrade too: they are in the state directory.
    """

    cluster: str
    address: str
    state: str
    weight: int | None
    requests_in_flight: int
    connections: int
    survives_restart: bool = False

    @property
    def is_quiet(self) -> bool:
        """No request is there and no connection is open, so no worker can be about to send one."""
        return self.requests_in_flight <= 0 and self.connections <= 0


class EndpointOperations:
    """
    Reads and changes the state of endpoints.

    Args:
        rows: Where each endpoint is counted, by the name of its cluster and the text of its address.
        on_change: Called after a change, so that workers close their idle connections at once.
        stored: Where a change is stored before it is in force; None: nowhere.
    """

    def __init__(
        self,
        board: Board,
        rows: Mapping[tuple[str, str], int],
        on_change: Callable[[], None],
        stored: StoredSettings | None = None,
    ) -> None:
        self._states = board.endpoint_states
        self._stored = stored
        self._rows = rows
        self._on_change = on_change

    def use(self, rows: Mapping[tuple[str, str], int]) -> None:
        """Go by another configuration from now on."""
        self._rows = rows

    def read(self, cluster: str, endpoint: str) -> EndpointState:
        """
        Return the state of an endpoint.

        Raises:
            UnknownEndpoint: The configuration in force has none of that name.
        """
        address = self._find(cluster, endpoint)
        row = self._rows[cluster, address]
        words, setting = self._states.read(row), Setting.of(self._states, row)
        return EndpointState(
            cluster,
            address,
            setting.state,
            setting.weight,
            words["in_flight"],
            words["connections"],
            self._stored is not None and self._stored.has((cluster, address), setting),
        )

    def change(
        self, cluster: str, endpoint: str, *, state: str | None = None, weight: int | str | None = None, by: str
    ) -> EndpointState:
        """
        Change an endpoint from the next request on, log it, and return its state.

        A drained endpoint gets no new request: requests in flight end normally, idle connections are closed. Disabled: its health checks stop too.
        A change that cannot be stored in the state directory is in force nevertheless, logged, and does not survive a restart.

        Args:
            state: One of `in service`, `drained` and `disabled`; None: as it is.
            weight: 0 to 1000, 0 for no new requests; `configured`: that of the configuration; None: as it is.
            by: Who asked, for the log.

        Raises:
            UnknownEndpoint: As `read`.
            ValueError: A state or a weight that there is not.
        """
        if state is not None and state not in SERVICE_NAMES:
            raise ValueError(f"the state must be one of {', '.join(SERVICE_NAMES)}")
        whole = type(weight) is int and 0 <= weight <= MAX_WEIGHT
        if weight is not None and weight != CONFIGURED and not whole:
            raise ValueError(f"the weight must be a whole number from 0 to {MAX_WEIGHT}, or {CONFIGURED}")
        before = self.read(cluster, endpoint)
        row = self._rows[cluster, before.address]
        wanted = Setting(
            before.state if state is None else state,
            before.weight if weight is None else None if isinstance(weight, str) else weight,
        )
        if wanted.state == SERVICE_NAMES[0] and before.state != wanted.state:
            self._states.set(row, "serving_since", time.monotonic())  # before `service`: its slow start begins now
        wanted.put(self._states, row)
        self._store((cluster, before.address), wanted)
        after = self.read(cluster, endpoint)
        if after.state != before.state:
            log.info("endpoint %s of cluster %s is %s (asked for by %s)", after.address, cluster, after.state, by)
        if after.weight != before.weight:
            told = "the configured one" if after.weight is None else after.weight
            log.info(
                "the weight of endpoint %s of cluster %s is %s (asked for by %s)", after.address, cluster, told, by
            )
        self._on_change()
        return after

    def _store(self, endpoint: tuple[str, str], setting: Setting) -> None:
        if self._stored is None:
            return
        try:
            self._stored.store(endpoint, setting)
        except OSError as error:
            cluster, address = endpoint
            log.error(
                "state and weight of endpoint %s of cluster %s are not stored, a restart will forget them: %s",
                address,
                cluster,
                cause_of(error),
            )

    async def wait_until_quiet(self, cluster: str, endpoint: str, *, timeout: float) -> bool:
        """
        Wait until no request is in flight to a drained endpoint and no connection to it is open.

        Args:
            timeout: Seconds.

        Returns:
            False when the time was up before.

        Raises:
            UnknownEndpoint: As `read`.
        """
        end = time.monotonic() + timeout
        while not self.read(cluster, endpoint).is_quiet:
            if time.monotonic() >= end:
                return False
            await asyncio.sleep(LOOK)
        return True

    def _find(self, cluster: str, endpoint: str) -> str:
        """The address as the configuration writes it."""
        addresses = [address for name, address in self._rows if name == cluster]
        if not addresses:
            raise UnknownEndpoint(f"there is no cluster {cluster}{_meant(cluster, {name for name, _ in self._rows})}")
        for text in (endpoint, _normal(endpoint)):
            if text in addresses:
                return text
        raise UnknownEndpoint(f"cluster {cluster} has no endpoint {endpoint}{_meant(endpoint, addresses)}")


def _normal(endpoint: str) -> str:
    try:
        return str(Address.parse(endpoint))
    except ValueError:
        return endpoint


def _meant(given: str, names: set[str] | list[str]) -> str:
    """The names that may be meant: the one that is alike, else all if they are few."""
    if likely := difflib.get_close_matches(given, sorted(names), 1, 0.6):
        return f"; did you mean {likely[0]}?"
    return f"; {there_are(names)}"
