cimport cython
from libc.stdint cimport int64_t, uint32_t

from lbjwt._error_reason cimport ErrorReason
from lbjwt.http1._buffer cimport Buffer, Field, Slice
from lbjwt.http1._request cimport Head, Method, Parse, RequestPolicy


cpdef enum Body:
    # RFC 9112 section 6.3, decided from request method, status and fields
    NO_BODY = 0
    LENGTH = 1
    CHUNKED = 2
    UNTIL_CLOSE = 3              # written to an HTTP/1.1 client as chunked, so that it can tell a truncated body from a whole one


@cython.final
cdef class ResponseHead(Head):
    cdef readonly int status                     # 100..599 of the endpoint
    cdef Slice reason
    cdef readonly Body body
    cdef readonly int64_t content_length         # of the body to relay when body is LENGTH
    cdef readonly bint websocket                 # 101 with Upgrade: websocket
    cdef int64_t _declared                       # Content-Length as sent, -1: none
    cdef bint _dated                             # a Date field is written
    cdef bint _chunked                           # Transfer-Encoding: chunked was sent
    cdef bint _websocket_named                   # Upgrade: websocket was sent

    # method: of the request answered. upgrade_asked: 101 is refused unless True. Limits: max_head bytes, max_fields.
    cdef Parse parse(self, const char *data, Py_ssize_t size, Py_ssize_t seen, Method method, bint upgrade_asked,
                     Py_ssize_t max_head, Py_ssize_t max_fields)

    # Append the head for the client. http10: no chunked to it (the body then ends with the connection). keep_alive: what we
    # tell the client; "Connection: close" is written when False (and "keep-alive" to an HTTP/1.0 client when True).
    # request_id: of the exchange; size 0 for an interim response, which gets neither. date: a Date line, for a response without one.
    # extra: complete field lines of ours, each with its CRLF, written last; NULL and 0 when there are none.
    cdef int write(self, Buffer out, bint http10, bint keep_alive, Slice request_id, bytes date, const char *extra,
                   Py_ssize_t extra_size) except -1

    # True when what is written has a Sec-WebSocket-Protocol field.
    cdef bint names_subprotocol(self) noexcept

    cdef bint _take_status_line(self, Slice line)
    cdef bint _take_fields(self)
    cdef bint _take_body(self, Method method, bint upgrade_asked)
