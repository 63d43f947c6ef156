"""
Envoy's question by gRPC on a stream of HTTP/2: the message of the call describes the request (`_check_call`), and its answer is a message too.
"""

from lbjwt._error_reason cimport ErrorReason
from lbjwt.http1._buffer cimport Buffer
from lbjwt.http1._request cimport RequestPolicy
from lbjwt.http2._fields_out cimport fields_of
from lbjwt.http2._session cimport Session
from lbjwt.net._clock cimport coarse_monotonic, wall_clock
from lbjwt.proxy._authorization cimport Authorization
from lbjwt.proxy._check_call cimport answer_message, is_check
from lbjwt.proxy._context cimport ProxyContext
from lbjwt.proxy._exchange cimport new_exchange

cdef enum:
    INTERNAL_ERROR = 2           # RFC 9113 section 7

cdef list ANSWERED = [(b":status", b"200"), (b"content-type", b"application/grpc")]


cdef class CheckedStream(Http2Stream):

    cdef void _begin_check(self, RequestHead head, const char *at, Py_ssize_t size):
        """Only one call is answered here. No other request gets a response that its proxy could take for permission."""
        self.authorizer = self.server.listener.authorizer
        if not self.authorizer.original.is_trusted(head, self.peer()):
            self._refuse(ErrorReason.UNTRUSTED_PEER, at, size)
        elif self.request_ended or not is_check(head):
            self._refuse(ErrorReason.NOT_DESCRIBED, at, size)
        else:
            self.check = CheckCall.__new__(CheckCall)
            self.deadline = coarse_monotonic() + self.server.context.snapshot.stream_idle_timeout

    cdef void _take_check(self, bytes data):
        """The next part of the message, which is judged once it is whole."""
        cdef Buffer text = self.server.context.head_text
        cdef ErrorReason problem = ErrorReason.NO_ERROR
        self.server.session.consumed(self.number, len(data))
        if not self.check.take(data):
            problem = ErrorReason.BODY_TOO_LARGE
        elif self.request_ended:
            text.clear()
            problem = self.check.read(text)
            if not problem:
                self._ask(text.data, text.size, False)
        if problem:
            self.check = None
            self._refuse(problem, NULL, 0)

    cdef void _ask(self, const char *at, Py_ssize_t size, bint again):
        """Judge the head that Envoy describes, and begin its exchange. again: it has waited for keys."""
        cdef ProxyContext context = self.server.context
        cdef RequestHead head = context.request_head
        cdef Authorization authorization = context.authorization
        cdef RequestPolicy policy = self.server.listener.policy
        cdef bint trusted = context.snapshot.believes(self.check.client)
        cdef ErrorReason problem = self.authorizer.original.read_text(head, at, size, policy, self.check.https)
        if problem:
            self._refuse(problem, at, size)
            return
        context.snapshot.asked.authorize(head, None, self.peer(), trusted, wall_clock(), authorization)
        if authorization.waits_for >= 0 and not again and self._wait_for_keys(head, authorization.waits_for):
            self.head = at[:size]
            return
        self.head = None
        self.end_told = True
        self.deadline = 0.0
        self.exchange = new_exchange(context, self)
        self.exchange.begin(head, policy, self.peer(), trusted, NULL, 0, True)

    cdef void _send_check(self, Answer answer):
        cdef Session session = self.server.session
        cdef bytes message
        self.responded = self.response_ended = True
        try:
            message = answer_message(self.authorizer.decision(answer), self.authorizer.check, self.server.context.request_head,
                                     None if self.exchange is None else self.exchange.authorization)
        except BaseException as fault:           # no answer: Envoy lets nothing pass
            self.server.context.snapshot.gate.note(fault)
            session.reset(self.number, INTERNAL_ERROR)
            return
        if not session.send_head(self.number, fields_of(ANSWERED), False):
            self.broken = True
            return
        session.send_data(self.number, message, len(message), False)
        session.send_trailers(self.number, [(b"grpc-status", b"0")])
        self.server.flush_soon()
