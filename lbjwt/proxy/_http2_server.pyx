"""
The server of HTTP/2: one client connection, many streams, each an exchange of its own.

Frames and their rules are the session's (`http2/_session`). A head becomes one of HTTP/1 (`http2/_fields`) and is then judged as every other. What this
file adds is what many streams on one connection need: input and output are taken in turns of the loop, so that responses which come together leave
together; a response that its client does not take pauses its endpoint and no other stream; a body that its endpoint does not take waits in its stream's
window.
"""

import asyncio

from lbjwt.auth._places cimport fields_owed
from lbjwt.http1._request cimport COMPLETE, HEAD as METHOD_HEAD, Parse, RequestHead
from lbjwt.http2._fields cimport answer_fields, passed_trailers, response_fields, write_request
from lbjwt.http2._session cimport SessionEvents, server_session
from lbjwt.net._clock cimport coarse_monotonic, wall_clock
from lbjwt.net._connection cimport Events
from lbjwt.proxy._admission cimport Admission
from lbjwt.proxy._authorization cimport Authorization
from lbjwt.proxy._exchange cimport REQUEST_ID_SIZE, new_exchange
from lbjwt.proxy._refused_head cimport record_head

cdef enum:
    OUTPUT = 65536               # bytes taken from the session at a time
    HIGH = 65536                 # bytes of one response that wait for the client before its endpoint is paused …
    LOW = 16384                  # … and left of them when it goes on
    # RFC 9113 section 7
    NO_ERROR = 0
    INTERNAL_ERROR = 2
    CANCEL = 8

cdef double LAST = 1.0           # seconds from the announcement that requests end to their end, and for a last GOAWAY to be read


cdef void serve_http2(ProxyContext context, ListenerSettings listener, Connection connection, bytes peer_text, bint trusted, Timed before):
    cdef Http2Server server = Http2Server.__new__(Http2Server)
    server.context = context
    server.listener = listener
    server.connection = connection
    server.peer_text = peer_text
    server.trusted = trusted
    server.streams = {}
    server.blocked = set()
    server.session = server_session(server, &SESSION, listener.http2, listener.policy.allow_websocket)
    context.watched.discard(before)
    context.watched.add(server)
    connection.hand_over(server, &CONNECTION)
    server.deadline = coarse_monotonic() + context.snapshot.head_timeout
    if context.draining or listener.leaving:
        server._end_requests(1)
    server.flush()


