"""The server of HTTP/1: bytes of one client connection in, one exchange after another. It owns its connection and is its one stream.

Requests are taken strictly in turn: what a pipelining client sent ahead is held, and reading stops past `HELD_INPUT`.
"""

from libc.string cimport memcmp

from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http1._request cimport COMPLETE, HEAD as METHOD_HEAD, NEED_MORE, Parse
from lbjwt.http1._response cimport ResponseHead
from lbjwt.net._clock cimport coarse_monotonic, wall_clock
from lbjwt.proxy._admission cimport Admission
from lbjwt.http1._answer cimport Answer
from lbjwt.proxy._authorization cimport Authorization
from lbjwt.proxy._server_writer cimport BODY, DISCARDING, GONE, HEAD, KEY_WAIT, LINGERING, TUNNELING, WAITING
from lbjwt.proxy._exchange cimport REQUEST_ID_SIZE, new_exchange
from lbjwt.proxy._http2_server_connection cimport serve_http2

cdef enum:
    HELD_INPUT = 65536           # bytes of pipelined requests held before reading stops
    SKIPPED_BODY = 65536         # bytes of a refused request's body read to keep the connection; more is not worth it
    DROPPED_HEAD = 1048576       # bytes dropped after a head that was refused, so that its sender gets the answer; a longer one is an attack

cdef double LINGER = 5.0         # seconds
cdef double LAST_HEAD = 5.0      # seconds for a head while the service drains: those who wait for the end of all requests wait no longer


