cimport cython

from lbjwt.observe._board cimport Board
from lbjwt.upstream._endpoint cimport Endpoint
from lbjwt.upstream._least_request cimport Candidate
from lbjwt.upstream._pending cimport PendingQueue
from lbjwt.upstream._request cimport UpstreamRequest


@cython.final
cdef class Cluster:
    cdef readonly str name
    cdef readonly tuple endpoints            # the members
    cdef readonly PendingQueue pending       # requests that found every endpoint full
    cdef readonly int retries
    cdef readonly double retry_budget        # share of the requests in flight that may be sent again at a time; see `_retry`
    cdef Board _board
    cdef Candidate *_candidates
    cdef Py_ssize_t _count
    cdef double _clock                       # of turns among equally loaded endpoints

    # An endpoint for the request, and no side effect: `take` says that it went there. tried: endpoints that must not be picked again, or None.
    # None: no endpoint is left, or those that are left are full. now: seconds on the monotonic clock.
    cpdef Endpoint pick(self, UpstreamRequest request, set tried, double now)
    cpdef void take(self, Endpoint endpoint)
    # An endpoint that was not tried is full now: waiting may help.
    cdef bint may_get_room(self, set tried)
    cdef bint _is_any_full(self, set tried, double now, bint healthy)
    cdef bint _consider(self, set tried, double now, bint healthy)
