cimport cython
from libc.stdint cimport int64_t

from lbjwt._error_reason cimport ErrorReason
from lbjwt._grants cimport Grant
from lbjwt.http1._answer cimport Answer
from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http1._response cimport ResponseHead
from lbjwt.http2._session cimport Session
from lbjwt.net._clock cimport Timed
from lbjwt.net._connection cimport Connection
from lbjwt.proxy._context cimport ProxyContext
from lbjwt.proxy._exchange cimport Exchange
from lbjwt.proxy._listener_settings cimport ListenerSettings
from lbjwt.proxy._stream cimport ClientStream


@cython.final
cdef class Http2Server(Timed):
    """The server of HTTP/2 on one client connection."""
    cdef ProxyContext context
    cdef ListenerSettings listener
    cdef Connection connection
    cdef Session session
    cdef dict streams            # number -> Http2ServerStream
    cdef set blocked             # streams that wait until their client has taken more of the response
    cdef Grant last_grant        # of the token that came last: most streams of a connection send the same
    cdef bytes peer_text
    cdef bint trusted
    cdef bint gone               # the connection has ended, or is about to
    cdef bint flushing           # `_flush` is scheduled
    cdef bint receiving          # input is being processed: what it causes is sent together at its end
    cdef int served
    cdef double end_at           # seconds on the monotonic clock: when the announced end comes
    cdef int ending              # 0: not yet; 1: the end of requests was announced; 2: and those that came are the last

    cdef void _begin(self, int stream, tuple fields, bint end)
    cdef void _receive(self, char *at, Py_ssize_t size)
    cdef void flush_soon(self)
    cdef void flush(self)
    cdef void _wake_blocked(self)
    cdef bint _is_done(self) noexcept
    cdef bint ends_soon(self) noexcept
    cdef void _rest(self) noexcept
    cdef void _forget(self, int stream)
    cdef void _lose(self)
    cdef void _break_off(self, bint flood)
    cdef void _end_requests(self, int stage)


@cython.final
cdef class Http2ServerStream(ClientStream):
    """One request of an HTTP/2 client and its response."""
    cdef Http2Server server
    cdef int number
    cdef Exchange exchange       # None: there is none yet, or it is over
    cdef bytes head              # of a request that waits for keys, as HTTP/1
    cdef Py_ssize_t waits_for    # the issuer of those keys; -1: it does not wait
    cdef list held               # body that came and that its endpoint does not take yet; None: none
    cdef list trailers           # that came, as far as they may be passed on; None: none
    cdef int64_t body            # bytes of the body that came
    cdef bint request_ended      # the client has sent all
    cdef bint end_told           # … and the exchange has been given all
    cdef bint responded          # the response has begun
    cdef bint response_ended     # … and ended
    cdef bint bodiless           # the request was HEAD: our own answers to it carry no body
    cdef bint websocket          # it asks for one by an extended CONNECT
    cdef bint tunneling

    cdef void _start(self, const char *at, Py_ssize_t size, bint again)
    cdef bint _wait_for_keys(self, Py_ssize_t issuer)
    cdef void _end_key_wait(self)
    cdef void _refuse(self, ErrorReason reason, const char *at, Py_ssize_t size)
    cdef void _answer_health(self, Answer answer)
    cdef void _send_answer(self, Answer answer, Slice request_id)
    cdef void take_data(self, bytes data, bint end)
    cdef void _pass_on(self, bytes data, bint end)
    cdef void _send_data(self, const char *at, Py_ssize_t size, bint end)
    cdef list _fields(self, ResponseHead head)
    cdef bint _end_with_status(self, ErrorReason reason)
    cdef void _lost(self)
    cdef void _record_lost(self, bytes head)
    cdef void _finish(self)


# The connection goes on as HTTP/2. before: what was watched for it until now.
cdef void serve_http2(ProxyContext context, ListenerSettings listener, Connection connection, bytes peer_text, bint trusted, Timed before)
