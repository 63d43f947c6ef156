cimport cython
from libc.stdint cimport uint32_t, uint64_t

from lbjwt._error_reason cimport ErrorReason
from lbjwt.http1._answer cimport Answer
from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.net._connection cimport Connection
from lbjwt.proxy._context cimport ProxyContext
from lbjwt.proxy._exchange cimport Exchange
from lbjwt.proxy._listener_settings cimport ListenerSettings
from lbjwt.proxy._stream cimport ClientStream
from lbjwt.spop._frames cimport Frame, SpopStatus


cdef enum SpopPhase:
    HELLO = 0                    # nothing but a hello is expected
    IDLE = 1                     # between questions
    KEY_WAIT = 2                 # keys are being fetched that may be needed to answer the question
    ASKED = 3                    # a question is being answered
    ENDING = 4                   # all was said: what still comes is dropped
    GONE = 5


@cython.final
cdef class SpopServer(ClientStream):
    """A connection of HAProxy's SPOE filter, which is the one stream of its questions. `deadline` is HAProxy's, or that of the key wait."""
    cdef ProxyContext context
    cdef ListenerSettings listener
    cdef Connection connection
    cdef Exchange exchange       # None: there is none yet, or it is over
    cdef SpopPhase phase
    cdef bytes peer_text         # HAProxy's address …
    cdef bytes client_text       # … and that of the client that it asks about
    cdef bint https              # that client used TLS
    cdef bytes held              # input not yet taken
    cdef bint begun              # a part of the next frame has come, which has until `deadline` to be whole
    cdef bytes head              # of a question that waits for keys, as HTTP/1
    cdef Py_ssize_t waits_for    # the issuer of those keys
    cdef Py_ssize_t dropped      # bytes
    cdef uint32_t max_frame      # bytes of a frame that HAProxy takes
    cdef uint64_t stream         # numbers of the question, which the answer repeats
    cdef uint64_t number

    cdef void _open(self, Connection connection)
    cdef void _ready(self)
    cdef void _receive(self, char *at, Py_ssize_t size)
    cdef void _consume(self, const char *at, Py_ssize_t size)
    cdef void _take_frame(self, Frame *frame)
    cdef void _take_hello(self, Frame *frame)
    cdef void _take_question(self, Frame *frame)
    cdef void _judge(self, const char *at, Py_ssize_t size, bint again)
    cdef bint _wait_for_keys(self, Py_ssize_t issuer)
    cdef void _end_key_wait(self)
    cdef void _refuse(self, ErrorReason reason, const char *at, Py_ssize_t size)
    cdef void _record_lost(self, ErrorReason reason)
    cdef void _go_on(self)
    cdef void _put_answer(self, Answer answer, Slice request_id, bytes reason)
    cdef void _send_frame(self, Buffer out)
    cdef void _next_question(self)
    cdef void _disconnect(self, SpopStatus status)
    cdef bint _peer_ended(self, bint clean)
    cdef void _lose(self)


cdef Connection spop_connection(ProxyContext context, ListenerSettings listener)
