cimport cython

from lbjwt._error_reason cimport ErrorReason
from lbjwt.http2._inbox cimport FieldList
from lbjwt.net._clock cimport Timed
from lbjwt.net._connection cimport Connection
from lbjwt.proxy._context cimport ProxyContext
from lbjwt.proxy._http2_streams cimport Http2Streams
from lbjwt.proxy._listener_settings cimport ListenerSettings


cdef enum Ending:
    OPEN = 0                     # requests are taken
    ANNOUNCED = 1                # … for a moment more: the client was told that it should not begin any (RFC 9113 section 6.8)
    LAST_ONES = 2                # those that came are the last


@cython.final
cdef class Http2Server(Http2Streams):
    """The server of HTTP/2 on one client connection. `deadline` is the client's: to begin a request, to read, or to close."""
    cdef bint gone               # all was said: what still comes is dropped
    cdef Py_ssize_t dropped      # bytes
    cdef bint flushing           # `_flush` is scheduled
    cdef bint receiving          # input is being processed: what it causes is sent together at its end
    cdef bint head_begun         # a part of a frame or head came, while no request is under way
    cdef int served
    cdef double rest_until       # seconds on the monotonic clock: when an idle client has to have begun a request
    cdef double end_at           # … when ANNOUNCED becomes LAST_ONES
    cdef double settings_until   # … when the client must have acknowledged our SETTINGS; 0.0: it has
    cdef double given_up_at      # … when a client that does not take the last bytes is reset
    cdef Ending ending

    cdef void _begin(self, int stream, FieldList fields, bint end)
    cdef void _receive(self, char *at, Py_ssize_t size)
    cdef void flush(self)
    cdef void _close_if_done(self)
    cdef void _rest(self) noexcept
    cdef void _await_head(self) noexcept
    cdef void _forget(self, int stream)
    cdef bint _peer_ended(self, bint clean)
    cdef void _lose_streams(self, ErrorReason reason)
    cdef void _lose(self)
    cdef void _break_off(self, bint flood)
    cdef void _count_malformed(self)
    cdef void _end_requests(self, Ending stage)
    cdef bint _is_without_settings(self)


# The connection goes on as HTTP/2. before: what was watched for it until now.
cdef void serve_http2(ProxyContext context, ListenerSettings listener, Connection connection, bytes peer_text, bint trusted, Timed before)
