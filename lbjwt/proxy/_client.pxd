from libc.stdint cimport int64_t, uint64_t

from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http1._chunked cimport ChunkedDecoder
from lbjwt.http1._request cimport RequestHead, RequestPolicy
from lbjwt.proxy._exchange cimport Downstream, Exchange
from lbjwt.proxy._answer cimport Answer
from lbjwt.proxy._traffic cimport Traffic

cdef enum:
    PEER_SIZE = 46               # INET6_ADDRSTRLEN


cdef enum ClientPhase:
    HEAD = 0                     # between requests, or inside a head
    BODY = 1                     # inside a body that goes to the endpoint
    WAITING = 2                  # the request was read whole, its response is not yet
    DISCARDING = 3               # inside the body of a request that was answered by us
    TUNNELING = 4
    LINGERING = 5                # answered for the last time: what still comes is dropped, so that no RST destroys the answer on its way
    GONE = 6
    PARKED = 7                   # a head was read, and keys are being fetched that may be needed to judge it


cdef class ClientSide(Downstream):
    """One HTTP/1 client connection."""
    cdef Traffic traffic
    cdef RequestPolicy policy
    cdef Exchange exchange
    cdef ClientPhase phase
    cdef bytes held              # input not yet taken
    cdef Py_ssize_t seen         # bytes of it the head parser has searched
    cdef int64_t body_left       # bytes; -1 in a chunked body
    cdef int64_t droppable       # bytes a lingering client may still send; -1: as many as come
    cdef ChunkedDecoder decoder
    cdef uint64_t served
    cdef Py_ssize_t parked_for   # the issuer whose keys a PARKED request waits for
    cdef bint judged_again       # the request at hand has waited already
    cdef bint half_closed        # the client will send no more
    cdef bint consuming
    cdef bint head_begun
    cdef bint keep_alive
    cdef bint http10
    cdef bint bodiless           # the request was HEAD: our own answers to it carry no body
    cdef bint expecting          # the client waits for 100 (Continue) before it sends the body
    cdef bint out_chunked
    cdef bint trusted            # the peer's forwarding fields are believed
    cdef char peer_text[PEER_SIZE]
    cdef Py_ssize_t peer_size

    cdef void turn_away(self)
    cdef void _learn_peer(self, object transport)
    cdef Slice _origin(self, RequestHead head)
    cdef void _consume(self, bytes data)
    cdef Py_ssize_t _take_head(self, const char *at, Py_ssize_t size)
    cdef bint _park(self, Py_ssize_t issuer)
    cdef void _unpark(self)
    cdef Py_ssize_t _take_body(self, const char *at, Py_ssize_t size)
    cdef Py_ssize_t _take_chunks(self, const char *at, Py_ssize_t size)
    cdef Py_ssize_t _discard(self, Py_ssize_t size)
    cdef Py_ssize_t _take_tunnel(self, const char *at, Py_ssize_t size)
    cdef void _refuse_head(self, int status)
    cdef void _send_answer(self, Answer answer, Slice request_id, bint keep_alive)
    cdef void _send_body(self, Buffer out, const char *body, Py_ssize_t size, bint end)
    cdef void _unreachable(self)
    cdef void _next_request(self)
    cdef void _await_head(self) noexcept
    cdef void _end(self)
    cdef void _linger(self)
    cdef void _set_deadline(self, double seconds) noexcept
