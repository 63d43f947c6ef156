cimport cython
from libc.stdint cimport int64_t

from lbjwt._error_reason cimport ErrorReason
from lbjwt._grants cimport Grant
from lbjwt.http1._answer cimport Answer
from lbjwt.http1._buffer cimport Slice
from lbjwt.http1._request cimport RequestHead
from lbjwt.http1._response cimport ResponseHead
from lbjwt.http2._session cimport Session
from lbjwt.net._clock cimport Timed
from lbjwt.net._connection cimport Connection
from lbjwt.proxy._check_call cimport CheckCall
from lbjwt.proxy._context cimport ProxyContext
from lbjwt.proxy._exchange cimport Exchange
from lbjwt.proxy._listener_settings cimport ListenerSettings
from lbjwt.proxy._stream cimport ClientStream


cdef class Http2Streams(Timed):
    """What the streams of one client connection share."""
    cdef ProxyContext context
    cdef ListenerSettings listener
    cdef Connection connection
    cdef Session session
    cdef dict streams            # number -> Http2ServerStream
    cdef set blocked             # streams that wait until their client has taken more of the response
    cdef Grant last_grant        # of the token that came last: most streams of a connection send the same
    cdef bytes peer_text
    cdef bint trusted

    cdef void flush_soon(self)   # what is queued leaves in the next turn of the loop


@cython.final
cdef class Http2ServerStream(ClientStream):
    """One request of an HTTP/2 client and its response. `deadline` is the client's, to send more of its request."""
    cdef Http2Streams server
    cdef int number
    cdef Exchange exchange       # None: there is none yet, or it is over
    cdef CheckCall check         # what Envoy asks by gRPC; None: the request is what it is
    cdef bytes head              # of a request that waits for keys, as HTTP/1
    cdef double came_at          # seconds on the monotonic clock: that head
    cdef Py_ssize_t waits_for    # the issuer of those keys; -1: it does not wait
    cdef ErrorReason problem     # of what came of the request while it waited for keys
    cdef bytearray held               # body that came and that its endpoint does not take yet; None: none
    cdef int64_t body            # bytes of the body that were passed on
    cdef int64_t content_length  # that the head announced; -1: it did not
    cdef double unread_until     # seconds on the monotonic clock: when the client must have taken more of the response; 0.0: it owes nothing
    cdef bint passing            # a piece of the body is being passed on
    cdef bint request_ended      # the client has sent all
    cdef bint end_told           # … and the exchange has been given all
    cdef bint responded          # the response has begun
    cdef bint response_ended     # … and ended
    cdef bint bodiless           # the request was HEAD: our own answers to it carry no body
    cdef bint websocket          # it asks for one by an extended CONNECT
    cdef bint tunneling

    cdef void _start(self, const char *at, Py_ssize_t size, bint again)
    cdef void _begin_check(self, RequestHead head, const char *at, Py_ssize_t size)
    cdef void _take_check(self, bytes data)
    cdef void _ask(self, const char *at, Py_ssize_t size, bint again)
    cdef void _send_check(self, Answer answer)
    cdef RequestHead _original(self, RequestHead question, const char *at, Py_ssize_t size)
    cdef bint _wait_for_keys(self, RequestHead head, Py_ssize_t issuer)
    cdef void _end_key_wait(self)
    cdef void _refuse(self, ErrorReason reason, const char *at, Py_ssize_t size)
    cdef void _answer_health(self, Answer answer)
    cdef void _send_answer(self, Answer answer, Slice request_id)
    cdef void take_data(self, bytes data, bint end)
    cdef void break_off(self, ErrorReason reason)
    cdef void _pass_on(self, bytes data, bint end)
    cdef ErrorReason _check_body(self, Py_ssize_t size, bint end) noexcept
    cdef void _send_data(self, const char *at, Py_ssize_t size, bint end)
    cdef void _await_client(self)
    cdef void taken(self)        # the client took what was queued, as far as it had to
    cdef list _fields(self, ResponseHead head)
    cdef void stalled(self)      # … or did not, for too long
    cdef void lost(self, ErrorReason reason)     # the client took the stream back, or its connection is gone
    cdef void fail(self)         # a fault of ours ends this request, and no other on the connection
    cdef void _record_lost(self, ErrorReason reason, bytes head)
    cdef bint _end_with_status(self, ErrorReason reason)
    cdef void _finish(self)
