from libc.stdint cimport int64_t

cimport cython

from lbjwt._error_reason cimport ErrorReason


@cython.final
cdef class EjectionRules:
    """When an endpoint that fails is passed over, and for how long. Without a threshold a cause ejects nobody."""
    cdef int64_t thresholds[4]               # by EjectionCause; 0: never
    cdef readonly double base_time           # seconds
    cdef readonly double max_time            # seconds
    cdef readonly double max_ejected         # share of the endpoints, 0 to 1
    cdef readonly double success_rate        # share of good responses, 0 to 1, below which an outlier is ejected; 0: never
    cdef readonly double interval            # seconds between two comparisons of success rates

    # This EjectionCause ejects at all.
    cpdef bint ejects(self, int cause) noexcept
    # So many failures of one cause in a row are enough.
    cpdef bint is_enough(self, int cause, int64_t count) noexcept
    # Seconds of an ejection after `in_row` others; chance: 0 to 1, for the jitter.
    cpdef double seconds(self, int cause, int64_t in_row, double chance) noexcept
    # What is left of `in_row` after so many seconds in rotation.
    cpdef int64_t decayed(self, int cause, int64_t in_row, double healthy_for) noexcept
    # Of so many endpoints of a cluster, those that may be ejected at the same time. backed_up: a healthy backup can take over.
    cpdef Py_ssize_t room(self, Py_ssize_t endpoints, bint backed_up=*) noexcept


# So few endpoints are healthy that all of them are used.
cpdef bint is_panic(Py_ssize_t healthy, Py_ssize_t endpoints, double threshold) noexcept
# The EjectionCause that a failed request is a sign of; -1: it says nothing about its endpoint.
cpdef int cause_of(ErrorReason reason) noexcept
# Whether a request that its route's deadline ended is a sign of its endpoint's health. All in seconds. waited: for the response head, since the whole
# request was sent; timeout: of the route; time_for_head: what the endpoint has for any request.
cpdef bint had_fair_share(double waited, double timeout, double time_for_head) noexcept
# Whether the end of a connection may be the doing of the client. waited: seconds for which the endpoint waited for it.
cpdef bint is_clients_doing(double waited) noexcept
