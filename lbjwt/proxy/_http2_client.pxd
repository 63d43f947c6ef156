cimport cython

from lbjwt.net._clock cimport Timed
from lbjwt.net._connection cimport Connection
from lbjwt.proxy._context cimport ProxyContext
from lbjwt.proxy._exchange cimport Exchange
from lbjwt.proxy._http2_client_stream cimport Http2ClientStream
from lbjwt.proxy._http2_pooled cimport PooledCarrier
from lbjwt.upstream._endpoint cimport Endpoint
from lbjwt.upstream._request cimport UpstreamRequest


@cython.final
cdef class Http2Client(PooledCarrier):
    """The client of HTTP/2 on one connection to an endpoint."""
    cdef bint flushing
    cdef bint receiving
    cdef Exchange told           # the one that the session tells of now

    cdef void _open(self, Connection connection)
    cdef void _ready(self)
    cdef str _why_not_open(self)
    cdef void _broken(self)
    cdef void _break_off(self)
    cdef void _unblocked(self)
    cdef void _receive(self, char *at, Py_ssize_t size)
    cdef void _settings(self)
    cdef void _begin(self)
    cdef void _go_away(self, int last, unsigned code)
    cdef void _close_stream(self, int number, unsigned code, bint malformed)
    cdef void _end_by_fault(self, object fault)
    cdef void _release_session(self)
    cdef void _wake_blocked(self)
    cdef void _lose(self)


# A connection of `auto` whose handshake agreed on HTTP/2 goes on here. request: it was opened for; None: that left. before: what was watched for it
cdef void adopt_http2(ProxyContext context, Endpoint endpoint, Connection connection, UpstreamRequest request, Timed before)
