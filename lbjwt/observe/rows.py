"""
Which row of the shared stats each endpoint, issuer and route has, for as long as the service lives.

A name keeps its row over reloads, also while no configuration has it: when it comes back, its counts go on. A new name gets a row that was
never used. When none is left it gets that of a name that left, the one that left first, when no process can still write there: every one has
applied the configuration without that name, and no connection, request or key of it is left.

The rows are the numbers of issuers, endpoints and routes in the whole code. One process gives them out, the one that reads the configuration; a
request that outlives its route's row is counted under the name that has the row then.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from lbjwt.errors import ConfigurationError
from lbjwt.observe._board import Board

LEAST: Final = 2048
"""
Rows of each kind at least, so that a small configuration can grow without a restart. Unused ones have no memory: 2,048 of each kind are 2 MB of
address space for each process.
"""
LEAST_ENDPOINTS: Final = 4096
"""Of endpoints: names bring a thousand addresses of a cluster at once, and other ones over the months."""
GROWTH: Final = 4
"""Rows of each kind for each name at the start, so that a large configuration can be replaced whole, more than once."""

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, slots=True)
class RowNames:
    """Everything in a configuration that is counted by itself, in its order."""

    endpoints: Sequence[tuple[str, str]] = ()
    """Name of the cluster and text of the address."""
    issuers: Sequence[str] = ()
    """Names of the instances."""
    routes: Sequence[str] = ()

    @property
    def capacity(self) -> tuple[int, int, int]:
        """Rows that a board should have for a service that starts with these: of endpoints, issuers and routes."""
        issuers, routes = (max(LEAST, GROWTH * len(names)) for names in (self.issuers, self.routes))
        return max(LEAST_ENDPOINTS, GROWTH * len(self.endpoints)), issuers, routes


@dataclass(frozen=True, slots=True)
class RowNumbers:
    """The row of every name of one configuration, in its order. Can be pickled."""

    endpoints: dict[tuple[str, str], int] = field(default_factory=dict)
    issuers: dict[str, int] = field(default_factory=dict)
    routes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def in_order(cls, names: RowNames) -> "RowNumbers":
        """Rows 0, 1, …: those of a configuration that no other came before."""
        endpoints, issuers, routes = names.endpoints, names.issuers, names.routes
        return cls(_numbered(endpoints), _numbered(issuers), _numbered(routes))

    @property
    def issuer_names(self) -> list[str]:
        """The names of the issuers by row, "" where a row is of none of them."""
        names = [""] * (max(self.issuers.values(), default=-1) + 1)
        for name, row in self.issuers.items():
            names[row] = name
        return names

    def check(self, board: Board) -> None:
        """
        Refuse a board that has not all of these rows: counting there would write into other memory.

        Raises:
            ValueError: It does not.
        """
        for what, rows, capacity in (
            ("endpoints", self.endpoints.values(), board.endpoints),
            ("issuers", self.issuers.values(), board.issuers),
            ("routes", self.routes.values(), board.routes),
        ):
            if not all(0 <= row < capacity for row in rows):
                raise ValueError(f"the board has {capacity} rows for {what}, and the configuration needs more")


class Rows:
    """
    Gives out the rows of a board. Nobody gave out any before.

    Args:
        on_endpoint: Called with the name of each endpoint that gets a row, and with that row.
    """

    def __init__(
        self, board: Board, on_endpoint: Callable[[tuple[str, str], int], object] = lambda name, row: None
    ) -> None:
        self._board = board
        self._on_endpoint = on_endpoint
        left = board.is_applied
        self._endpoints: _Kind[tuple[str, str]] = _Kind(
            "endpoints", board.endpoints, board.clear_endpoint, lambda row, at: left(at) and board.is_endpoint_idle(row)
        )
        self._issuers: _Kind[str] = _Kind(
            "issuers", board.issuers, board.clear_issuer, lambda row, at: left(at) and board.is_issuer_idle(row)
        )
        self._routes: _Kind[str] = _Kind("routes", board.routes, board.clear_route, lambda row, at: left(at))
        board.use_rows(0, 0, 0)

    def assign(self, names: RowNames, generation: int = 0) -> RowNumbers:
        """
        Return the rows of a configuration. If it is never applied, nothing has to be undone: what is in force keeps its rows.

        Args:
            names: Everything in the configuration that is counted.
            generation: Number of the configuration, as processes write it to the board when they have applied it.

        Raises:
            ConfigurationError: The board has too few rows for it; nothing changed.
        """
        endpoints = self._endpoints.plan(names.endpoints)
        issuers = self._issuers.plan(names.issuers)
        routes = self._routes.plan(names.routes)
        new_endpoints = self._endpoints.take(endpoints, generation)
        self._issuers.take(issuers, generation)
        self._routes.take(routes, generation)
        self._board.use_rows(self._endpoints.used, self._issuers.used, self._routes.used)
        for name in new_endpoints:
            self._on_endpoint(name, endpoints[name])
        return RowNumbers(endpoints, issuers, routes)


class _Kind(Generic[Name]):
    """
    The rows of all names of one kind.

    Args:
        what: Its names, in messages.
        clear: Zeroes a row.
        is_free: Whether nobody writes to the row of a name that left with that generation.
    """

    def __init__(
        self, what: str, capacity: int, clear: Callable[[int], None], is_free: Callable[[int, int], bool]
    ) -> None:
        self.used = 0
        self._what = what
        self._capacity = capacity
        self._clear = clear
        self._is_free = is_free
        self._rows: dict[Name, int] = {}
        self._left: dict[Name, int] = {}
        """Names that the configuration has no more, and the generation they left with, the first one first."""

    def plan(self, names: Sequence[Name]) -> dict[Name, int]:
        """
        The row that each name has or would get.

        Raises:
            ConfigurationError: One would get none.
        """
        fresh = iter(range(self.used, self._capacity))
        free = self._free(frozenset(names))
        rows: dict[Name, int] = {}
        for name in names:
            row = self._rows.get(name)
            if row is None:
                row = next(fresh, None)
            if row is None:
                row = next(free, None)
            if row is None:
                raise ConfigurationError(
                    f"{self._what}: counters for {self._capacity} were reserved at the start, and too few of them are free: "
                    + self._way_out(frozenset(names))
                )
            rows[name] = row
        return rows

    def _way_out(self, names: frozenset[Name]) -> str:
        """What to do when the rows of names that leave now, and left before, are needed and still in use."""
        if len(names) <= self._capacity and any(name not in names for name in self._rows):
            return "reload first without the names that are new, then with them; if that does not help, this change needs a restart"
        return "this change needs a restart"

    def _free(self, names: frozenset[Name]) -> Iterator[int]:
        return (
            self._rows[name]
            for name, generation in self._left.items()
            if name not in names and self._is_free(self._rows[name], generation)
        )

    def take(self, rows: dict[Name, int], generation: int) -> list[Name]:
        """Do as planned. Returns the names that had no row."""
        new = [name for name in rows if name not in self._rows]
        taken = frozenset(rows.values())
        for name in [name for name, row in self._rows.items() if row in taken and name not in rows]:
            self._clear(self._rows.pop(name))
            del self._left[name]
        self._rows |= rows
        for name in self._rows:
            if name in rows:
                self._left.pop(name, None)
            else:
                self._left.setdefault(name, generation)
        self.used = max([self.used, *(row + 1 for row in taken)])
        return new


def _numbered(names: Iterable[Name]) -> dict[Name, int]:
    return {name: row for row, name in enumerate(names)}
