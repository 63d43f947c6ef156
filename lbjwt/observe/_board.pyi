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
    """

    def __new__(cls, workers: int, endpoints: int) -> Self:
        """
        Raises:
            ValueError: workers < 1 or endpoints < 0.
            MemoryError: The kernel gave no shared memory.
        """
    @property
    def workers(self) -> int:
        """Slots."""
    @property
    def endpoints(self) -> int:
        """Endpoints each slot counts for."""
    @property
    def slot(self) -> int:
        """Slot of this process; 0 until `attach`."""
    def attach(self, slot: int) -> None:
        """Write to this slot from now on. Called by a worker, once, right after fork."""
    def add(self, name: str, amount: int = 1, index: int = 0) -> None:
        """Add to a counter of the own slot, by the name of its `WorkerCounters` field. For code that runs at most once a second."""
    def add_endpoint(self, endpoint: int, name: str, amount: int = 1, index: int = 0) -> None:
        """Add to a counter of one endpoint in the own slot, by the name of its `EndpointCounters` field."""
    def set_cache(self, entries: int, size: int) -> None:
        """What the token cache of this worker holds: entries and bytes."""
    def set_keys(self, count: int, fetched_at: float) -> None:
        """Verification keys in force in this worker and when they were last read (seconds since the epoch; 0: never)."""
    def set_state(self, state: int, slot: int | None = None) -> None:
        """`STARTING`, `READY`, `DRAINING` or `STOPPED`, of the own slot or (by the supervisor) of another."""
    def start_draining(self) -> None:
        """The whole service is on its way out: `ready` is False from now on in every process."""
    def clear_gauges(self, slot: int) -> None:
        """The worker of the slot is dead: zero its gauges, keep its counters, set its state to `STOPPED`."""
    def count_restart(self) -> None:
        """A dead worker was replaced. Written by the supervisor only."""
    @property
    def draining(self) -> bool:
        """`start_draining` was called in any process."""
    @property
    def started_at(self) -> float:
        """Seconds since the epoch when the board was made."""
    @property
    def restarts(self) -> int:
        """Workers replaced since the start."""
    @property
    def ready(self) -> bool:
        """At least one worker is `READY` with a key in force, and the service does not drain."""
    def state(self, slot: int) -> int:
        """State of one worker."""
    def totals(self) -> dict[str, Any]:
        """
        Every `WorkerCounters` field summed over the workers; lists for `requests` (by status class) and `refusals` (by reason).

        `keys` and `keys_fetched_at` are not sums: each worker holds the same set, and the least and the oldest one is told.
        """
    def endpoint_totals(self, index: int) -> dict[str, Any]:
        """Every `EndpointCounters` field of one endpoint summed over the workers; `responses` is a list by status class."""