cdef class Http2Server(Timed):

    # --- the connection -----------------------------------------------------------------------------------------------

    cdef void _receive(self, char *at, Py_ssize_t size):
        if self.gone:
            return
        self.receiving = True
        self.session.receive(at, size, coarse_monotonic())
        self.receiving = False
        if not self.gone or self.session.over:
            self.flush()

    cdef void flush_soon(self):
        """Send in the next turn of the loop: responses that come in one turn leave together."""
        if self.flushing or self.receiving or self.gone:
            return
        self.flushing = True
        asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self):
        self.flushing = False
        self.flush()

    cdef void flush(self):
        cdef bytes data
        while not self.connection.write_paused:
            data = self.session.output(OUTPUT)
            if not data:
                break
            self.connection.send(data, len(data))
        if self.blocked:
            self._wake_blocked()
        if self._is_done():
            self.gone = True
            self.connection.close()

    cdef void _wake_blocked(self):
        cdef Http2ServerStream stream
        for stream in list(self.blocked):
            if stream.exchange is None:
                if self.session.queued(stream.number) == 0:
                    self.blocked.discard(stream)
                    if not stream.request_ended:
                        self.session.reset(stream.number, NO_ERROR)
                        self.flush_soon()
            elif self.session.queued(stream.number) <= LOW:
                self.blocked.discard(stream)
                stream.deadline = 0.0
                stream.exchange.client_unblocked()

    cdef bint _is_done(self) noexcept:
        """Nothing will come any more, and all was sent."""
        return not self.gone and self.ending == 2 and not self.streams and not self.connection.write_paused

    cdef bint ends_soon(self) noexcept:
        return self.context.draining or self.listener.leaving

    cdef void _rest(self) noexcept:
        """No request is under way: start the clock of the next one."""
        self.deadline = coarse_monotonic() + (LAST if self.ending else self.context.snapshot.keep_alive_timeout)

    cdef void _forget(self, int stream):
        self.streams.pop(stream, None)
        if not self.streams:
            self._rest()

    cdef void _lose(self):
        cdef Http2ServerStream stream
        self.gone = True
        self.deadline = 0.0
        self.context.watched.discard(self)
        self.context.clients -= 1
        self.context.board.mine.connections -= 1
        for stream in list(self.streams.values()):
            stream._lost()
        self.streams.clear()
        self.blocked.clear()
        self.last_grant = None

    cdef void _break_off(self, bint flood):
        """The client broke a rule of the connection, or sent too many frames that cost it nothing: the GOAWAY goes out, then the connection ends."""
        cdef Http2ServerStream stream
        if flood:
            self.context.board.mine.errors[<int>ErrorReason.FLOOD] += 1
        for stream in list(self.streams.values()):
            stream._lost()
        self.streams.clear()
        self.ending = 2
        self.deadline = coarse_monotonic() + LAST

    # --- requests -----------------------------------------------------------------------------------------------------

    cdef void _begin(self, int number, tuple fields, bint end):
        cdef ProxyContext context = self.context
        cdef Http2ServerStream stream = Http2ServerStream.__new__(Http2ServerStream)
        cdef Buffer text = context.head_text
        cdef ErrorReason problem
        cdef bint websocket = False
        stream.server = self
        stream.number = number
        stream.waits_for = -1
        stream.http2 = True
        stream.request_ended = end
        self.streams[number] = stream
        self.served += 1
        self.deadline = 0.0
        if context.snapshot.max_requests != 0 and self.served >= context.snapshot.max_requests and self.ending == 0:
            self._end_requests(1)
        text.clear()
        problem = write_request(text, fields, end, &websocket)
        stream.websocket = websocket
        if problem:
            stream._refuse(problem, text.data, text.size)
            return
        stream._start(text.data, text.size, False)

    # --- ends ---------------------------------------------------------------------------------------------------------

    cdef void _end_requests(self, int stage):
        if self.ending >= stage:
            return
        self.ending = stage
        if stage == 1:
            self.end_at = coarse_monotonic() + LAST
            self.session.announce_end()
        else:
            self.session.end_requests()
        self.flush_soon()

    cdef void expired(self):
        self.deadline = 0.0
        if self.gone or not self.connection.is_ready():
            self.connection.reset()
        elif self.connection.write_paused:
            self.connection.reset()
        elif self.ending < 2:
            self._end_requests(2)
            self.deadline = coarse_monotonic() + LAST
        else:
            self.gone = True
            self.connection.close()

    cdef void check_peer(self):
        cdef Http2ServerStream stream
        cdef double now
        if not self.streams and self.ending != 1:
            return
        now = coarse_monotonic()
        if self.ending == 1 and now >= self.end_at:
            self._end_requests(2)
        for stream in list(self.streams.values()):
            if stream.deadline != 0.0 and now >= stream.deadline:
                stream.expired()
            elif stream.exchange is not None:
                stream.exchange.end_if_late()

    cdef void end_if_expired(self, double now):
        cdef Http2ServerStream stream
        for stream in list(self.streams.values()):
            if stream.exchange is not None:
                stream.exchange.end_if_expired(now)

    cdef void drain(self, double soon, object listener):
        cdef Http2ServerStream stream
        if listener is not None and listener is not self.listener:
            return
        self._end_requests(1)
        if not self.streams and (self.deadline == 0.0 or self.deadline > soon):
            self.deadline = soon
        for stream in list(self.streams.values()):
            if stream.tunneling:
                stream.exchange.go_away()

    cdef bint takes_requests(self, bint after_answer):
        if not after_answer and self.ends_soon():
            self._end_requests(2)
        return self.ending < 2 and not self.gone

    cdef void end(self):
        cdef Http2ServerStream stream
        for stream in list(self.streams.values()):
            if stream.exchange is not None:
                stream.exchange.note(ErrorReason.SHUTDOWN)
        self.connection.reset()


