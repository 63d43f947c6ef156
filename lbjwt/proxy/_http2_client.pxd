cimport cython

from lbjwt._error_reason cimport ErrorReason
from lbjwt.http1._response cimport ResponseHead
from lbjwt.http2._session cimport Session
from lbjwt.net._clock cimport Timed
from lbjwt.net._connection cimport Connection
from lbjwt.proxy._context cimport ProxyContext
from lbjwt.proxy._exchange cimport Exchange
from lbjwt.proxy._stream cimport BackendStream
from lbjwt.upstream._endpoint cimport Endpoint
from lbjwt.upstream._request cimport UpstreamRequest


cdef enum Http2ClientPhase:
    CONNECTING = 0
    OPEN = 1
    LEAVING = 2                  # no stream begins any more; it closes when the last one has ended
    GONE = 3


@cython.final
cdef class Http2Client(Timed):
    """The client of HTTP/2 on one connection to an endpoint."""
    cdef ProxyContext context
    cdef Endpoint endpoint
    cdef Connection connection   # None: there is none yet
    cdef Session session
    cdef Http2ClientPhase phase
    cdef dict streams            # number -> Http2ClientStream
    cdef dict waiting            # streams whose request waits for the connection -> None, the oldest first
    cdef Http2ClientStream offered   # the one that the pool has for the next request; None: there is no room for another
    cdef Py_ssize_t active       # streams that carry a request, or that one waits for
    cdef bint used               # some request was sent before
    cdef bint counted            # among the open connections of the endpoint
    cdef bint flushing
    cdef bint receiving

    cdef Http2ClientStream new_stream(self)
    cdef void _open(self, Connection connection)
    cdef void _ready(self)
    cdef void _broken(self)
    cdef void _unblocked(self)
    cdef void _receive(self, char *at, Py_ssize_t size)
    cdef void flush_soon(self)
    cdef void flush(self)
    cdef bint has_room(self) noexcept
    cdef void offer(self)
    cdef void withdraw(self)
    cdef void ended(self, Http2ClientStream stream)
    cdef void leave(self)
    cdef void _close_if_done(self)
    cdef void _lose(self)
    cdef void _give_up_room(self)


@cython.final
cdef class Http2ClientStream(BackendStream):
    """One request to an endpoint that speaks HTTP/2, and its response; or room for one."""
    cdef Http2Client client
    cdef int number              # -1: not sent yet
    cdef bint paused             # the client of the response takes no more now
    cdef Py_ssize_t unread       # bytes of the response that came meanwhile: the endpoint gets no room for more
    cdef bint begun              # the head of the response came
    cdef bint tunneling
    cdef bint ended              # the endpoint has ended its side
    cdef bint sent               # … and we ours
    cdef int interims
    cdef bytes key               # of a WebSocket handshake

    cdef bint _parse(self, tuple fields, bint end, ResponseHead head)
    cdef void _respond(self, tuple fields, bint end)
    cdef void _interim(self, tuple fields)
    cdef void _data(self, bytes data, bint end)
    cdef void _trailers(self, tuple fields)
    cdef void _closed(self, unsigned code)
    cdef void _give_up(self, unsigned code)
    cdef double _time_for_head(self, Exchange exchange) noexcept


# A connection of `auto` whose handshake agreed on HTTP/2 goes on here. request: it was opened for; None: that left. before: what was watched for it
cdef void adopt_http2(ProxyContext context, Endpoint endpoint, Connection connection, UpstreamRequest request, Timed before)
