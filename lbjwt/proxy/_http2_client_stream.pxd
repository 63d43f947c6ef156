cimport cython
from libc.stdint cimport int64_t

from lbjwt._error_reason cimport ErrorReason
from lbjwt.http1._response cimport ResponseHead
from lbjwt.http2._inbox cimport FieldList
from lbjwt.http2._session cimport Session
from lbjwt.net._clock cimport Timed
from lbjwt.net._connection cimport Connection
from lbjwt.proxy._context cimport ProxyContext
from lbjwt.proxy._exchange cimport Exchange
from lbjwt.proxy._stream cimport BackendStream
from lbjwt.upstream._endpoint cimport Endpoint


cdef enum Http2ClientPhase:
    CONNECTING = 0               # until the SETTINGS of the endpoint have come
    OPEN = 1
    LEAVING = 2                  # no stream begins any more; it closes when the last one has ended
    GONE = 3


cdef class StreamCarrier(Timed):
    """The connection of streams, as they see it."""
    cdef ProxyContext context
    cdef Endpoint endpoint
    cdef Connection connection   # None: there is none yet
    cdef Session session         # None: the connection is not open
    cdef Http2ClientPhase phase
    cdef dict streams            # number -> Http2ClientStream
    cdef dict waiting            # streams whose request waits for the connection -> None, the oldest first
    cdef set blocked             # streams whose request waits for the endpoint to take more of it
    cdef Http2ClientStream offered   # the one that the pool has for the next request; None: there is no room for another
    cdef Py_ssize_t active       # streams that carry a request, or that one waits for
    cdef bint used               # some request was sent before
    cdef bint websockets         # the endpoint takes extended CONNECT (RFC 8441)

    cdef Http2ClientStream new_stream(self)
    cdef void flush_soon(self)
    # Have one stream in the pool while there is room for another request.
    cdef void offer(self)
    cdef void offer_idle(self)
    # A stream carries its request no longer.
    cdef void ended(self, Http2ClientStream stream)
    # No stream begins any more. keeps_room: the connection counts until it is closed.
    cdef void leave(self, bint keeps_room)
    # A request that was sent at that time had no response. If nothing came since, nor for so many seconds, the endpoint may be gone: it gets no
    # requests here until it is heard.
    cdef void question(self, double asked_at, double silence)
    # Something that arrived lately says that other connections may have ended too.
    cdef bint is_in_doubt(self) noexcept


@cython.final
cdef class Http2ClientStream(BackendStream):
    """One request to an endpoint that speaks HTTP/2, and its response; or room for one."""
    cdef StreamCarrier carrier
    cdef int number              # -1: not sent yet
    cdef bint paused             # the client of the response takes no more now
    cdef Py_ssize_t unread       # bytes of the response that came meanwhile: the endpoint gets no room for more
    cdef bint begun              # the head of the response came
    cdef bint tunneling
    cdef bint ended              # the endpoint has ended its side
    cdef bint sent               # … and we ours
    cdef int64_t left            # bytes of the body that the head announced and that have not come; -1: it announced none
    cdef int interims
    cdef bytes key               # of a WebSocket handshake

    cdef bint _parse(self, FieldList fields, bint end, ResponseHead head)
    cdef void _start_clock(self, Exchange exchange) noexcept
    cdef double _time_for_head(self, Exchange exchange) noexcept
    cdef bint _is_too_large(self, FieldList trailers)
    # What comes on the stream.
    cdef void take_response(self, FieldList fields, bint end)
    cdef void take_interim(self, FieldList fields)
    cdef void take_data(self, const char *at, Py_ssize_t size, bint end)
    cdef void take_trailers(self, FieldList fields)
    # The endpoint took the stream back, or the connection is gone. malformed: what came on it broke a rule.
    cdef void closed(self, unsigned code, bint malformed)