cdef class Http2ServerStream(ClientStream):

    # --- request ------------------------------------------------------------------------------------------------------

    cdef void _start(self, const char *at, Py_ssize_t size, bint again):
        """Judge the head, and begin its exchange. again: it has waited for keys."""
        cdef Http2Server server = self.server
        cdef ProxyContext context = server.context
        cdef RequestHead head = context.request_head
        cdef Admission admission = context.snapshot.admission
        cdef Authorization authorization = context.authorization
        cdef ListenerSettings listener = server.listener
        cdef Grant hint = server.last_grant
        cdef Parse parsed = head.parse(at, size, 0, listener.policy, None if hint is None else hint.token)
        cdef Exchange exchange
        if parsed != COMPLETE or head.size != size:
            self._refuse(head.problem if head.problem else ErrorReason.GRAMMAR, at, size)
            return
        self.bodiless = head.method == METHOD_HEAD
        if self.websocket and not head.websocket:
            self._refuse(ErrorReason.METHOD_NOT_ALLOWED, at, size)
            return
        if head.content_length > 0 and self.request_ended:
            self._refuse(ErrorReason.CONTENT_LENGTH, at, size)
            return
        if 0 <= context.snapshot.max_request_body < head.content_length:
            self._refuse(ErrorReason.BODY_TOO_LARGE, at, size)
            return
        if listener.health is not None and listener.health.is_for(head.target, admission.path):
            self._answer_health(listener.health.answer(head, context.board.ready))
            return
        admission.authorize(head, hint, self.peer(), server.trusted, wall_clock(), authorization)
        if authorization.waits_for >= 0 and not again and self._wait_for_keys(authorization.waits_for):
            self.head = at[:size]
            return
        if authorization.grant is not None and authorization.grant is not hint:
            server.last_grant = authorization.grant
        self.head = None
        exchange = new_exchange(context, self)
        self.exchange = exchange
        self.deadline = 0.0 if self.request_ended or self.websocket else coarse_monotonic() + context.snapshot.stream_idle_timeout
        self.end_told = self.request_ended or self.websocket
        exchange.begin(head, listener.policy, self.peer(), server.trusted, NULL, 0, self.end_told)
        if self.held is not None and self.exchange is exchange:
            self.request_wanted()

    cdef bint _wait_for_keys(self, Py_ssize_t issuer):
        cdef ProxyContext context = self.server.context
        try:
            if not context.key_wait.enter(self, issuer):
                return False
        except Exception as fault:               # the request does not wait, its token is refused
            context.snapshot.gate.note(fault)
            return False
        self.waits_for = issuer
        self.deadline = coarse_monotonic() + context.key_wait.max_wait
        return True

    cdef void _end_key_wait(self):
        if self.waits_for >= 0:
            self.server.context.key_wait.leave(self, self.waits_for)
            self.waits_for = -1

    cdef void authorize_again(self):
        cdef bytes head = self.head
        if self.waits_for < 0:
            return
        self._end_key_wait()
        self.deadline = 0.0
        self._start(head, len(head), True)
        self.server.flush_soon()

    cdef void take_data(self, bytes data, bint end):
        """Of the body, or of a tunnel. end: nothing more comes."""
        cdef Exchange exchange = self.exchange
        cdef Py_ssize_t size = len(data)
        self.request_ended = self.request_ended or end
        if exchange is None and self.waits_for < 0:
            self.server.session.consumed(self.number, size)      # answered already
            return
        self.body += size
        if exchange is not None and not self.tunneling and 0 <= self.server.context.snapshot.max_request_body < self.body:
            self.server.session.consumed(self.number, size)
            exchange.request_broken(ErrorReason.BODY_TOO_LARGE)
            return
        if exchange is None or self.held is not None or not exchange.wants_body():
            if self.held is None:
                self.held = []
            if size:
                self.held.append(data)
            return
        self._pass_on(data, self.request_ended)

    cdef void _pass_on(self, bytes data, bint end):
        cdef Exchange exchange = self.exchange
        cdef Py_ssize_t size = len(data)
        if self.tunneling:
            if size:
                exchange.tunnel_up(data, size)
            if end and self.exchange is exchange:
                self.end_told = True
                exchange.tunnel_ended(True)
        else:
            if end:
                self.end_told = True
                self.deadline = 0.0
            else:
                self.deadline = coarse_monotonic() + self.server.context.snapshot.stream_idle_timeout
            if end and self.trailers:
                if size:
                    exchange.request_body(data, size, False)
                if self.exchange is exchange:
                    exchange.request_trailers(self.trailers)
            else:
                exchange.request_body(data, size, end)
        self.server.session.consumed(self.number, size)
        self.server.flush_soon()

    cdef void request_wanted(self):
        cdef list held = self.held
        cdef bytes data
        if held is None or self.exchange is None or (self.websocket and not self.tunneling):
            return
        while held and self.exchange is not None and self.exchange.wants_body():
            data = <bytes>held.pop(0)
            self._pass_on(data, self.request_ended and not held)
        if not held:
            self.held = None
            if self.request_ended and not self.end_told and self.exchange is not None:
                self._pass_on(b"", True)

    # --- response -----------------------------------------------------------------------------------------------------

    cdef Slice peer(self):
        return Slice(<const char *>self.server.peer_text, len(self.server.peer_text))

    cdef list _fields(self, ResponseHead head):
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
        cdef Http2Server server = self.server
        if size == 0:
            server.session.end(self.number)
        elif not server.session.send_data(self.number, at, size, end):
            self.broken = True
        self.response_ended = self.response_ended or end
        server.flush_soon()
        if not end and self not in server.blocked and server.session.queued(self.number) > HIGH:
            server.blocked.add(self)
            self.deadline = coarse_monotonic() + server.context.snapshot.stream_idle_timeout
            self.exchange.client_blocked()

    cdef void answer(self, Answer answer, Slice request_id):
        self._send_answer(answer, request_id)

    cdef void _send_answer(self, Answer answer, Slice request_id):
        cdef Session session = self.server.session
        cdef bytes body = b"" if self.bodiless else answer.body
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
        cdef Answer answer = context.answer(reason, False)
        context.next_request_id(request_id)
        context.board.mine.bad_requests += 1
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
                self.held = []
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
        self.response_ended = True
        self.server.session.reset(self.number, CANCEL if reason == ErrorReason.TOKEN_ENDED or reason == ErrorReason.NO_ERROR else INTERNAL_ERROR)
        self.server.flush_soon()

    cdef void released(self):
        self.exchange = None
        self.server.blocked.discard(self)
        self._finish()

    cdef void _finish(self):
        """Nothing more is done for this request. A client that has not sent all of it is told not to (RFC 9113 section 8.1)."""
        cdef int size
        self.deadline = 0.0
        self.head = None
        if self.held is not None:
            for data in self.held:
                self.server.session.consumed(self.number, len(data))
            self.held = None
        if not self.response_ended:
            self.response_ended = True
            self.server.session.reset(self.number, INTERNAL_ERROR)
        elif not self.request_ended:
            self.server.blocked.add(self)
        self.server.flush_soon()

    cdef void _lost(self):
        """The client took the stream back, or its connection is gone."""
        cdef Exchange exchange = self.exchange
        cdef bytes head = self.head
        self.broken = not self.response_ended
        self.request_ended = self.response_ended = True
        if self.waits_for >= 0:
            self._end_key_wait()
            self._record_lost(head)
        if exchange is not None:
            exchange.client_lost()

    cdef void _record_lost(self, bytes head):
        cdef ProxyContext context = self.server.context
        cdef char request_id[REQUEST_ID_SIZE]
        context.next_request_id(request_id)
        record_head(context, self.server.listener, self.peer(), self.server.trusted, ErrorReason.CLIENT_CLOSED, head, len(head),
                    Slice(&request_id[0], REQUEST_ID_SIZE), 0, 0, True)

    cdef void expired(self):
        self.deadline = 0.0
        if self.waits_for >= 0:
            self.authorize_again()
        elif self.exchange is None:
            return
        elif self in self.server.blocked:
            self.exchange.note(ErrorReason.CLIENT_STALLED)
            self.server.session.reset(self.number, CANCEL)
            self._lost()
            self.server.flush_soon()
        elif not self.end_told:
            self.exchange.request_broken(ErrorReason.BODY_TIMEOUT)


