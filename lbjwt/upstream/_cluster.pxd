cimport cython

from lbjwt.upstream._least_request cimport Candidate
from lbjwt.net._wire cimport Wire
from lbjwt.observe._board cimport Board, EndpointCounters
from lbjwt.upstream._pending cimport PendingQueue


cdef class Cluster


@cython.final
cdef class Endpoint:
    """One backend address of a cluster: its counters of this worker and its idle connections, newest last. It outlives configurations."""
    cdef readonly Cluster cluster            # None before it is a member
    cdef readonly Py_ssize_t row             # of its counters in the shared stats
    cdef Py_ssize_t _position                # among the members of the cluster
    cdef readonly bint leaving               # no member any more: what is under way ends, no connection is kept
    cdef readonly str address                # as configured: HOST:PORT or unix:PATH
    cdef readonly bytes label                # the same, for the access log
    cdef readonly str host                   # "" for a Unix socket
    cdef readonly int port
    cdef readonly str path                   # of a Unix socket, else ""
    cdef readonly long weight                # a change is a matter of the cluster
    cdef readonly list idle                  # connections nothing is in doubt about, the last used one last
    cdef readonly dict connecting            # connections being opened for a request that any one would serve, as keys, the oldest first
    cdef readonly dict unclaimed             # connections being opened whose request was served by another one, or left
    cdef readonly Py_ssize_t open            # connections that take room: being opened, in use or idle; none that is on its way out
    cdef public double ejected_until         # seconds on the monotonic clock: a connect failed a moment ago
    cdef readonly bint failing               # its failure was logged, its recovery was not
    cdef double _quiet_until                 # seconds on the monotonic clock: no failure is logged before
    cdef EndpointCounters *counters

    cdef void mark_unreachable(self, double now)
    cpdef void failed(self, str cause, double now)
    cpdef void recovered(self)
    cdef void close_idle(self)
    # A pooled connection, the one used last. None: there is none, and room for a new one. fresh: one that nobody used before, if there is room.
    cdef Wire take_idle(self, bint fresh, Py_ssize_t max_connections)


@cython.final
cdef class Cluster:
    cdef readonly str name
    cdef readonly tuple endpoints            # the members
    cdef readonly PendingQueue pending       # requests that found every endpoint full
    cdef readonly double connect_timeout     # seconds
    cdef readonly double response_timeout    # seconds, to the first byte of the response
    cdef readonly double idle_timeout        # seconds, of pooled connections
    cdef readonly Py_ssize_t max_idle        # connections kept per endpoint
    cdef readonly Py_ssize_t max_connections # per endpoint
    cdef readonly int retries
    cdef Board _board
    cdef Candidate *_candidates
    cdef Py_ssize_t _count
    cdef double _clock                       # of turns among equally loaded endpoints

    # tried: endpoints that must not be picked again for this request, or None. The answer is None when no endpoint is left, or when those
    # that are left have no room. A question: `take` says that the request went there.
    cpdef Endpoint pick(self, set tried, double now)
    cpdef void take(self, Endpoint endpoint)
    # An endpoint that was not tried has no room now: waiting may help.
    cdef bint may_get_room(self, set tried)
    cdef bint _is_full(self, set tried, double now)
    cdef bint _has_room(self, Endpoint endpoint)
    cdef bint _consider(self, set tried, double now)
