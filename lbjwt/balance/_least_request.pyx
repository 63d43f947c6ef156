"""Least request: the candidate with the fewest requests in flight for its weight; of equals, the one whose turn it is.

Knows numbers only. The load of a candidate is in flight / weight, compared by cross-multiplication. Turns among equally loaded candidates go
round by weight: each has the time at which its next turn begins, the earliest is picked, and taking a request moves that time on by 1 / weight
(start-time fair queueing, Goyal, Vin and Cheng 1996). The clock stands at the beginning of the last turn that was taken, and a turn that lies
before the clock counts as beginning now: a candidate that could not be used for a while has saved up nothing, and its share meanwhile went to
all others rather than to its neighbour.
"""

cimport cython

cdef enum:
    MOST = 64                # candidates of the rule as Python sees it


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


@cython.final
cdef class LeastRequest:
    cdef Candidate _candidates[MOST]
    cdef Py_ssize_t _count
    cdef double _clock

    def __init__(self, weights: list):
        cdef Py_ssize_t at
        if len(weights) > MOST:
            raise ValueError("up to 64 candidates")
        self._count = len(weights)
        for at in range(self._count):
            self._candidates[at].weight = weights[at]
            self._candidates[at].turn = 0.0
        self._clock = 0.0

    def pick(self, loads: list, usable: list) -> int:
        cdef Py_ssize_t at
        if len(loads) != self._count or len(usable) != self._count:
            raise ValueError("as many loads and flags as candidates")
        for at in range(self._count):
            self._candidates[at].in_flight = loads[at]
            self._candidates[at].usable = usable[at]
        return least_request(self._candidates, self._count, self._clock)

    def take(self, at: int) -> None:
        if not 0 <= at < self._count:
            raise IndexError(at)
        self._clock = take_turn(&self._candidates[at], self._clock)
