cimport cython
from libc.stdint cimport int64_t

from lbjwt.observe._board cimport Board
from lbjwt.upstream._ejector cimport Ejector
from lbjwt.upstream._endpoint cimport Endpoint
from lbjwt.upstream._pending cimport PendingQueue
from lbjwt.upstream._request cimport UpstreamRequest
from lbjwt.upstream.balancing._balancing cimport Balancing
from lbjwt.upstream.balancing._key cimport KeySource
from lbjwt.upstream.balancing._members cimport Members


@cython.final
cdef class Cluster:
    cdef readonly str name
    cdef readonly bytes label                # the same, for the access log
    cdef readonly tuple endpoints            # the members
    cdef readonly Balancing balancing
    cdef KeySource looks_at                  # of the rule; None: it looks at nothing in a request
    cdef bint measures                       # its rule asks for `answered`
    cdef readonly PendingQueue pending       # requests that found every endpoint full
    cdef readonly int retries
    cdef readonly Py_ssize_t max_requests    # in flight over all workers; 0: no limit
    cdef readonly Ejector ejector
    cdef readonly double retry_budget        # share of the requests of the last seconds that may be sent again; see `_retry`
    cdef int64_t _requests[2]                # of this worker: in the current half of the window of the retry budget, and in the half before
    cdef int64_t _sent_again[2]
    cdef double _half_until                  # seconds on the monotonic clock
    cdef Board _board
    cdef Members _members
    cdef object _call_later                  # (seconds, callback); None: what waits is looked at by `expire` alone
    cdef bint _will_look

    # An endpoint for the request, and no side effect: `take` says that it went there. tried: endpoints that must not be picked again, or None.
    # None: no endpoint is left, or those that are left are full. now: seconds on the monotonic clock.
    cpdef Endpoint pick(self, UpstreamRequest request, set tried, double now)
    cpdef void take(self, Endpoint endpoint)
    # The head of a response of the endpoint came, so many seconds after the request was sent. For rules that measure.
    cpdef void answered(self, Endpoint endpoint, double seconds)
    # An endpoint that was not tried is full now: waiting may help.
    cdef bint may_get_room(self, set tried)
    cdef bint _is_known(self, Endpoint endpoint, dict known)
    # It has max_requests in flight.
    cdef bint is_at_max_requests(self) noexcept
    # Put the request into the queue; False: the queue is full.
    cdef bint wait(self, UpstreamRequest request, double now)
    cdef void _wish(self, double now)
    # The header line that the response of this endpoint needs, or None.
    cdef bytes response_line(self, UpstreamRequest request, Endpoint endpoint, bint https)
    # For the retry budget: a request came; one was sent again.
    cdef void count_request(self) noexcept
    cdef void count_sent_again(self) noexcept
    # Requests that may still be sent again for those that came in the last seconds.
    cdef double savings(self) noexcept
    # Now and then.
    cpdef void expire(self, double now)
    # An endpoint when no healthy one that is no backup can be used; -1: none.
    cdef Py_ssize_t _pick_otherwise(self, UpstreamRequest request)
    cdef bint _is_any_full(self, bint healthy)
