from typing import Any, final

@final
class Offenders:
    """
    Refused requests by client address over a sliding window, in shared memory; made before fork, shared by every child.

    4096 addresses for each slot; of a full set of eight, the one that was quiet the longest goes. IPv6 addresses count by their /64. A failure
    counts for seven eighths of the window at least and for the whole of it at most. Counts are sums over the slots, and outlive a worker.
    Times: seconds on the monotonic clock, which all processes share.
    """

    def __new__(cls, slots: int, *, limit: int = 0, window: float = 60.0) -> Offenders:
        """
        Args:
            slots: Workers.
            limit: Failures within the window after which an address is over; 0: none ever is.
            window: Seconds.

        Raises:
            ValueError: No slot, a negative limit or a window that is none.
            MemoryError: The kernel gave no shared memory.
        """
    @property
    def slots(self) -> int: ...
    @property
    def slot(self) -> int:
        """Slot of this process; 0 until `attach`."""
    @property
    def limit(self) -> int: ...
    @property
    def window(self) -> float: ...
    def attach(self, slot: int) -> None:
        """Write to this slot from now on. Called by a worker, once, right after fork."""
    def add_failure(self, address: str, now: float) -> None:
        """A request of this address was refused. The proxy calls the C method `blame`. What is no IP address is not counted."""
    def is_over(self, address: str, now: float) -> bool:
        """True when the address has as many failures as the limit, or more. The proxy calls the C method `over`."""
    def failures(self, address: str, now: float) -> int:
        """Failures of the address within the window."""
    def top(self, most: int, now: float) -> list[dict[str, Any]]:
        """The addresses with the most failures within the window, the worst first, at most `most`. Looks at every entry: not per request."""
    def count(self, now: float) -> int:
        """Addresses with a failure within the window. Looks at every entry: not per request."""
