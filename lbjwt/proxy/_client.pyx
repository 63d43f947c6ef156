"""The client side of HTTP/1: bytes of one client connection in, one exchange after another.

Knows where a request begins and ends, and when the connection may be used for the next one. Knows nothing of tokens or endpoints.
Requests are taken strictly in turn: what a pipelining client sent ahead is held, and reading stops past `HELD_INPUT`.
"""

from lbjwt._error_reason cimport ErrorReason
from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http1._request cimport COMPLETE, HEAD as METHOD_HEAD, NEED_MORE, Parse, RequestHead
from lbjwt.http1._response cimport ResponseHead
from lbjwt.net._wire cimport coarse_monotonic, wall_clock
from lbjwt.proxy._admission cimport Admission
from lbjwt.http1._answer cimport Answer
from lbjwt.proxy._client_writer cimport BODY, DISCARDING, GONE, HEAD, LINGERING, PARKED, TUNNELING, WAITING
from lbjwt.proxy._exchange cimport REQUEST_ID_SIZE, new_exchange
from lbjwt.proxy._listener_settings cimport ListenerSettings

cdef enum:
    HELD_INPUT = 65536           # bytes of pipelined requests held before reading stops
    SKIPPED_BODY = 65536         # bytes of a refused request's body read to keep the connection; more is not worth it
    DROPPED_HEAD = 1048576       # bytes dropped after a head that was refused, so that its sender gets the answer; a longer one is an attack

cdef double LINGER = 5.0         # seconds