cdef class ServerConnection(ServerWriter):

    # --- the connection -----------------------------------------------------------------------------------------------

    cdef void _open(self, Connection connection):
        cdef ProxyContext context = self.context
        self.connection = connection
        context.client_opened(self)
        self.phase = HEAD
        self._learn_peer()
        self._set_deadline(self.listener.handshake_timeout)
        if not self.peer_text:
            self.phase = GONE                    # reset before it was accepted: the address is unknown
            connection.reset()
        elif context.clients > context.max_clients:
            self._turn_away()

    cdef void _ready(self):
        if self.phase != HEAD:
            return
        if self.listener.http2 is not None and self.connection.is_http2():
            self._serve_http2()
        else:
            self._set_deadline(self._head_time())

    cdef void _serve_http2(self):
        self.phase = GONE
        self.deadline = 0.0
        serve_http2(self.context, self.listener, self.connection, self.peer_text, self.trusted, self)

    cdef void _turn_away(self):
        """Refuse a client over the limit. A 503 needs a descriptor for a moment: beyond `max_answered`, and under TLS, there is none."""
        if self.context.clients > self.context.max_answered or not self.connection.is_ready():
            self.context.board.mine.errors[<int>ErrorReason.TOO_MANY_CONNECTIONS] += 1
            self.phase = GONE
            self.connection.reset()
        else:
            self._refuse_head(ErrorReason.TOO_MANY_CONNECTIONS, NULL, 0)

    cdef void _lose(self):
        cdef Exchange exchange = self.exchange
        cdef ProxyContext context = self.context
        if self.phase == KEY_WAIT:
            self._abandon_key_wait(ErrorReason.CLIENT_CLOSED)
        self.phase = GONE
        self.deadline = 0.0
        context.client_closed(self)
        if exchange is not None:
            exchange.client_lost()
        self.held = None
        self.last_grant = None

    cdef bint _peer_ended(self, bint clean):
        """True keeps our half open: the client may still wait for its answer."""
        if clean and self.phase == TUNNELING:
            self.exchange.tunnel_ended(True)
            return self.connection.can_half_close()
        if clean and self.context.snapshot.allow_half_close and (self.phase == WAITING or self.phase == KEY_WAIT):
            self.half_closed = True
            self.keep_alive = False
            return self.connection.can_half_close()
        self._client_closed()
        return False

    cdef bint _not_tls(self, const char *at, Py_ssize_t size):
        if at[0] < c"A" or at[0] > c"Z":         # no method
            return False
        self._refuse_head(ErrorReason.HTTP_ON_TLS_PORT, at, size)
        return True

    cdef void _break(self):
        """The client broke TLS, or there is no agreeing with it: the exchange ends too."""
        cdef Exchange exchange = self.exchange
        self.phase = LINGERING
        if exchange is not None:
            exchange.client_lost()
        self._linger()

    cdef void _client_closed(self):
        """The client has gone: end the request at its endpoint now, without waiting until queued bytes are sent."""
        if self.exchange is not None:
            self.phase = GONE
            self.exchange.client_lost()
            self.connection.reset()

    cdef void _abandon_key_wait(self, ErrorReason reason):
        """The connection ends while its request waits for keys."""
        cdef const char *at = NULL if self.held is None else <const char *>self.held
        self._end_key_wait()
        self.record_lost(reason, at, 0 if self.held is None else len(self.held))

    cdef void check_peer(self):
        cdef bint both = self.context.snapshot.allow_half_close or self.phase == TUNNELING
        if self.exchange is not None and self.connection.read_paused and self.connection.has_ended(both):
            self._client_closed()
        elif self.exchange is not None:
            self.exchange.end_if_late()

    cdef void _blocked(self):
        if self.phase != KEY_WAIT:               # backpressure must not extend the key-wait deadline
            self._set_deadline(self.context.snapshot.stream_idle_timeout)
        if self.exchange is not None:
            self.exchange.client_blocked()

    cdef void _unblocked(self):
        if self.phase == WAITING or self.phase == TUNNELING:
            self.deadline = 0.0
        elif self.phase == HEAD:
            self._await_head()
            self.request_wanted()
        if self.exchange is not None:
            self.exchange.client_unblocked()

    # --- requests -----------------------------------------------------------------------------------------------------

    cdef void _receive(self, char *at, Py_ssize_t size):
        cdef bytes data
        if self.held is not None:
            data = self.held + at[:size]
            self.held = None
            at = data
            size = len(data)
        if (self.served == 0 and self.phase == HEAD and self.listener.h2c and self.connection.tls is None and size >= 4
                and memcmp(at, b"PRI ", 4) == 0):
            self._serve_http2()
            self.connection.received(at, size)
        else:
            self._consume(at, size)

    cdef void _consume(self, const char *at, Py_ssize_t size):
        cdef Py_ssize_t used
        self.consuming = True
        while size > 0:
            if self.phase == HEAD and self.connection.write_paused:
                self.connection.pause()             # a client that does not read its responses gets no more
                used = 0
            elif self.phase == HEAD:
                used = self._take_head(at, size)
            elif self.phase == BODY:
                used = self._take_body(at, size)
            elif self.phase == TUNNELING:
                used = self._take_tunnel(at, size)
            elif self.phase == DISCARDING:
                used = self._discard(size)
            elif self.phase == WAITING or self.phase == KEY_WAIT:
                if size > HELD_INPUT:
                    self.connection.pause()
                used = 0
            else:
                used = size
                if self.phase == LINGERING and self.droppable >= 0:
                    self.droppable -= size
                    if self.droppable < 0:
                        self.reset(ErrorReason.NO_ERROR)
            if used == 0:
                break
            at += used
            size -= used
        self.consuming = False
        if size > 0:
            self.held = at[:size]
        elif self.half_closed and self.phase == BODY:
            self.connection.close()                         # it ended its side while it waited for keys: the rest of this body will not come

    cdef Py_ssize_t _take_head(self, const char *at, Py_ssize_t size):
        """Bytes taken; 0 when the head is not whole yet."""
        cdef ProxyContext context = self.context
        cdef RequestHead head = context.request_head
        cdef Admission admission = context.snapshot.admission
        cdef Authorization authorization = context.authorization
        cdef Exchange exchange
        cdef Py_ssize_t part = 0
        cdef Parse parsed = head.parse(at, size, self.seen, self.listener.policy, None if self.last_grant is None else self.last_grant.token)
        if parsed == NEED_MORE:
            self.seen = size
            if not self.head_begun:
                self.head_begun = True
                self._set_deadline(self._head_time())
            return 0
        self.seen = 0
        if parsed != COMPLETE:
            self._refuse_head(head.problem, at, size)
            return size
        if 0 <= context.snapshot.max_request_body < head.content_length:
            self._refuse_head(ErrorReason.BODY_TOO_LARGE, at, size)      # before the token is verified: a 413 says nothing about it
            return size
        if self.listener.health is not None and self.listener.health.is_for(head.target, admission.path):
            return self._answer_health(head)
        if self.listener.authorizer is not None:
            head = self._original(head, at, size)
            if head is None:
                return size
            admission = context.snapshot.asked
        admission.authorize(head, self.last_grant, self.peer(), self.trusted, wall_clock(), authorization)
        if authorization.waits_for >= 0 and not self.authorized_again and self._wait_for_keys(authorization.waits_for):
            return 0
        if authorization.grant is not None and authorization.grant is not self.last_grant:
            self.last_grant = authorization.grant
        self._begin_request(head)
        if self.authorizer is not None:
            self.bodiless = self.authorizer.original.by_head
        if head.content_length > 0:
            part = min(size - head.size, head.content_length)
            self.body_left = head.content_length - part
            self.phase = BODY if self.body_left else WAITING
        elif head.chunked:
            if self.decoder is None:
                self.decoder = ChunkedDecoder.__new__(ChunkedDecoder)
            self.decoder.start(context.snapshot.max_request_body)
            self.body_left = -1
            self.phase = BODY
        else:
            self.phase = WAITING
        if self.phase == BODY:
            self._set_deadline(context.snapshot.stream_idle_timeout)
        else:
            self.deadline = 0.0
        exchange = new_exchange(context, self)
        self.exchange = exchange
        size = head.size + part
        exchange.begin(head, self.listener.policy, self.peer(), self.trusted, at + head.size, part, self.phase == WAITING)
        return size

    cdef RequestHead _original(self, RequestHead question, const char *at, Py_ssize_t size):
        """The head of the request that this one asks about; None: it was refused."""
        cdef RequestHead head
        cdef Slice text
        self.authorizer = self.listener.authorizer
        head = self.authorizer.original.read(question, self.listener.policy, self.peer(), None if self.last_grant is None else self.last_grant.token)
        if not head.problem:
            return head
        self.trusted = head.problem != ErrorReason.UNTRUSTED_PEER
        text = self.authorizer.original.text_of(head, at, size)
        self._refuse_head(head.problem, text.at, text.size)
        return None

    cdef void _begin_request(self, RequestHead head) noexcept:
        cdef ProxyContext context = self.context
        self.head_begun = False
        self.authorized_again = False
        self.served += 1
        self.http10 = head.http10
        self.bodiless = head.method == METHOD_HEAD
        self.expecting = head.expect_continue
        self.keep_alive = (head.keep_alive and not self.half_closed and not self.ends_soon()
                           and (context.snapshot.max_requests == 0 or self.served < <uint64_t>context.snapshot.max_requests))

    cdef Py_ssize_t _answer_health(self, RequestHead head):
        """Answer a health check of a balancer in front; the bytes taken. No token is looked at and no endpoint is asked.

        It is neither counted as a request nor logged: checks every second would bury the traffic of an idle service, and a 503 in a drain would
        raise alarms on the error rate.
        """
        cdef ProxyContext context = self.context
        cdef char request_id[REQUEST_ID_SIZE]
        self._begin_request(head)
        if head.content_length > 0 or head.chunked:
            self.keep_alive = False              # nobody reads the body of a health check
        context.next_request_id(request_id)
        self._send_answer(self.listener.health.answer(head, context.board.ready), Slice(&request_id[0], REQUEST_ID_SIZE), self.keep_alive)
        if self.keep_alive and not self.broken:
            self._await_head()
        else:
            self.droppable = DROPPED_HEAD
            self._linger()
        return head.size

    cdef bint _wait_for_keys(self, Py_ssize_t issuer):
        """Keep the head, as bytes, until keys are there. False: the request does not wait."""
        if not self.context.wait_for_keys(self, issuer):
            return False
        self.phase = KEY_WAIT
        self.waits_for = issuer
        self._set_deadline(self.context.key_wait.max_wait)
        return True

    cdef void _end_key_wait(self):
        if self.phase == KEY_WAIT:
            self.context.key_wait.leave(self, self.waits_for)
            self.phase = HEAD

    cdef void authorize_again(self):
        if self.phase != KEY_WAIT:
            return
        self._end_key_wait()
        self.authorized_again = True
        if self.connection.write_paused:
            self._await_head()
        self.request_wanted()

    cdef void end_if_expired(self, double now):
        if self.exchange is not None:
            self.exchange.end_if_expired(now)

    cdef Py_ssize_t _take_body(self, const char *at, Py_ssize_t size):
        cdef Exchange exchange = self.exchange
        if not exchange.wants_body():
            self.connection.pause()
            return 0
        self._set_deadline(self.context.snapshot.stream_idle_timeout)
        if self.body_left < 0:
            return self._take_chunks(at, size)
        size = min(size, self.body_left)
        self.body_left -= size
        if self.body_left == 0:
            self.phase = WAITING
            self.deadline = 0.0
        exchange.request_body(at, size, self.body_left == 0)
        return size

    cdef Py_ssize_t _take_chunks(self, const char *at, Py_ssize_t size):
        cdef Exchange exchange = self.exchange
        cdef ChunkedDecoder decoder = self.decoder
        cdef Buffer scratch = self.context.out
        cdef Py_ssize_t used
        scratch.clear()
        scratch.put(at, size)
        used = decoder.feed(scratch.data, size)
        if used < 0:
            self.keep_alive = False
            exchange.request_broken(decoder.problem)
            return size
        if decoder.done:
            self.phase = WAITING
            self.deadline = 0.0
        if decoder.body_size or decoder.done:
            exchange.request_body(scratch.data + decoder.body_at, decoder.body_size, decoder.done)
        return used

    cdef Py_ssize_t _discard(self, Py_ssize_t size):
        size = min(size, self.body_left)
        self.body_left -= size
        if self.body_left == 0:
            self._next_request()
        return size

    cdef Py_ssize_t _take_tunnel(self, const char *at, Py_ssize_t size):
        if not self.exchange.wants_body():
            self.connection.pause()
            return 0
        self.exchange.tunnel_up(at, size)
        return size

    cdef void request_wanted(self):
        cdef bytes data = self.held
        self.connection.resume()
        if data is not None and not self.consuming:
            self.held = None
            self._consume(data, len(data))

    # --- responses ----------------------------------------------------------------------------------------------------

    cdef void switch(self, ResponseHead head):
        self.write_switch(head)
        self.phase = TUNNELING
        self.keep_alive = False
        self.deadline = 0.0
        self.request_wanted()

    cdef void answer(self, Answer answer, Slice request_id):
        if self.phase == BODY:
            # The client may or may not send a body it was not asked to continue: there is no telling where its next request begins.
            if self.keep_alive and not self.expecting and 0 <= self.body_left <= SKIPPED_BODY and not self.ends_soon():
                self.phase = DISCARDING
                self.connection.resume()
            else:
                self.keep_alive = False
        if self.ends_soon():
            self.keep_alive = False
        self._send_answer(answer, request_id, self.keep_alive)

    cdef void _refuse_head(self, ErrorReason reason, const char *at, Py_ssize_t size):
        """Answer what never became an exchange, and end the connection: where the next request begins is not known."""
        self.write_refusal(reason, at, size)
        self.droppable = DROPPED_HEAD
        self._linger()

    cdef void released(self):
        self.exchange = None
        if self.phase == WAITING:
            if self.keep_alive and not self.broken:
                self._next_request()
            elif self.held is None and not self.consuming:
                self._end()
            else:
                self._linger()
        elif self.phase == BODY:
            self._linger()
        elif self.phase == TUNNELING:
            self._end()

    cdef void _next_request(self):
        self.phase = HEAD
        self._await_head()
        self.request_wanted()

    cdef void _await_head(self) noexcept:
        """Start the clock of the next request; while answers pile up, that of the client that does not read them."""
        if self.connection.write_paused:
            self._set_deadline(self.context.snapshot.stream_idle_timeout)
        elif self.head_begun:
            self._set_deadline(self._head_time())
        else:
            self._set_deadline(0.0 if self.ends_soon() else self.context.snapshot.keep_alive_timeout)

    cdef double _head_time(self) noexcept:
        """Seconds for a head."""
        return min(self.context.snapshot.head_timeout, LAST_HEAD) if self.ends_soon() else self.context.snapshot.head_timeout

    # --- ends ---------------------------------------------------------------------------------------------------------

    cdef void _end(self):
        """Close once what is queued was sent, or after `stream_idle` if the client does not read it."""
        self.phase = GONE
        self._set_deadline(self.context.snapshot.stream_idle_timeout)
        self.connection.close()

    cdef void _linger(self):
        self.phase = LINGERING
        self.held = None
        self._set_deadline(LINGER)
        self.connection.ignoring = True
        self.connection.resume()
        self.connection.shutdown()

    cdef void expired(self):
        cdef bytes data = self.held
        self.deadline = 0.0
        if not self.connection.is_ready():
            self.connection.reset()
        elif self.phase == KEY_WAIT:
            self.authorize_again()
        elif self.connection.write_paused:
            if self.exchange is not None:
                self.exchange.note(ErrorReason.CLIENT_STALLED)
            self.connection.reset()
        elif self.phase == HEAD and self.head_begun:
            self._refuse_head(ErrorReason.HEAD_TIMEOUT, NULL if data is None else <const char *>data, 0 if data is None else len(data))
        elif self.phase == HEAD:
            self._end()
        elif self.phase == BODY:
            self.keep_alive = False
            self.exchange.request_broken(ErrorReason.BODY_TIMEOUT)
        else:
            self.connection.reset()

    cdef void end(self):
        if self.exchange is not None:
            self.exchange.note(ErrorReason.SHUTDOWN)
        elif self.phase == KEY_WAIT:
            self._abandon_key_wait(ErrorReason.SHUTDOWN)
        self.connection.reset()

    cdef void drain(self, double soon, object listener):
        if listener is not None and listener is not self.listener:
            return
        if self.phase == HEAD and self.connection.write_paused:
            self._end()
        elif self.phase == HEAD and self.head_begun:
            self.deadline = min(self.deadline, coarse_monotonic() + LAST_HEAD)
        elif self.phase == HEAD and self.deadline > soon:
            self.deadline = soon
        elif self.phase == TUNNELING:
            self.exchange.go_away()

    cdef bint takes_requests(self, bint after_answer):
        if not after_answer and (self.phase == WAITING or self.phase == BODY):
            self.keep_alive = False
        return self.phase == HEAD or self.phase == DISCARDING or ((self.phase == WAITING or self.phase == BODY) and self.keep_alive)
