from typing import Any, Final, Self, final

STARTING: Final = 0
READY: Final = 1
DRAINING: Final = 2
STOPPED: Final = 3
STATE_NAMES: Final[tuple[str, ...]]

@final
class Board:
    """
    Counters of all workers in one shared anonymous mapping; made before fork, shared by every child.

    Counters only grow, also over the death of a worker. Gauges (in flight, connections, cache size, keys) belong to the process that
    lives in the slot and are zeroed by `clear_gauges` when it died.

    Issuers are named by their index, in the order of the configuration; -1 is "no issuer known". The key source of an issuer has its index.
    """

    def __new__(cls, workers: int, endpoints: int, issuers: int = 1, routes: int = 0) -> Self:
        """
        Raises:
            ValueError: workers < 1, endpoints < 0, issuers < 0 or routes < 0.
            MemoryError: The kernel gave no shared memory.
        """
    @property
    def workers(self) -> int:
        """Slots of workers, from 0."""
    @property
    def keeper(self) -> int:
        """The slot after those of the workers. It is no worker: neither readiness nor what is told of workers looks at it."""
    @property
    def endpoints(self) -> int: ...
    @property
    def issuers(self) -> int: ...
    @property
    def routes(self) -> int: ...
    @property
    def slot(self) -> int:
        """Slot of this process; 0 until `attach`."""
    def attach(self, slot: int) -> None:
        """Write to this slot from now on. Called by a worker or the keeper, once, right after fork."""
    def add(
        self, name: str, amount: int = 1, index: int = 0, *, issuer: int = 0, endpoint: int = -1, route: int = -1
    ) -> None:
        """
        Add to a counter of the own slot, by the name of its field in `WorkerCounters` or, for that issuer, in `IssuerCounters`; with an
        endpoint or route, in `EndpointCounters` or `RouteCounters`.

        For code that runs at most once a second.
        """
    def set(self, name: str, value: int) -> None:
        """Set a gauge of the own slot, by the name of its field in `WorkerCounters`."""
    def set_keys(self, count: int, fetched_at: float, *, issuer: int = 0) -> None:
        """Verification keys in force in this worker and when they were last read (seconds since the epoch; 0: never)."""
    def set_state(self, state: int, slot: int | None = None) -> None:
        """`STARTING`, `READY`, `DRAINING` or `STOPPED`, of the own slot or (by the supervisor) of another."""
    def start_draining(self) -> None:
        """The whole service is on its way out: `ready` is False from now on in every process."""
    def want(self, source: int) -> None:
        """A token with an unknown key id came: whoever fetches for this source should look. Wakes nobody."""
    def wanted(self, source: int) -> int:
        """How often `want` was called, in all slots since the start; also by workers that died."""
    def add_source(self, source: int, name: str, amount: int = 1) -> None:
        """Add to `begun`, `attempts`, `fetches` or `failures`. Only in the process that fetches: a new keeper goes on from there."""
    def set_source_time(self, source: int, name: str, seconds: float) -> None:
        """Set `not_before` (monotonic seconds) or `last_success` (seconds since the epoch). Only in the process that fetches."""
    def source_words(self, source: int) -> dict[str, Any]:
        """Every `SourceWords` field."""
    def clear_gauges(self, slot: int) -> None:
        """The worker of the slot is dead: zero its gauges, keep its counters, set its state to `STOPPED`."""
    def count_restart(self, *, keeper: bool = False) -> None:
        """A dead worker, or keeper, was replaced. Written by the supervisor only."""
    @property
    def draining(self) -> bool: ...
    @property
    def started_at(self) -> float:
        """Seconds since the epoch when the board was made."""
    @property
    def restarts(self) -> int: ...
    @property
    def keeper_restarts(self) -> int: ...
    @property
    def ready(self) -> bool:
        """At least one worker is `READY` with a key of any issuer in force and room for a client, and the service does not drain."""
    def state(self, slot: int) -> int:
        """State of one worker, or of the keeper."""
    def totals(self) -> dict[str, Any]:
        """
        Every `WorkerCounters` field summed over the slots, and the fields of `issuer_totals` summed over the issuers.

        `requests` is a list by status class, `errors`, `refusals` and `reported` by reason. `revocations` is no sum: each worker
        holds the same, and the least is told. `keys_fetched_at` is the oldest of any issuer that has keys.
        """
    def issuer_totals(self, issuer: int) -> dict[str, Any]:
        """
        Every `IssuerCounters` field of one issuer (-1: none known) summed over the slots; fetches of the keeper are among `key_fetches`.

        `keys` and `keys_fetched_at` are not sums: each worker holds the same set, and the least and the oldest one is told.
        """
    def route_totals(self, index: int) -> list[int]:
        """Requests of one route by status class, summed over the slots."""
    def endpoint_totals(self, index: int) -> dict[str, Any]:
        """Every `EndpointCounters` field of one endpoint summed over the workers; `responses` is a list by status class."""
