cimport cython
from libc.stdint cimport int64_t, uint64_t

from lbjwt._error_reason cimport ErrorReason
from lbjwt.http1._chunked cimport ChunkedDecoder
from lbjwt.http1._request cimport RequestHead
from lbjwt._grants cimport Grant
from lbjwt.proxy._server_writer cimport ServerWriter
from lbjwt.net._connection cimport Connection
from lbjwt.proxy._exchange cimport Exchange
from lbjwt.proxy._context cimport ProxyContext


@cython.final
cdef class ServerConnection(ServerWriter):
    cdef Grant last_grant        # of the token that came last: most connections send one again and again
    cdef bytes held              # input not yet taken
    cdef Py_ssize_t seen         # bytes of it the head parser has searched
    cdef int64_t body_left       # bytes; -1 in a chunked body
    cdef int64_t droppable       # bytes a lingering client may still send; -1: as many as come
    cdef ChunkedDecoder decoder
    cdef uint64_t served
    cdef Py_ssize_t waits_for    # the issuer whose keys the request waits for in KEY_WAIT
    cdef bint authorized_again   # the request at hand has waited already
    cdef bint half_closed        # the client will send no more
    cdef bint consuming
    cdef bint head_begun
    cdef bint expecting          # the client waits for 100 (Continue) before it sends the body

    cdef void _open(self, Connection connection)
    cdef void _ready(self)
    cdef void _receive(self, char *at, Py_ssize_t size)
    cdef bint _peer_ended(self, bint clean)
    cdef void _blocked(self)
    cdef void _unblocked(self)
    cdef bint _not_tls(self, const char *at, Py_ssize_t size)
    cdef void _break(self)
    cdef void _lose(self)
    cdef void _serve_http2(self)
    cdef void _turn_away(self)
    cdef void _consume(self, const char *at, Py_ssize_t size)
    cdef Py_ssize_t _take_head(self, const char *at, Py_ssize_t size)
    cdef RequestHead _original(self, RequestHead question, const char *at, Py_ssize_t size)
    cdef void _begin_request(self, RequestHead head) noexcept
    cdef Py_ssize_t _answer_health(self, RequestHead head)
    cdef bint _wait_for_keys(self, Py_ssize_t issuer)
    cdef void _end_key_wait(self)
    cdef Py_ssize_t _take_body(self, const char *at, Py_ssize_t size)
    cdef Py_ssize_t _take_chunks(self, const char *at, Py_ssize_t size)
    cdef Py_ssize_t _discard(self, Py_ssize_t size)
    cdef Py_ssize_t _take_tunnel(self, const char *at, Py_ssize_t size)
    cdef void _refuse_head(self, ErrorReason reason, const char *at, Py_ssize_t size)
    cdef void _client_closed(self)
    cdef void _abandon_key_wait(self, ErrorReason reason)
    cdef void _next_request(self)
    cdef void _await_head(self) noexcept
    cdef double _head_time(self) noexcept
    cdef void _end(self)
    cdef void _linger(self)
