"""Least request: the candidate with the fewest requests in flight for its weight.

Knows numbers only. The load of a candidate is (in flight + 1) / weight, that is: what it would carry with this request, so that of idle candidates
the heavier one is taken. Compared by cross-multiplication; ties go to the first at or after `first`, which the caller rotates.
"""


cdef Py_ssize_t least_request(const Candidate *candidates, Py_ssize_t count, Py_ssize_t first) noexcept nogil:
    """The index picked, or -1 when none is usable."""
    cdef Py_ssize_t step, at, best = -1
    for step in range(count):
        at = first + step
        if at >= count:
            at -= count
        if not candidates[at].usable:
            continue
        if best < 0 or (candidates[at].in_flight + 1) * candidates[best].weight < (candidates[best].in_flight + 1) * candidates[at].weight:
            best = at
    return best


def pick(loads: list, weights: list, usable: list, first: int = 0) -> int:
    cdef Candidate candidates[64]
    cdef Py_ssize_t at, count = len(loads)
    if count > 64 or len(weights) != count or len(usable) != count or not 0 <= first < max(count, 1):
        raise ValueError("up to 64 candidates, as many weights and flags, and a first among them")
    for at in range(count):
        candidates[at].in_flight = loads[at]
        candidates[at].weight = weights[at]
        candidates[at].usable = usable[at]
    return least_request(candidates, count, first)