cdef class ClientSide(ClientWriter):

    def __init__(self, Traffic traffic not None, ListenerSettings listener not None):
        self.traffic = traffic
        self.listener = listener
        self.phase = GONE
        self.droppable = -1

    # --- asyncio ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport):
        cdef Traffic traffic = self.traffic
        self.attach(transport)
        traffic.wires.add(self)
        traffic.clients += 1
        traffic.board.mine.connections += 1
        traffic.board.mine.connections_total += 1
        self.phase = HEAD
        self._learn_peer(transport)
        self._set_deadline(traffic.snapshot.head_timeout)
        if not self.peer_text:
            self.phase = GONE                    # reset before it was accepted: nobody could tell whose request this was
            self.reset()
        elif traffic.clients > traffic.max_clients:
            self.turn_away()

    def connection_lost(self, exc):
        cdef Exchange exchange = self.exchange
        cdef Traffic traffic = self.traffic
        if self.phase == PARKED:
            self._abandon_parked(ErrorReason.CLIENT_CLOSED)
        self.phase = GONE
        traffic.wires.discard(self)
        traffic.clients -= 1
        traffic.board.mine.connections -= 1
        if exchange is not None:
            exchange.downstream_lost()
        self.held = None
        self.last_grant = None
        self.detach()

    def data_received(self, bytes data):
        if self.held is not None:
            data = self.held + data
            self.held = None
        self._consume(data)

    def eof_received(self):
        """True keeps our half open: the client may still wait for its answer."""
        if self.phase == TUNNELING:
            self.exchange.tunnel_ended(True)
            return self.can_half_close()
        if self.traffic.snapshot.allow_half_close and (self.phase == WAITING or self.phase == PARKED):
            self.half_closed = True
            self.keep_alive = False
            return self.can_half_close()
        self._client_closed()
        return False

    cdef void _client_closed(self):
        """Nobody waits for the response any more: end the request at its endpoint now, not when what is queued for the client was sent."""
        if self.exchange is not None:
            self.phase = GONE
            self.exchange.downstream_lost()
            self.reset()

    cdef void _abandon_parked(self, ErrorReason reason):
        """The connection ends while its request waits for keys."""
        cdef const char *at = NULL if self.held is None else <const char *>self.held
        self._unpark()
        self.record_lost(reason, at, 0 if self.held is None else len(self.held))

    cdef void check_peer(self):
        if self.exchange is not None and self.has_ended(self.traffic.snapshot.allow_half_close or self.phase == TUNNELING):
            self._client_closed()

    def pause_writing(self):
        self.write_paused = True
        if self.phase != PARKED:                 # backpressure must not extend the key-wait deadline
            self._set_deadline(self.traffic.snapshot.stream_idle_timeout)
        if self.exchange is not None and self.exchange.upstream is not None:
            self.exchange.upstream.pause()

    def resume_writing(self):
        self.write_paused = False
        if self.phase == WAITING or self.phase == TUNNELING:
            self.deadline = 0.0
        elif self.phase == HEAD:
            self._await_head()
            self.request_wanted()
        if self.exchange is not None and self.exchange.upstream is not None:
            self.exchange.upstream.resume()

    cdef void turn_away(self):
        """There is no room for another client. A 503 takes a descriptor for a moment, so beyond `max_answered` there is none."""
        if self.traffic.clients > self.traffic.max_answered:
            self.traffic.board.mine.errors[<int>ErrorReason.TOO_MANY_CONNECTIONS] += 1
            self.phase = GONE
            self.reset()
        else:
            self._refuse_head(ErrorReason.TOO_MANY_CONNECTIONS, NULL, 0)

    # --- requests -----------------------------------------------------------------------------------------------------

    cdef void _consume(self, bytes data):
        cdef const char *at = data
        cdef Py_ssize_t size = len(data)
        cdef Py_ssize_t used
        self.consuming = True
        while size > 0:
            if self.phase == HEAD and self.write_paused:
                self.pause()             # who reads no answers gets no further ones
                used = 0
            elif self.phase == HEAD:
                used = self._take_head(at, size)
            elif self.phase == BODY:
                used = self._take_body(at, size)
            elif self.phase == TUNNELING:
                used = self._take_tunnel(at, size)
            elif self.phase == DISCARDING:
                used = self._discard(size)
            elif self.phase == WAITING or self.phase == PARKED:
                if size > HELD_INPUT:
                    self.pause()
                used = 0
            else:
                used = size
                if self.phase == LINGERING and self.droppable >= 0:
                    self.droppable -= size
                    if self.droppable < 0:
                        self.cut()
            if used == 0:
                break
            at += used
            size -= used
        self.consuming = False
        if size > 0:
            self.held = data if size == len(data) else at[:size]
        elif self.half_closed and self.phase == BODY:
            self.close()                         # it ended its side while it waited for keys: the rest of this body will not come

    cdef Py_ssize_t _take_head(self, const char *at, Py_ssize_t size):
        """Bytes taken; 0 when the head is not whole yet."""
        cdef Traffic traffic = self.traffic
        cdef RequestHead head = traffic.request_head
        cdef Admission admission = traffic.snapshot.admission
        cdef Exchange exchange
        cdef Py_ssize_t part = 0
        cdef Parse parsed = head.parse(at, size, self.seen, self.listener.policy, None if self.last_grant is None else self.last_grant.token)
        if parsed == NEED_MORE:
            self.seen = size
            if not self.head_begun:
                self.head_begun = True
                self._set_deadline(traffic.snapshot.head_timeout)
            return 0
        self.seen = 0
        if parsed != COMPLETE:
            self._refuse_head(head.problem, at, size)
            return size
        if 0 <= traffic.snapshot.max_request_body < head.content_length:
            self._refuse_head(ErrorReason.BODY_TOO_LARGE, at, size)      # before its token is looked at: who is told 413 has tried none
            return size
        if self.listener.health is not None and self.listener.health.is_for(head.target, admission.path):
            return self._answer_health(head)
        admission.judge(head, self.last_grant, self.peer(), self.trusted, wall_clock())
        if admission.waits_for >= 0 and not self.judged_again and self._park(admission.waits_for):
            return 0
        self._begin_request(head)
        if head.content_length > 0:
            part = min(size - head.size, head.content_length)
            self.body_left = head.content_length - part
            self.phase = BODY if self.body_left else WAITING
        elif head.chunked:
            if self.decoder is None:
                self.decoder = ChunkedDecoder.__new__(ChunkedDecoder)
            self.decoder.start(traffic.snapshot.max_request_body)
            self.body_left = -1
            self.phase = BODY
        else:
            self.phase = WAITING
        if self.phase == BODY:
            self._set_deadline(traffic.snapshot.stream_idle_timeout)
        else:
            self.deadline = 0.0
        exchange = new_exchange(traffic, self)
        self.exchange = exchange
        size = head.size + part
        exchange.begin(head, self.listener.policy, admission, self.peer(), self.trusted, at + head.size, part, self.phase == WAITING)
        return size

    cdef void _begin_request(self, RequestHead head) noexcept:
        cdef Traffic traffic = self.traffic
        self.head_begun = False
        self.judged_again = False
        self.served += 1
        self.http10 = head.http10
        self.bodiless = head.method == METHOD_HEAD
        self.expecting = head.expect_continue
        self.keep_alive = (head.keep_alive and not self.half_closed and not self.ends_soon()
                           and (traffic.snapshot.max_requests == 0 or self.served < <uint64_t>traffic.snapshot.max_requests))

    cdef Py_ssize_t _answer_health(self, RequestHead head):
        """Answer a health check of a balancer in front; the bytes taken. No token is looked at and no endpoint is asked.

        It is neither counted as a request nor logged: checks every second would bury the traffic of an idle service, and a 503 in a drain would
        raise alarms on the error rate.
        """
        cdef Traffic traffic = self.traffic
        cdef char request_id[REQUEST_ID_SIZE]
        self._begin_request(head)
        if head.content_length > 0 or head.chunked:
            self.keep_alive = False              # nobody reads the body of a health check
        traffic.next_request_id(request_id)
        self._send_answer(self.listener.health.answer(head, traffic.board.ready), Slice(&request_id[0], REQUEST_ID_SIZE), self.keep_alive)
        if self.keep_alive and not self.broken:
            self._await_head()
        else:
            self.droppable = DROPPED_HEAD
            self._linger()
        return head.size

    cdef bint _park(self, Py_ssize_t issuer):
        """Keep the head, as bytes, until keys are there. False: there is nothing to wait for."""
        try:
            if not self.traffic.waiting.enter(self, issuer):
                return False
        except Exception as fault:               # nobody waits, and the token is refused
            self.traffic.snapshot.gate.note(fault)
            return False
        self.phase = PARKED
        self.parked_for = issuer
        self._set_deadline(self.traffic.waiting.patience)
        return True

    cdef void _unpark(self):
        if self.phase == PARKED:
            self.traffic.waiting.leave(self, self.parked_for)
            self.phase = HEAD

    cdef void judge_again(self):
        if self.phase != PARKED:
            return
        self._unpark()
        self.judged_again = True
        if self.write_paused:
            self._await_head()
        self.request_wanted()

    cdef void outlive(self, double now):
        if self.exchange is not None:
            self.exchange.outlive(now)

    cdef Py_ssize_t _take_body(self, const char *at, Py_ssize_t size):
        cdef Exchange exchange = self.exchange
        if not exchange.wants_body():
            self.pause()
            return 0
        self._set_deadline(self.traffic.snapshot.stream_idle_timeout)
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
        cdef Buffer scratch = self.traffic.out
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
            self.pause()
            return 0
        self.exchange.tunnel_up(at, size)
        return size

    cdef void request_wanted(self):
        cdef bytes data = self.held
        self.resume()
        if data is not None and not self.consuming:
            self.held = None
            self._consume(data)

    # --- responses ----------------------------------------------------------------------------------------------------

    cdef void switch(self, ResponseHead head):
        cdef bytes data = self.held
        self.write_switch(head)
        self.phase = TUNNELING
        self.keep_alive = False
        self.deadline = 0.0
        self.held = None
        self.resume()
        if data is not None:
            self._consume(data)

    cdef void answer(self, Answer answer, Slice request_id):
        if self.phase == BODY:
            # The client may or may not send a body it was not asked to continue: there is no telling where its next request begins.
            if self.keep_alive and not self.expecting and 0 <= self.body_left <= SKIPPED_BODY and not self.ends_soon():
                self.phase = DISCARDING
                self.resume()
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

    cdef void cut(self):
        self.keep_alive = False
        self.phase = GONE
        self.reset()

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
        cdef bytes data = self.held
        self.phase = HEAD
        self._await_head()
        self.resume()
        if data is not None and not self.consuming:
            self.held = None
            self._consume(data)

    cdef void _await_head(self) noexcept:
        """Start the clock of the next request; while answers pile up, that of the client that does not read them."""
        if self.write_paused:
            self._set_deadline(self.traffic.snapshot.stream_idle_timeout)
        elif self.head_begun:
            self._set_deadline(self.traffic.snapshot.head_timeout)
        else:
            self._set_deadline(0.0 if self.ends_soon() else self.traffic.snapshot.keep_alive_timeout)

    # --- ends ---------------------------------------------------------------------------------------------------------

    cdef void _end(self):
        """Close once what is queued was sent; a client that does not read it is waited for as long as any other."""
        self.phase = GONE
        self._set_deadline(self.traffic.snapshot.stream_idle_timeout)
        self.close()

    cdef void _linger(self):
        self.phase = LINGERING
        self.held = None
        self._set_deadline(LINGER)
        self.resume()
        self.shutdown()

    cdef void _set_deadline(self, double seconds) noexcept:
        self.deadline = coarse_monotonic() + seconds

    cdef void expired(self):
        cdef bytes data = self.held
        self.deadline = 0.0
        if self.phase == PARKED:
            self.judge_again()
        elif self.write_paused:
            if self.exchange is not None:
                self.exchange.note(ErrorReason.CLIENT_STALLED)
            self.reset()
        elif self.phase == HEAD and self.head_begun:
            self._refuse_head(ErrorReason.HEAD_TIMEOUT, <const char *>data if data is not None else NULL, len(data) if data is not None else 0)
        elif self.phase == HEAD:
            self._end()
        elif self.phase == BODY:
            self.keep_alive = False
            self.exchange.request_broken(ErrorReason.BODY_TIMEOUT)
        else:
            self.reset()

    cdef void end(self):
        if self.exchange is not None:
            self.exchange.note(ErrorReason.SHUTDOWN)
        elif self.phase == PARKED:
            self._abandon_parked(ErrorReason.SHUTDOWN)
        self.reset()

    cdef void drain(self, double soon, object listener):
        if listener is not None and listener is not self.listener:
            return
        if self.phase == HEAD and self.write_paused:
            self._end()
        elif self.phase == HEAD and not self.head_begun and self.deadline > soon:
            self.deadline = soon
