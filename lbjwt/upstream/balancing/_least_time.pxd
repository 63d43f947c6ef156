from lbjwt.upstream.balancing._balancing cimport Balancing
from lbjwt.upstream.balancing._members cimport Members


cdef class LeastTime(Balancing):
    cdef double _typical                         # seconds: the mean over all endpoints; 0.0: not known
    cdef double _fades_at                        # seconds on the monotonic clock

    cdef bint _is_faster(self, Members members, Py_ssize_t one, Py_ssize_t other) noexcept
    cdef double _mean(self, Members members, Py_ssize_t at) noexcept
    cdef void _fade(self, Members members) noexcept
