"""Least request: the candidate with the fewest requests in flight for its weight; of equals, the one whose turn it is.

The load of a candidate is in flight / weight, compared by cross-multiplication. Equally loaded candidates take turns by weight: each has the time
at which its next turn begins, the earliest is picked, and taking a request adds 1 / weight to that time (start-time fair queueing, Goyal, Vin and
Cheng 1996). The clock shows the beginning of the last turn taken. A turn before the clock begins now, so a candidate that was unusable for a
while does not get the requests it missed.
"""


cdef Py_ssize_t least_request(const Candidate *candidates, Py_ssize_t count, double clock) noexcept nogil:
    """The index picked, or -1 when none is usable. Changes nothing: the caller says with `take_turn` that the request went there."""
    cdef Py_ssize_t at, best = -1
    cdef int64_t load, least
    for at in range(count):
        if not candidates[at].usable:
            continue
        if best >= 0:
            load = candidates[at].in_flight * candidates[best].weight
            least = candidates[best].in_flight * candidates[at].weight
            if load > least or (load == least and _begin(&candidates[at], clock) >= _begin(&candidates[best], clock)):
                continue
        best = at
    return best


cdef inline double _begin(const Candidate *candidate, double clock) noexcept nogil:
    return candidate.turn if candidate.turn > clock else clock


cdef double take_turn(Candidate *candidate, double clock) noexcept nogil:
    """What the clock stands at after this candidate took a request."""
    clock = _begin(candidate, clock)
    candidate.turn = clock + 1.0 / candidate.weight
    return clock
