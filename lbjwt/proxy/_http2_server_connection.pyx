"""
The server of HTTP/2 on one client connection: many streams (`_http2_server`), each an exchange of its own.

Frames and their rules are the session's (`http2/_session`). What this file adds is what many streams on one connection need: output is sent in turns
of the loop, so that responses which come together leave together; input is not read while the client does not read; and the connection ends in steps
that lose no request.
"""

import asyncio

from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http2._fields cimport write_request
from lbjwt.http2._response_fields cimport passed_trailers
from lbjwt.http2._session cimport SessionEvents, server_session
from lbjwt.net._clock cimport coarse_monotonic
from lbjwt.net._connection cimport FAILED, Events
from lbjwt.proxy._exchange cimport REQUEST_ID_SIZE
from lbjwt.proxy._http2_server cimport Http2ServerStream
from lbjwt.proxy._refused_head cimport record_head

cdef enum:
    DROPPED = 1048576            # bytes dropped of a client that was told to go; one that sends more is cut off

cdef double LAST = 1.0           # seconds from the announcement that requests end to their end
cdef double LINGER = 0.5         # seconds for the last frames to be read


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
    server.settings_until = coarse_monotonic() + listener.http2.settings_timeout
    context.watched.discard(before)
    context.watched.add(server)
    connection.hand_over(server, &CONNECTION)
    server._rest()
    server._await_head()
    if context.draining or listener.leaving:
        server._end_requests(ANNOUNCED)
    server.flush()


