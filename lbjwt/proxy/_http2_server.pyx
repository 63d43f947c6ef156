"""
One request of an HTTP/2 client and its response: a stream. Its connection is in `_http2_server_connection`.

A head becomes one of HTTP/1 (`http2/_fields`) and is then judged as every other. A body that its endpoint does not take waits in its stream's window;
a response that its client does not take pauses its endpoint, and no other stream.
"""

from lbjwt._grants cimport Grant
from lbjwt.auth._callers cimport Caller, caller_of
from lbjwt.auth._places cimport fields_owed
from lbjwt.http1._remains cimport read_remains
from lbjwt.http1._request cimport COMPLETE, HEAD as METHOD_HEAD, POST, Parse
from lbjwt.http2._response_fields cimport answer_fields, response_fields
from lbjwt.http2._session cimport Session
from lbjwt.net._clock cimport coarse_monotonic, wall_clock
from lbjwt.proxy._admission cimport Admission
from lbjwt.proxy._authorization cimport Authorization
from lbjwt.proxy._context cimport ProxyContext
from lbjwt.proxy._exchange cimport REQUEST_ID_SIZE, Exchange, new_exchange
from lbjwt.proxy._grpc_call cimport count_status, new_grpc_call
from lbjwt.proxy._http2_streams cimport Http2Streams
from lbjwt.proxy._listener_settings cimport ListenerSettings
from lbjwt.proxy._original cimport CHECK
from lbjwt.proxy._refused_head cimport record_head, record_lost_head, refuse_head

cdef enum:
    HIGH = 65536                 # bytes of one response that wait for the client before its endpoint is paused …
    LOW = 16384                  # … and left of them when it goes on
    ALL_HIGH = 1048576           # of all responses of a connection together: past it, each endpoint is paused at LOW
    # RFC 9113 section 7
    NO_ERROR = 0
    INTERNAL_ERROR = 2
    CANCEL = 8


