from libc.stdint cimport int64_t


cdef struct Candidate:
    int64_t in_flight        # requests in flight over all workers
    int64_t weight           # 1 or more
    bint usable


cdef Py_ssize_t least_request(const Candidate *candidates, Py_ssize_t count, Py_ssize_t first) noexcept nogil