# --- what the session reports -----------------------------------------------------------------------------------------

cdef void _on_request(object server, int stream, tuple fields, bint end):
    (<Http2Server>server)._begin(stream, fields, end)


cdef void _on_data(object server, int number, bytes data, bint end):
    cdef Http2ServerStream stream = (<Http2Server>server).streams.get(number)
    if stream is None:
        (<Http2Server>server).session.consumed(number, len(data))
    else:
        stream.take_data(data, end)


cdef void _on_trailers(object server, int number, tuple fields):
    cdef Http2ServerStream stream = (<Http2Server>server).streams.get(number)
    cdef list passed = passed_trailers(fields)
    if stream is None:
        return
    if passed is None and stream.exchange is not None:
        stream.request_ended = True
        stream.exchange.request_broken(ErrorReason.TRAILER)
        return
    stream.trailers = passed
    stream.take_data(b"", True)


cdef void _on_closed(object server, int number, unsigned code):
    cdef Http2ServerStream stream = (<Http2Server>server).streams.get(number)
    if stream is not None:
        stream._lost()
        (<Http2Server>server)._forget(number)


cdef void _on_response(object server, int stream, tuple fields, bint end):
    pass


cdef void _on_interim(object server, int stream, tuple fields):
    pass


cdef void _on_going_away(object server, int last, unsigned code):
    (<Http2Server>server)._end_requests(2)


