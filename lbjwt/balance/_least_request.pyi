"""Least request: the candidate with the fewest requests in flight for its weight."""

def pick(loads: list[int], weights: list[int], usable: list[bool], first: int = 0) -> int:
    """The rule as the proxy applies it, for up to 64 candidates.

    Args:
        loads: Requests in flight of each candidate, over all workers.
        weights: The weight of each, 1 or more.
        usable: False for those that must not be picked.
        first: Where the search starts: ties go to the first candidate at or after it.

    Returns:
        The index picked, or -1 when none is usable.

    Raises:
        ValueError: The lists differ in length, are too long, or `first` is not an index.
    """
