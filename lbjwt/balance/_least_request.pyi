"""Least request: the candidate with the fewest requests in flight for its weight; of equals, the one whose turn it is."""

from typing import final

@final
class LeastRequest:
    """The rule as the proxy applies it, with its memory of turns, for up to 64 candidates.

    Args:
        weights: The weight of each candidate, 1 or more.

    Raises:
        ValueError: More than 64 weights.
    """

    def __init__(self, weights: list[int]) -> None: ...
    def pick(self, loads: list[int], usable: list[bool]) -> int:
        """The index the next request goes to, or -1 when none is usable. Changes nothing: ask as often as you like.

        Args:
            loads: Requests in flight of each candidate, over all workers.
            usable: False for those that must not be picked.

        Raises:
            ValueError: The lists are not as long as the weights.
        """
    def take(self, at: int) -> None:
        """The request went to this candidate: its turn among equals is over."""