cdef class Http2Server(Http2Streams):

    # --- input and output ---------------------------------------------------------------------------------------------

    cdef void _receive(self, char *at, Py_ssize_t size):
        if self.gone:
            self.dropped += size
            if self.dropped > DROPPED:
                self.connection.reset()
            return
        self.receiving = True
        try:
            self.session.receive(at, size, coarse_monotonic())
        finally:
            self.receiving = False
        self.flush()
        if not self.streams and not self.gone:
            self._await_head()
        if self.connection.write_paused:
            self.connection.pause()              # a client that does not read gets no more

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
        cdef Slice data
        cdef Http2ServerStream stream
        if self.gone:
            return
        while not self.connection.write_paused:
            data = self.session.output()
            if data.size == 0:
                if self.blocked:
                    for stream in list(self.blocked):
                        stream.taken()
                break
            if self.connection.send(data.at, data.size) == FAILED:
                # While nothing is read from the client, the loop does not notice an RST: nobody else would end this.
                self.connection.reset()
                return
        self._close_if_done()

    cdef void _close_if_done(self):
        """Nothing will come any more, and all was sent: say so, and wait for the client to close. Closing with unread input would destroy output."""
        if self.ending == LAST_ONES and not self.streams and not self.connection.write_paused:
            self.gone = True
            self.deadline = coarse_monotonic() + LINGER
            self.given_up_at = coarse_monotonic() + self.context.snapshot.stream_idle_timeout
            self.connection.shutdown()

    # --- the time of an idle client -----------------------------------------------------------------------------------

    cdef void _rest(self) noexcept:
        """No request is under way: start the clock of the next one."""
        self.head_begun = False
        self.rest_until = coarse_monotonic() + (LAST if self.ending else self.context.snapshot.keep_alive_timeout)
        if not self.connection.write_paused:
            self.deadline = self.rest_until

    cdef void _await_head(self) noexcept:
        """A frame that has begun has to end within `timeouts.request_head`. What is no request moves no clock."""
        cdef bint begun = self.session.is_inside()
        if begun == self.head_begun or self.connection.write_paused:
            return
        self.head_begun = begun
        self.deadline = min(self.rest_until, coarse_monotonic() + self.context.snapshot.head_timeout) if begun else self.rest_until

    cdef void _forget(self, int stream):
        self.streams.pop(stream, None)
        if not self.streams:
            self._rest()

    # --- requests -----------------------------------------------------------------------------------------------------

    cdef void _begin(self, int number, FieldList fields, bint end):
        cdef ProxyContext context = self.context
        cdef Http2ServerStream stream = Http2ServerStream.__new__(Http2ServerStream)
        cdef Buffer text = context.head_text
        cdef ErrorReason problem
        cdef bint websocket = False
        stream.server = self
        stream.number = number
        stream.waits_for = -1
        stream.http2 = True
        stream.content_length = -1
        stream.request_ended = end
        self.streams[number] = stream
        self.served += 1
        context.board.mine.http2_requests += 1
        if not self.connection.write_paused:
            self.deadline = 0.0
        if context.snapshot.max_requests != 0 and self.served >= context.snapshot.max_requests and self.ending == OPEN:
            self._end_requests(ANNOUNCED)
        text.clear()
        problem = write_request(text, fields, end, &websocket)
        stream.websocket = websocket
        if problem:
            stream._refuse(problem, text.data, text.size)
            return
        stream._start(text.data, text.size, False)

    # --- ends ---------------------------------------------------------------------------------------------------------

    cdef void _count_malformed(self):
        """A head that the engine has refused: nothing of it is known."""
        cdef ProxyContext context = self.context
        cdef char request_id[REQUEST_ID_SIZE]
        context.next_request_id(request_id)
        context.board.mine.bad_requests += 1
        record_head(context, self.listener, Slice(<const char *>self.peer_text, len(self.peer_text)), self.trusted, ErrorReason.GRAMMAR, NULL, 0,
                    Slice(&request_id[0], REQUEST_ID_SIZE), 0, 0, True)

    cdef void _end_requests(self, Ending stage):
        if self.ending >= stage:
            return
        self.ending = stage
        if stage == ANNOUNCED:
            self.end_at = coarse_monotonic() + LAST
            self.session.announce_end()
        else:
            self.session.end_requests()
        self.flush_soon()

    cdef bint _peer_ended(self, bint clean):
        """True keeps our half open: the client may still wait for its responses."""
        if self.gone or not self.streams:
            return False
        if clean and self.context.snapshot.allow_half_close:
            self._end_requests(LAST_ONES)
            return self.connection.can_half_close()
        self._lose_streams(ErrorReason.CLIENT_CLOSED)
        self.gone = True
        self.connection.reset()
        return False

    cdef void _lose_streams(self, ErrorReason reason):
        cdef Http2ServerStream stream
        for stream in list(self.streams.values()):
            stream.lost(reason)
        self.streams.clear()
        self.blocked.clear()

    cdef void _lose(self):
        self.gone = True
        self.deadline = 0.0
        self.context.client_closed(self)
        self._lose_streams(ErrorReason.CLIENT_CLOSED)
        self.last_grant = None
        self.session.release()

    cdef void _break_off(self, bint flood):
        """The client broke a rule of the connection, or sent too much that costs it nothing: the GOAWAY goes out, then the connection ends."""
        if flood:
            self.context.board.mine.errors[<int>ErrorReason.FLOOD] += 1
            self.context.flood_log.tell(self.peer_text.decode(), coarse_monotonic())
        self._lose_streams(ErrorReason.CLIENT_CLOSED)
        self.ending = LAST_ONES
        asyncio.get_running_loop().call_later(LINGER, self._cut_off)     # the walk over the deadlines may be a second away

    def _cut_off(self):
        self.connection.reset()

    cdef void expired(self):
        self.deadline = 0.0
        if not self.connection.is_ready() or self.connection.write_paused:
            self._lose_streams(ErrorReason.CLIENT_STALLED)
            self.connection.reset()
        elif self.gone and not self.connection.drained() and coarse_monotonic() < self.given_up_at:
            self.deadline = coarse_monotonic() + LINGER
        elif self.gone and not self.connection.drained():
            self.connection.reset()
        elif self.gone:
            self.connection.close()
        else:
            self._end_requests(LAST_ONES)
            self.deadline = coarse_monotonic() + LINGER

    cdef void check_peer(self):
        cdef Http2ServerStream stream
        cdef double now
        if self.settings_until != 0.0 and self._is_without_settings():
            return
        if not self.streams and self.ending != ANNOUNCED:
            return
        now = coarse_monotonic()
        if self.ending == ANNOUNCED and now >= self.end_at:
            self._end_requests(LAST_ONES)
        if self.connection.read_paused and self.connection.has_ended(self.context.snapshot.allow_half_close):
            self._lose_streams(ErrorReason.CLIENT_CLOSED)
            self.gone = True
            self.connection.reset()
            return
        for stream in list(self.streams.values()):
            if stream.deadline != 0.0 and now >= stream.deadline:
                stream.expired()
            elif stream.unread_until != 0.0 and now >= stream.unread_until:
                stream.stalled()
            elif stream.exchange is not None:
                stream.exchange.end_if_late()

    cdef bint _is_without_settings(self):
        """The client did not acknowledge our SETTINGS in time: it would go on to open streams that have to be refused. It is told why, and goes."""
        if self.session.acknowledged or self.gone:
            self.settings_until = 0.0
        elif coarse_monotonic() >= self.settings_until:
            self.settings_until = 0.0
            self._lose_streams(ErrorReason.CLIENT_STALLED)
            self.session.give_up_settings()
            self.flush()
            return True
        return False

    cdef void end_if_expired(self, double now):
        cdef Http2ServerStream stream
        for stream in list(self.streams.values()):
            if stream.exchange is not None:
                stream.exchange.end_if_expired(now)

    cdef void drain(self, double soon, object listener):
        cdef Http2ServerStream stream
        if (listener is not None and listener is not self.listener) or self.gone:
            return
        self._end_requests(ANNOUNCED)
        if not self.streams and (self.deadline == 0.0 or self.deadline > soon):
            self.deadline = self.rest_until = soon
        for stream in list(self.streams.values()):
            if stream.tunneling and stream.exchange is not None:
                stream.exchange.go_away()

    cdef bint takes_requests(self, bint after_answer):
        if not after_answer and (self.context.draining or self.listener.leaving):
            self._end_requests(LAST_ONES)
        return self.ending < LAST_ONES and not self.gone

    cdef void end(self):
        self._lose_streams(ErrorReason.SHUTDOWN)
        self.connection.reset()