cdef class Http2ServerStream(CheckedStream):

    # --- request ------------------------------------------------------------------------------------------------------

    cdef void _start(self, const char *at, Py_ssize_t size, bint again):
        """Judge the head, and begin its exchange. again: it has waited for keys."""
        cdef Http2Streams server = self.server
        cdef ProxyContext context = server.context
        cdef RequestHead head = context.request_head
        cdef Admission admission = context.snapshot.admission
        cdef Authorization authorization = context.authorization
        cdef ListenerSettings listener = server.listener
        cdef Grant hint = server.last_grant
        cdef Parse parsed = head.parse(at, size, 0, listener.policy, None if hint is None else hint.token)
        cdef Exchange exchange
        if self.problem:
            self._refuse(self.problem, at, size)
            return
        if parsed != COMPLETE or head.size != size:
            self._refuse(head.problem if head.problem else ErrorReason.GRAMMAR, at, size)
            return
        self.bodiless = head.method == METHOD_HEAD
        if self.websocket and not head.websocket:
            self._refuse(ErrorReason.METHOD_NOT_ALLOWED, at, size)
            return
        self.content_length = -1 if self.websocket else head.content_length
        if head.content_length > 0 and self.request_ended and self.held is None:
            self._refuse(ErrorReason.CONTENT_LENGTH, at, size)
            return
        if 0 <= context.snapshot.max_request_body < head.content_length:
            self._refuse(ErrorReason.BODY_TOO_LARGE, at, size)
            return
        if listener.health is not None and listener.health.is_for(head.target, admission.path):
            self._answer_health(listener.health.answer(head, context.board.ready))
            return
        if listener.authorizer is not None and listener.authorizer.original.description == CHECK:
            self._begin_check(head, at, size)
            return
        if listener.authorizer is not None:
            head = self._original(head, at, size)
            if head is None:
                return
            admission = context.snapshot.asked
        admission.authorize(head, hint, self.peer(), server.trusted, wall_clock(), authorization)
        if authorization.waits_for >= 0 and not again and self._wait_for_keys(head, authorization.waits_for):
            self.head = at[:size]
            return
        if authorization.grant is not None and authorization.grant is not hint:
            server.last_grant = authorization.grant
        self.head = None
        exchange = new_exchange(context, self)
        self.exchange = exchange
        self.end_told = self.websocket or (self.request_ended and self.held is None)
        if head.method == POST and self.authorizer is None:
            exchange.call = new_grpc_call(head, self.came_at if again else coarse_monotonic())
        self.deadline = 0.0 if self.request_ended or self.websocket else coarse_monotonic() + context.snapshot.stream_idle_timeout
        exchange.begin(head, listener.policy, self.peer(), server.trusted, NULL, 0, self.end_told)
        if self.held is not None and self.exchange is exchange:
            self.request_wanted()

    cdef void authorize_again(self):
        cdef bytes head = self.head
        if self.waits_for < 0:
            return
        self._end_key_wait()
        self.deadline = 0.0
        if self.check is None:
            self._start(head, len(head), True)
        else:
            self._ask(head, len(head), True)
        self.server.flush_soon()

    cdef RequestHead _original(self, RequestHead question, const char *at, Py_ssize_t size):
        """The head of the request that this one asks about; None: it was refused."""
        cdef Http2Streams server = self.server
        cdef RequestHead head
        cdef Slice text
        cdef bint trusted = server.trusted
        self.authorizer = server.listener.authorizer
        if self.websocket:
            self._refuse(ErrorReason.METHOD_NOT_ALLOWED, at, size)
            return None
        head = self.authorizer.original.read(
            question, server.listener.policy, self.peer(), None if server.last_grant is None else server.last_grant.token)
        if not head.problem:
            return head
        server.trusted = head.problem != ErrorReason.UNTRUSTED_PEER
        text = self.authorizer.original.text_of(head, at, size)
        self._refuse(head.problem, text.at, text.size)
        server.trusted = trusted
        return None

    cdef void take_data(self, const char *at, Py_ssize_t size, bint end):
        """Of the body, or of a tunnel. end: nothing more comes."""
        cdef Exchange exchange = self.exchange
        self.request_ended = self.request_ended or end
        if self.check is not None and self.check.message is not None:
            self._take_check(at[:size])
            return
        if exchange is None and self.waits_for < 0:
            self.server.session.consumed(self.number, size)      # answered already
            return
        # What comes behind an extended CONNECT is of the tunnel: before the endpoint agreed it would read it as the next request.
        if exchange is None or self.held is not None or (self.websocket and not self.tunneling) or not exchange.wants_body():
            if self.held is None:
                self.held = bytearray()
            self.held += at[:size]
            return
        self._pass_on(at, size, self.request_ended)

    cdef void break_off(self, ErrorReason reason):
        """What comes of the request is malformed."""
        self.request_ended = True
        if self.exchange is not None:
            self.exchange.request_broken(reason)
        elif self.waits_for >= 0:
            self.problem = reason
        elif self.check is not None and self.check.message is not None:
            self.check = None
            self._refuse(reason, NULL, 0)

    cdef void _pass_on(self, const char *at, Py_ssize_t size, bint end):
        cdef Exchange exchange = self.exchange
        cdef ErrorReason problem
        self.passing = True
        if self.tunneling:
            if size:
                exchange.tunnel_up(at, size)
            if end and self.exchange is exchange:
                self.end_told = True
                exchange.tunnel_ended(True)
        else:
            problem = self._check_body(size, end)
            if problem:
                exchange.request_broken(problem)
            else:
                exchange.request_body(at, size, end)
        self.passing = False
        self.server.session.consumed(self.number, size)
        self.server.flush_soon()

    cdef ErrorReason _check_body(self, Py_ssize_t size, bint end) noexcept:
        """The next bytes of the body: are they what the head has said, and not too many? The engine compares the length too."""
        cdef int64_t most = self.server.context.snapshot.max_request_body
        self.body += size
        self.end_told = end
        self.deadline = 0.0 if end else coarse_monotonic() + self.server.context.snapshot.stream_idle_timeout
        if 0 <= most < self.body:
            return ErrorReason.BODY_TOO_LARGE
        if self.content_length >= 0 and (self.body > self.content_length or (end and self.body < self.content_length)):
            return ErrorReason.CONTENT_LENGTH
        return ErrorReason.NO_ERROR

    cdef void request_wanted(self):
        cdef bytes data
        if (self.held is None or self.passing or self.exchange is None or (self.websocket and not self.tunneling)
                or not self.exchange.wants_body()):
            return
        data = bytes(self.held)
        self.held = None
        if data or (self.request_ended and not self.end_told):
            self._pass_on(data, len(data), self.request_ended)

    # --- response -----------------------------------------------------------------------------------------------------

    cdef Slice peer(self):
        if self.check is not None and self.check.client is not None:
            return Slice(<const char *>self.check.client, len(self.check.client))
        return Slice(<const char *>self.server.peer_text, len(self.server.peer_text))

    cdef FieldsOut _fields(self, ResponseHead head):
        cdef Exchange exchange = self.exchange
        cdef Py_ssize_t owed
        cdef const char *extra = fields_owed(head, exchange.subprotocol_answer, exchange.token_in_query, &owed)
        cdef bytes line = None
        if exchange.cluster.looks_at is not None:
            line = exchange.cluster.response_line(exchange, exchange.endpoint, self.server.listener.policy.https)
            if line is not None:
                line = extra[:owed] + line
                extra = line
                owed = len(line)
        return response_fields(head, exchange._identifier(), self.server.context.date, extra, owed)

    cdef void interim(self, ResponseHead head):
        self.server.session.send_interim(self.number, response_fields(head, Slice(NULL, 0), b"", NULL, 0))
        self.server.flush_soon()

    cdef void respond(self, ResponseHead head, const char *body, Py_ssize_t size, bint end):
        self.responded = True
        if not self.server.session.send_head(self.number, self._fields(head), end and size == 0):
            self.broken = True
        if end and size == 0:
            self.response_ended = True
            self.server.flush_soon()
        elif size:
            self._send_data(body, size, end)
        else:
            self.server.flush_soon()

    cdef void respond_trailers(self, list fields):
        self.response_ended = True
        if not fields or not self.server.session.send_trailers(self.number, fields):
            self.server.session.end(self.number)
        self.server.flush_soon()

    cdef void respond_body(self, const char *body, Py_ssize_t size, bint end):
        if size or end:
            self._send_data(body, size, end)

    cdef void _send_data(self, const char *at, Py_ssize_t size, bint end):
        cdef Http2Streams server = self.server
        cdef Py_ssize_t queued
        if size == 0:
            server.session.end(self.number)
        elif not server.session.send_data(self.number, at, size, end):
            self.broken = True
        self.response_ended = self.response_ended or end
        server.flush_soon()
        if end:
            return
        if self.deadline != 0.0:                 # the stream is not idle
            self.deadline = coarse_monotonic() + server.context.snapshot.stream_idle_timeout
        if self not in server.blocked:
            queued = server.session.queued(self.number)
            if queued > HIGH or (queued > LOW and server.session.all_queued() > ALL_HIGH):
                self._await_client()
                self.exchange.client_blocked()

    cdef void _await_client(self):
        self.server.blocked.add(self)
        self.unread_until = coarse_monotonic() + self.server.context.snapshot.stream_idle_timeout

    cdef void taken(self):
        cdef Session session = self.server.session
        cdef Py_ssize_t queued = session.queued(self.number)
        if queued > (0 if self.exchange is None else LOW):
            return
        self.server.blocked.discard(self)
        self.unread_until = 0.0
        if self.exchange is not None:
            self.exchange.client_unblocked()
        elif not self.request_ended:             # all was said: the rest of the request is not wanted (RFC 9113 section 8.1)
            self.request_ended = True
            session.reset(self.number, NO_ERROR)
            self.server.flush_soon()

    cdef void answer(self, Answer answer, Slice request_id):
        self._send_answer(answer, request_id)

    cdef void _send_answer(self, Answer answer, Slice request_id):
        cdef Session session = self.server.session
        cdef bytes body = b"" if self.bodiless else answer.body
        if self.check is not None:
            self._send_check(answer)
            return
        self.responded = self.response_ended = True
        if not session.send_head(self.number, answer_fields(answer, self.server.context.date, request_id), not body):
            self.broken = True
        elif body:
            session.send_data(self.number, body, len(body), True)
        self.server.flush_soon()

    cdef void _refuse(self, ErrorReason reason, const char *at, Py_ssize_t size):
        """Answer what never became an exchange."""
        cdef ProxyContext context = self.server.context
        cdef char request_id[REQUEST_ID_SIZE]
        cdef Answer answer
        read_remains(context.request_head, at, size, self.server.listener.policy)
        answer = refuse_head(context, self.server.listener, reason, caller_of(context.request_head), request_id)
        if answer.grpc_status >= 0:
            count_status(context.board, answer.grpc_status)
        self._send_answer(answer, Slice(&request_id[0], REQUEST_ID_SIZE))
        record_head(context, self.server.listener, self.peer(), self.server.trusted, reason, at, size, Slice(&request_id[0], REQUEST_ID_SIZE),
                    answer.status, len(answer.body), True)
        self._finish()

    cdef void _answer_health(self, Answer answer):
        cdef char request_id[REQUEST_ID_SIZE]
        self.server.context.next_request_id(request_id)
        self._send_answer(answer, Slice(&request_id[0], REQUEST_ID_SIZE))
        self._finish()

    # --- tunnel -------------------------------------------------------------------------------------------------------

    cdef void switch(self, ResponseHead head):
        self.responded = True
        self.tunneling = True
        self.end_told = False
        if not self.server.session.send_head(self.number, self._fields(head), False):
            self.broken = True
        self.server.flush_soon()
        if self.held is not None or self.request_ended:
            if self.held is None:
                self.held = bytearray()
            self.request_wanted()

    cdef void send(self, const char *data, Py_ssize_t size):
        self._send_data(data, size, False)

    cdef void shutdown(self):
        if not self.response_ended:
            self.response_ended = True
            self.server.session.end(self.number)
            self.server.flush_soon()

    cdef void close(self):
        self.shutdown()

    # --- ends ---------------------------------------------------------------------------------------------------------

    cdef void reset(self, ErrorReason reason):
        if self._end_with_status(reason):
            return
        self.response_ended = True
        self.server.session.reset(self.number, CANCEL if reason == ErrorReason.TOKEN_ENDED or reason == ErrorReason.NO_ERROR else INTERNAL_ERROR)
        self.server.flush_soon()

    cdef bint _end_with_status(self, ErrorReason reason):
        """End the response to a gRPC call with trailers that say why. A client that does not read would not get to them."""
        cdef Exchange exchange = self.exchange
        if (exchange is None or exchange._caller() != Caller.GRPC or not self.responded or self.response_ended or self.tunneling
                or self in self.server.blocked):
            return False
        trailers = self.server.context.grpc_trailers(reason, exchange.authorization.route.expose_reason)
        exchange.call.ours = int(<bytes>trailers[0][1])
        self.respond_trailers(trailers)
        return True

    cdef void released(self):
        self.exchange = None
        self.server.blocked.discard(self)
        self.unread_until = 0.0
        self._finish()

    cdef void _finish(self):
        """Nothing more is done for this request. What is queued of its response still goes to the client, which has a time for taking it."""
        self.deadline = 0.0
        self.head = None
        if self.held is not None:
            self.server.session.consumed(self.number, len(self.held))
            self.held = None
        if not self.response_ended:
            self.response_ended = True
            self.server.session.reset(self.number, INTERNAL_ERROR)
        elif not self.request_ended or self.server.session.queued(self.number) > 0:
            self._await_client()
        self.server.flush_soon()

    cdef void lost(self, ErrorReason reason):
        cdef Exchange exchange = self.exchange
        cdef bytes head = self.head
        self.broken = not self.response_ended
        self.request_ended = self.response_ended = True
        self.unread_until = 0.0
        self.server.blocked.discard(self)
        if self.waits_for >= 0:
            self._end_key_wait()
            self._record_lost(reason, head)
            self._finish()
        if exchange is not None:
            exchange.note(reason)
            exchange.client_lost()

    cdef void fail(self):
        if self.exchange is not None:
            self.exchange.end_by_fault()
        else:
            self._end_key_wait()
            self._finish()

    cdef void _record_lost(self, ErrorReason reason, bytes head):
        record_lost_head(self.server.context, self.server.listener, self.peer(), self.server.trusted, reason, head, len(head), True)

    cdef void expired(self):
        self.deadline = 0.0
        if self.waits_for >= 0:
            self.authorize_again()
        elif self.check is not None and self.check.message is not None:
            self.check = None
            self._refuse(ErrorReason.BODY_TIMEOUT, NULL, 0)
        elif self.exchange is not None and not self.end_told:
            self.exchange.request_broken(ErrorReason.BODY_TIMEOUT)

    cdef void stalled(self):
        self.server.session.reset(self.number, CANCEL)
        self.lost(ErrorReason.CLIENT_STALLED)
        self.server.flush_soon()
