"""Clocks read without a system call (vDSO), and the base of what has a deadline: there are no timers per connection or request."""

from posix.time cimport CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE, CLOCK_REALTIME, clock_gettime, timespec


cdef double _read_clock(int clock) noexcept nogil:
    cdef timespec moment
    clock_gettime(clock, &moment)
    return moment.tv_sec + moment.tv_nsec * 1e-9


cdef double monotonic() noexcept nogil:
    return _read_clock(CLOCK_MONOTONIC)


cdef double coarse_monotonic() noexcept nogil:
    return _read_clock(CLOCK_MONOTONIC_COARSE)


cdef double wall_clock() noexcept nogil:
    return _read_clock(CLOCK_REALTIME)


cdef class Timed:

    cdef void expired(self):
        pass

    cdef void check_peer(self):
        pass

    cdef void end_if_expired(self, double now):
        pass

    cdef void drain(self, double soon, object listener):
        pass

    cdef bint takes_requests(self, bint after_answer):
        return False

    cdef void end(self):
        pass
