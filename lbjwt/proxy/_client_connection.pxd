cimport cython
from libc.stdint cimport int64_t

from lbjwt._error_reason cimport ErrorReason
from lbjwt.http1._buffer cimport Buffer
from lbjwt.http1._chunked cimport ChunkedDecoder
from lbjwt.http1._response cimport Body
from lbjwt.net._connection cimport Connection, Sent
from lbjwt.proxy._exchange cimport Exchange
from lbjwt.proxy._stream cimport BackendStream
from lbjwt.proxy._context cimport ProxyContext


cdef enum ClientPhase:
    CONNECTING = 0
    POOLED = 1                   # no request is under way: any input means doubt
    HEAD = 2                     # a request was sent, its final response head is not whole
    BODY = 3
    DONE = 4                     # the response was read to its end
    TUNNELING = 5
    GONE = 6


@cython.final
cdef class ClientConnection(BackendStream):
    cdef ProxyContext context
    cdef Connection connection   # None: there is none yet
    cdef ClientPhase phase
    cdef Buffer partial          # a response head that came in pieces
    cdef Py_ssize_t seen         # bytes of it the parser has searched
    cdef Body body
    cdef int64_t left            # bytes of a body with a length
    cdef ChunkedDecoder decoder
    cdef int interims
    cdef bint keep_alive         # the endpoint lets the connection be used again
    cdef bint doubt              # something came that no response accounts for
    cdef bint counted            # among the open connections of the endpoint

    cdef void _open(self, Connection connection)
    cdef void _ready(self)
    cdef void _receive(self, char *at, Py_ssize_t size)
    cdef bint _peer_ended(self, bint clean)
    cdef void _break(self)
    cdef void _lose(self, bint clean)
    cdef void _end_own_trial(self, Exchange exchange)
    cdef Sent _send_kept(self, Exchange exchange)
    cdef double _time_for_head(self, Exchange exchange) noexcept
    cdef void _take_head(self, char *at, Py_ssize_t size)
    cdef void _take_body(self, char *at, Py_ssize_t size, bint with_head)
    cdef void _broken(self, ErrorReason reason)
    cdef void _leave_pool(self)
    cdef void _give_up_room(self)
    cdef void _close(self)
    cdef void _reset(self)