cdef void _on_broken(object server, bint flood):
    cdef Http2Server self = <Http2Server>server
    self._break_off(flood)


cdef SessionEvents SESSION = SessionEvents(
    _on_request, _on_response, _on_interim, _on_data, _on_trailers, _on_closed, _on_going_away, _on_broken)


# --- what the connection reports ---------------------------------------------------------------------------------------

cdef void _on_opened(object server, Connection connection):
    pass


cdef void _on_ready(object server):
    pass


cdef void _on_received(object server, char *at, Py_ssize_t size):
    (<Http2Server>server)._receive(at, size)


cdef bint _on_ended(object server, bint clean) except? -1:
    return False


cdef void _on_blocked(object server):
    cdef Http2Server self = <Http2Server>server
    self.deadline = coarse_monotonic() + self.context.snapshot.stream_idle_timeout


cdef void _on_unblocked(object server):
    cdef Http2Server self = <Http2Server>server
    self.deadline = 0.0
    if not self.streams:
        self._rest()
    self.flush()


cdef bint _on_not_tls(object server, const char *at, Py_ssize_t size) except? -1:
    return False


cdef void _on_tls_broken(object server):
    (<Http2Server>server).connection.reset()


cdef void _on_lost(object server, bint clean):
    (<Http2Server>server)._lose()


cdef Events CONNECTION = Events(_on_opened, _on_ready, _on_received, _on_ended, _on_blocked, _on_unblocked, _on_not_tls, _on_tls_broken, _on_lost)
