cimport cython

from lbjwt.balance._least_request cimport Candidate
from lbjwt.observe._board cimport Board, EndpointCounters


@cython.final
cdef class Endpoint:
    """One backend address: its counters of this worker and its idle connections, newest last."""
    cdef readonly Py_ssize_t index           # in the cluster and on the board
    cdef readonly str address                # as configured: HOST:PORT or unix:PATH
    cdef readonly bytes label                # the same, for the access log
    cdef readonly str host                   # "" for a Unix socket
    cdef readonly int port
    cdef readonly str path                   # of a Unix socket, else ""
    cdef readonly long weight
    cdef readonly list idle                  # of connections nothing is in doubt about
    cdef readonly Py_ssize_t open            # connections open or being opened, idle ones included
    cdef double shunned_until                # seconds on the monotonic clock: a connect failed a moment ago
    cdef EndpointCounters *counters


@cython.final
cdef class Cluster:
    """The endpoints requests are balanced over."""
    cdef readonly tuple endpoints
    cdef readonly double response_timeout    # seconds, to the first byte of the response
    cdef readonly double idle_timeout        # seconds, of pooled connections
    cdef readonly Py_ssize_t max_idle        # connections kept per endpoint
    cdef readonly Py_ssize_t max_connections # per endpoint
    cdef readonly int retries
    cdef Board _board
    cdef Candidate *_candidates
    cdef Py_ssize_t _count
    cdef Py_ssize_t _turn

    # tried: endpoints that must not be picked again for this request, or None. The answer is None when there is no endpoint left.
    cdef Endpoint pick(self, set tried, double now)
    cdef bint _consider(self, set tried, double now)
