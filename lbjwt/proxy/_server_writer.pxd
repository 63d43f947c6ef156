from posix.uio cimport iovec

from lbjwt._error_reason cimport ErrorReason
from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http1._response cimport ResponseHead
from lbjwt.http1._answer cimport Answer
from lbjwt.net._connection cimport Connection
from lbjwt.proxy._exchange cimport Exchange
from lbjwt.proxy._listener_settings cimport ListenerSettings
from lbjwt.proxy._stream cimport ClientStream
from lbjwt.proxy._context cimport ProxyContext


cdef enum ServerPhase:
    HEAD = 0                     # between requests, or inside a head
    BODY = 1                     # inside a body that goes to the endpoint
    WAITING = 2                  # the request was read whole, its response is not yet
    DISCARDING = 3               # inside the body of a request that was answered by us
    TUNNELING = 4
    LINGERING = 5                # answered for the last time: what still comes is dropped, so that no RST destroys the answer on its way
    GONE = 6
    KEY_WAIT = 7                 # a head was read, and keys are being fetched that may be needed to authorize it


cdef class ServerWriter(ClientStream):
    cdef Connection connection
    cdef ProxyContext context
    cdef ListenerSettings listener
    cdef bytes peer_text
    cdef bint trusted            # the peer's forwarding fields are believed
    cdef Exchange exchange
    cdef ServerPhase phase
    cdef bint keep_alive
    cdef bint http10
    cdef bint bodiless           # the request was HEAD: our own answers to it carry no body
    cdef bint out_chunked

    cdef bint ends_soon(self) noexcept           # the service drains, or the listener left: each answer ends its connection
    cdef void _learn_peer(self)
    cdef void _unreachable(self)
    cdef void _set_deadline(self, double seconds) noexcept
    cdef void _send_parts(self, iovec *parts, int count)
    cdef bytes _with_balancing_line(self, const char **extra, Py_ssize_t *size)
    cdef void write_switch(self, ResponseHead head)
    cdef void _send_answer(self, Answer answer, Slice request_id, bint keep_alive)
    cdef void _send_body(self, Buffer out, const char *body, Py_ssize_t size, bint end)
    # at, size: what was read of the head; NULL and 0: nothing
    cdef void write_refusal(self, ErrorReason reason, const char *at, Py_ssize_t size)
    cdef void record_lost(self, ErrorReason reason, const char *at, Py_ssize_t size)
