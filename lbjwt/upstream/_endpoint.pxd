cimport cython

from lbjwt.net._tls cimport TlsPeer
from lbjwt.observe._board cimport Board, EndpointCounters
from lbjwt.observe._endpoint_states cimport EjectionCause, EndpointState
from lbjwt.upstream._ejector cimport Ejector
from lbjwt.upstream._pool cimport Pool


cpdef enum Protocol:
    HTTP1 = 0
    HTTP2 = 1                    # by ALPN, or at once where there is no TLS
    AUTO = 2                     # by ALPN


@cython.final
cdef class Http2Settings:
    """How connections of HTTP/2 to an endpoint are used. Immutable."""
    cdef readonly int max_streams            # requests at a time on one connection; the endpoint may allow fewer
    cdef readonly double ping_interval       # seconds without a byte from it until it gets a PING; 0.0: never
    cdef readonly double ping_timeout        # seconds for its answer
    cdef readonly double max_connection_age  # seconds; 0.0: no limit


@cython.final
cdef class Endpoint:
    """One backend address of a cluster: whether it is healthy, its counters of this worker, and its pool. It outlives configurations."""
    # Each request looks at these.
    cdef readonly Pool pool
    cdef EndpointCounters *counters          # of this worker
    cdef EndpointState *state                # of all processes
    cdef Py_ssize_t _position                # among the members of its cluster; -1: it is none
    cdef readonly bint failing               # its failure was logged, its recovery was not
    cdef readonly double connect_timeout     # seconds
    cdef readonly double response_timeout    # seconds, to the first byte of the response
    cdef readonly double idle_timeout        # seconds, of idle connections
    # At these, few do.
    cdef readonly Py_ssize_t row             # of its counters in the shared stats
    cdef readonly str address                # as configured: HOST:PORT, https://HOST:PORT or unix:PATH
    cdef readonly bytes label                # the same, for the access log
    cdef readonly str host                   # "" for a Unix socket
    cdef readonly int port
    cdef readonly str path                   # of a Unix socket, else ""
    cdef readonly Protocol protocol          # that its cluster speaks to it
    cdef readonly TlsPeer tls                # whom its certificate must name; None: plain HTTP
    cdef readonly long weight                # as configured; see `weight_of`. A change is a matter of the cluster
    cdef readonly bint backup                # used only while no other can be
    cdef readonly Py_ssize_t max_connections # 0: that of the cluster
    cdef readonly Http2Settings http2
    cdef int streams_allowed                 # at a time on one connection, as it said on the last one
    cdef Ejector ejector                     # of its cluster
    cdef double _quiet_until                 # seconds on the monotonic clock: no failure is logged before

    # The same address, and the same is asked of it: its connections serve as well.
    cdef bint is_like(self, Endpoint other)
    # Count on this board, from its configuration on.
    cdef void attach(self, Board board)
    # A request goes there, or has left. True: it tries the endpoint, which was ejected, and no other goes there until it says what came of it.
    cdef bint charge(self) noexcept
    cdef void discharge(self) noexcept
    # For a moment after its ejection it waits for a request that may be sent again: a failed trial costs any other its response. complete: all of
    # the request that it would get is there.
    cdef bint awaits_replayable(self, bint complete, double now) noexcept
    # It ended without a word about the endpoint.
    cdef void end_trial(self) noexcept

    cdef bint is_healthy(self, double now) noexcept
    cdef bint is_full(self, double now)
    # A response was good, or a request failed. trial: it was the one that tried the endpoint.
    cdef void healthy(self, bint trial)
    cdef void unhealthy(self, EjectionCause cause, bint trial)
    # Nobody can connect.
    cdef void unreachable(self, str cause, bint trial, double now)
    # A request was not answered as it should be. cause: for the log; None: it is sent again, and nothing is logged yet.
    cpdef void failed(self, str cause, double now)
    cpdef void recovered(self)