# --- what the session reports -----------------------------------------------------------------------------------------

cdef void _on_request(object server, int stream, FieldList fields, bint end):
    (<Http2Server>server)._begin(stream, fields, end)


cdef void _on_data(object server, int number, const char *at, Py_ssize_t size, bint end):
    cdef Http2ServerStream stream = (<Http2Server>server).streams.get(number)
    if stream is None:
        (<Http2Server>server).session.consumed(number, size)
    else:
        stream.take_data(at, size, end)


cdef void _on_trailers(object server, int number, FieldList fields):
    cdef Http2ServerStream stream = (<Http2Server>server).streams.get(number)
    if stream is None:
        return
    if passed_trailers(fields) is None:
        stream.break_off(ErrorReason.TRAILER)
    else:
        # They are dropped, as over HTTP/1: a server that merges them with the head would take them for what lbjwt says of the request.
        stream.take_data(NULL, 0, True)


cdef void _on_closed(object server, int number, unsigned code):
    cdef Http2Server self = <Http2Server>server
    cdef Http2ServerStream stream = self.streams.get(number)
    if stream is not None:
        stream.lost(ErrorReason.GRAMMAR if self.session.malformed else ErrorReason.CLIENT_CLOSED)
        self._forget(number)
    elif self.session.malformed:
        self._count_malformed()


cdef void _on_response(object server, int stream, FieldList fields, bint end):
    pass


cdef void _on_interim(object server, int stream, FieldList fields):
    pass


cdef void _on_going_away(object server, int last, unsigned code):
    (<Http2Server>server)._end_requests(LAST_ONES)


cdef void _on_settings(object server):
    pass


cdef void _on_broken(object server, bint flood):
    (<Http2Server>server)._break_off(flood)


cdef void _on_faulted(object server, int number, object fault):
    cdef Http2Server self = <Http2Server>server
    cdef Http2ServerStream stream = self.streams.get(number)
    self.context.snapshot.gate.note(fault)
    if stream is not None:
        stream.fail()
    elif number == 0:
        self.connection.reset()


cdef SessionEvents SESSION = SessionEvents(
    _on_request, _on_response, _on_interim, _on_data, _on_trailers, _on_closed, _on_going_away, _on_broken, _on_settings, _on_faulted)


# --- what the connection reports ---------------------------------------------------------------------------------------

cdef void _on_opened(object server, Connection connection):
    pass


cdef void _on_ready(object server):
    pass


cdef void _on_received(object server, char *at, Py_ssize_t size):
    (<Http2Server>server)._receive(at, size)


cdef bint _on_ended(object server, bint clean) except? -1:
    return (<Http2Server>server)._peer_ended(clean)


cdef void _on_blocked(object server):
    cdef Http2Server self = <Http2Server>server
    self.deadline = coarse_monotonic() + self.context.snapshot.stream_idle_timeout


cdef void _on_unblocked(object server):
    cdef Http2Server self = <Http2Server>server
    self.connection.resume()
    self.deadline = 0.0
    if not self.streams:
        self._rest()
    self.flush()


cdef bint _on_not_tls(object server, const char *at, Py_ssize_t size) except? -1:
    return False


cdef void _on_tls_broken(object server):
    (<Http2Server>server)._lose_streams(ErrorReason.CLIENT_CLOSED)
    (<Http2Server>server).connection.reset()


cdef void _on_lost(object server, bint clean):
    (<Http2Server>server)._lose()


cdef Events CONNECTION = Events(_on_opened, _on_ready, _on_received, _on_ended, _on_blocked, _on_unblocked, _on_not_tls, _on_tls_broken, _on_lost)
