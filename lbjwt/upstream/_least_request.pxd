from libc.stdint cimport int64_t


cdef struct Candidate:
    int64_t in_flight        # requests in flight over all workers
    int64_t weight           # 1 or more
    double turn              # when its next turn begins, on the clock of turns
    bint usable


cdef Py_ssize_t least_request(const Candidate *candidates, Py_ssize_t count, double clock) noexcept nogil
cdef double take_turn(Candidate *candidate, double clock) noexcept nogil
