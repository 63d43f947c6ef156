"""
The client of HTTP/2: one connection to an endpoint that carries many requests at a time.

The pool knows streams, not connections. A connection with room for another request has one stream in the pool, idle or, while it is being opened,
unclaimed; when a request takes that one, the connection offers the next.

A response becomes one of HTTP/1 (`http2/_fields`), and is judged by the rules of all responses.
"""

import asyncio

from lbjwt.http1._buffer cimport Buffer
from lbjwt.http1._request cimport COMPLETE
from lbjwt.http2._fields cimport passed_trailers, request_fields, write_response
from lbjwt.http2._session cimport Limits, SessionEvents, client_session
from lbjwt.net._clock cimport coarse_monotonic
from lbjwt.net._connection cimport Events, QUEUED, FAILED, Sent, WHOLE, buffered_connection
from lbjwt.net._tls cimport TlsPeer
from lbjwt.upstream._request cimport UpstreamRequest

cdef enum:
    OUTPUT = 65536               # bytes taken from the session at a time
    HIGH = 65536                 # bytes of one request that wait for the endpoint before its client is held back
    MAX_INTERIMS = 8             # 1xx responses before the final one
    STREAMS = 100                # at a time on one connection, unless the endpoint allows fewer
    # RFC 9113 section 7
    PROTOCOL_ERROR = 1
    REFUSED_STREAM = 7
    CANCEL = 8

cdef Limits LIMITS = Limits(max_streams=STREAMS, window=1 << 18, max_fields=1000, max_field_bytes=1 << 20, max_resets=10000, max_control_frames=10000)


cdef void adopt_http2(ProxyContext context, Endpoint endpoint, Connection connection, UpstreamRequest request, Timed before):
    cdef Http2Client client = Http2Client.__new__(Http2Client)
    cdef Http2ClientStream stream
    client.context = context
    client.endpoint = endpoint
    client.connection = connection
    client.phase = CONNECTING
    client.streams = {}
    client.waiting = {}
    client.counted = True
    connection.hand_over(client, &CONNECTION)
    context.watched.discard(before)
    context.watched.add(client)
    if request is not None:
        stream = client.new_stream()
        stream.request = request
        (<Exchange>request).backend = stream
        stream.taken()
    client._ready()


cdef class Http2Client(Timed):

    def __init__(self, ProxyContext context not None, Endpoint endpoint not None):
        """A connection that begins to be opened: the loop is given `protocol`, or `connect_failed` is called."""
        self.context = context
        self.endpoint = endpoint
        self.phase = CONNECTING
        self.streams = {}
        self.waiting = {}
        self.deadline = coarse_monotonic() + endpoint.connect_timeout
        self.counted = True
        endpoint.pool.add()

    def first_stream(self):
        """For the request that the connection is opened for."""
        cdef Http2ClientStream stream = self.new_stream()
        stream.taken()
        return stream

    cdef Http2ClientStream new_stream(self):
        cdef Http2ClientStream stream = Http2ClientStream.__new__(Http2ClientStream)
        stream.client = self
        stream.endpoint = self.endpoint
        stream.number = -1
        return stream

    def protocol(self):
        """What the loop is to tell of the connection, once it is made."""
        cdef TlsPeer peer = self.endpoint.tls
        return buffered_connection(self, &CONNECTION, self.context.receive, None if peer is None else peer.connect())

    # --- the connection -----------------------------------------------------------------------------------------------

    cdef void _open(self, Connection connection):
        self.connection = connection
        self.context.watched.add(self)

    cdef void _ready(self):
        cdef Http2ClientStream stream
        cdef Exchange exchange
        if self.connection.tls is not None and not self.connection.is_http2():
            self.connect_failed("cannot be reached: it does not offer HTTP/2 during the TLS handshake (ALPN)")
            return
        self.session = client_session(self, &SESSION, LIMITS)
        self.phase = OPEN
        self.deadline = 0.0
        self.endpoint.counters.connects += 1
        self.withdraw()
        for stream in list(self.waiting):
            del self.waiting[stream]
            self.endpoint.pool.settle(stream)
            exchange = <Exchange>stream.request
            if stream.trial:                     # a connection alone says too little: a request tries the endpoint
                stream.trial = False
                if exchange is None:
                    self.endpoint.end_trial()
                else:
                    exchange.trial = True
            if exchange is None:
                self.ended(stream)
            else:
                exchange.connected()
        self.offer()
        self.flush()
        if self.active == 0:
            self.deadline = coarse_monotonic() + self.endpoint.idle_timeout

    def connect_failed(self, str cause, bint ours=False):
        """ours: for a reason of this machine, which says nothing about the endpoint."""
        cdef bint trial = False
        cdef Http2ClientStream stream
        cdef Exchange exchange
        cdef list waiting = list(self.waiting)
        if self.phase != CONNECTING:
            # Made and given up at the same moment: uvloop closes such a connection and tells nobody, asyncio tells a second time.
            self.connection.connection_lost(TimeoutError())
            return
        self.phase = GONE
        self.deadline = 0.0
        self.withdraw()
        self.waiting.clear()
        for stream in waiting:
            exchange = <Exchange>stream.request
            trial = (exchange is not None and exchange.take_trial()) or stream.trial or trial
        if not ours:
            self.endpoint.unreachable(cause, trial, coarse_monotonic())
        elif trial:
            self.endpoint.end_trial()
        self._give_up_room()
        if self.connection is not None:
            self.context.watched.discard(self)
            self.connection.reset()
        for stream in waiting:
            self.endpoint.pool.settle(stream)
            exchange = <Exchange>stream.request
            if exchange is not None:
                exchange.connect_failed()

    cdef void _lose(self):
        cdef Http2ClientStream stream
        if self.phase == CONNECTING:
            self.connect_failed("cannot be reached: the connection ended during the TLS handshake")
            return
        self.phase = GONE
        self.deadline = 0.0
        self.context.watched.discard(self)
        self.withdraw()
        self._give_up_room()
        for stream in list(self.streams.values()):
            stream._closed(CANCEL)
        self.streams.clear()
        if self.session is not None:
            self.session.release()

    cdef void _broken(self):
        """The endpoint broke TLS, or there is no agreeing with it."""
        cdef str cause = "the TLS handshake failed: " + self.connection.tls.fault
        if self.phase == CONNECTING:
            self.connect_failed(cause)
            return
        if not self.connection.tls.heard:
            self.endpoint.unreachable(cause, False, coarse_monotonic())
        self.connection.reset()

    cdef void _receive(self, char *at, Py_ssize_t size):
        if self.session is None or self.phase == GONE:
            return
        self.receiving = True
        self.session.receive(at, size, coarse_monotonic())
        self.receiving = False
        self.offer()
        self.flush()

    cdef void flush_soon(self):
        if self.flushing or self.receiving or self.phase == GONE:
            return
        self.flushing = True
        asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self):
        self.flushing = False
        if self.phase != GONE:
            self.flush()

    cdef void flush(self):
        cdef bytes data
        while self.session is not None and not self.connection.write_paused:
            data = self.session.output(OUTPUT)
            if not data:
                break
            self.connection.send(data, len(data))

    cdef void _unblocked(self):
        cdef Http2ClientStream stream
        self.flush()
        for stream in list(self.streams.values()):
            if stream.request is not None:
                (<Exchange>stream.request).backend_unblocked()

    # --- streams ------------------------------------------------------------------------------------------------------

    cdef bint has_room(self) noexcept:
        return self.phase <= OPEN and self.active < STREAMS and not self.endpoint.pool.leaving

    cdef void offer(self):
        """Have one stream in the pool while there is room for another request."""
        cdef Http2ClientStream stream
        cdef Exchange exchange
        while self.offered is None and self.has_room():
            if self.phase == OPEN and not self.session.can_open():
                return
            stream = self.new_stream()
            if self.phase == CONNECTING:
                self.offered = stream
                self.endpoint.pool.abandon(stream)
                return
            exchange = <Exchange>self.endpoint.pool.next_request(stream)
            if exchange is None:
                if self.endpoint.pool.may_keep():
                    self.offered = stream
                    self.endpoint.pool.keep(stream)
                elif self.active == 0:
                    self.leave()
                return
            stream.taken()
            exchange.use(stream)

    cdef void withdraw(self):
        cdef Http2ClientStream stream = self.offered
        if stream is not None:
            self.offered = None
            self.endpoint.pool.settle(stream)
            self.endpoint.pool.leave(stream)

    cdef void ended(self, Http2ClientStream stream):
        """A stream carries its request no longer."""
        self.active -= 1
        self.streams.pop(stream.number, None)
        self.waiting.pop(stream, None)
        self.offer()
        if self.active == 0 and self.phase == OPEN:
            self.deadline = coarse_monotonic() + self.endpoint.idle_timeout
        self._close_if_done()

    cdef void leave(self):
        """No stream begins any more."""
        if self.phase == OPEN:
            self.phase = LEAVING
            self.withdraw()
            self._give_up_room()
            self._close_if_done()

    cdef void _close_if_done(self):
        if self.phase == LEAVING and self.active == 0:
            self.phase = GONE
            self.session.terminate(0)
            self.flush()
            self.connection.close()

    cdef void _give_up_room(self):
        if self.counted:
            self.counted = False
            self.endpoint.pool.forget()

    # --- clocks -------------------------------------------------------------------------------------------------------

    cdef void expired(self):
        self.deadline = 0.0
        if self.phase == CONNECTING:
            self.connect_failed(f"cannot be reached: no TLS session within {self.endpoint.connect_timeout:g} s")
        elif self.active == 0:
            self.leave()

    cdef void check_peer(self):
        cdef Http2ClientStream stream
        cdef double now
        if not self.streams:
            return
        now = coarse_monotonic()
        for stream in list(self.streams.values()):
            if stream.deadline != 0.0 and now >= stream.deadline:
                stream.expired()

    cdef void end(self):
        if self.phase == OPEN and self.active == 0:
            self.leave()
        elif self.connection is not None:
            self.connection.reset()


cdef class Http2ClientStream(BackendStream):

    cdef void taken(self):
        cdef Http2Client client = self.client
        client.active += 1
        if client.offered is self:
            client.offered = None
        if client.phase == CONNECTING:
            client.waiting[self] = None
        else:
            client.deadline = 0.0
        client.offer()

    cdef bint is_reusable(self):
        cdef Http2Client client = self.client
        if client.phase != OPEN or client.session.over or client.connection.is_closing():
            return False
        # Unread input may be a ping, or the end.
        return client.active > 0 or not client.connection.has_input() or not client.connection.has_ended(False)

    # --- request ------------------------------------------------------------------------------------------------------

    cdef Sent transmit(self, UpstreamRequest request):
        cdef Http2Client client = self.client
        cdef Exchange exchange = <Exchange>request
        cdef Py_ssize_t body_at, size
        cdef list fields
        cdef const char *data = exchange.request.data
        if client.phase != OPEN:
            return FAILED
        self.request = exchange
        fields = request_fields(data, exchange.request.size, self.endpoint.tls is not None, exchange.websocket, &body_at)
        size = exchange.request.size - body_at
        self.number = client.session.send_request(fields, exchange.request_complete and size == 0 and not exchange.websocket)
        if self.number < 0:
            client.leave()
            return FAILED
        self.key = b"-" if exchange.websocket else None
        client.streams[self.number] = self
        self.used = client.used
        client.used = True
        self.sent = exchange.request_complete and not exchange.websocket
        if size:
            client.session.send_data(self.number, data + body_at, size, self.sent)
        self.deadline = coarse_monotonic() + self._time_for_head(exchange)
        client.flush_soon()
        return QUEUED

    cdef double _time_for_head(self, Exchange exchange) noexcept:
        """Seconds until the next part of the request, or the response head, has to come."""
        if not exchange.request_complete:
            return exchange.snapshot.stream_idle_timeout
        return exchange.retry.try_timeout if exchange.retry.try_timeout >= 0.0 else self.endpoint.response_timeout

    cdef void request_body(self, const char *body, Py_ssize_t size, bint end):
        cdef Exchange exchange = <Exchange>self.request
        if not self.begun:
            self.deadline = coarse_monotonic() + self._time_for_head(exchange)
        self.sent = self.sent or end
        if size:
            self.client.session.send_data(self.number, body, size, end)
        elif end:
            self.client.session.end(self.number)
        self.client.flush_soon()

    cdef void request_trailers(self, list fields):
        self.sent = True
        if not self.begun:
            self.deadline = coarse_monotonic() + self._time_for_head(<Exchange>self.request)
        if not fields or not self.client.session.send_trailers(self.number, fields):
            self.client.session.end(self.number)
        self.client.flush_soon()

    cdef bint wants_body(self) noexcept:
        return self.number < 0 or self.client.session.queued(self.number) < HIGH

    cdef Sent send(self, const char *data, Py_ssize_t size):
        if self.number < 0 or not self.client.session.send_data(self.number, data, size, False):
            return FAILED
        self.client.flush_soon()
        return QUEUED

    cdef void shutdown(self):
        if not self.sent:
            self.sent = True
            self.client.session.end(self.number)
            self.client.flush_soon()

    # --- response -----------------------------------------------------------------------------------------------------

    cdef bint _parse(self, tuple fields, bint end, ResponseHead head):
        cdef Exchange exchange = <Exchange>self.request
        cdef Buffer text = self.client.context.head_text
        text.clear()
        if not write_response(text, fields, end, self.key):
            exchange.backend_failed(ErrorReason.RESPONSE_GRAMMAR)
            return False
        if head.parse(text.data, text.size, 0, exchange.method, exchange.websocket, exchange.snapshot.max_response_head,
                      exchange.snapshot.max_response_fields) != COMPLETE or head.size != text.size:
            exchange.backend_failed(head.problem if head.problem else ErrorReason.RESPONSE_GRAMMAR)
            return False
        return True

    cdef void _interim(self, tuple fields):
        cdef Exchange exchange = <Exchange>self.request
        cdef ResponseHead head = self.client.context.response_head
        self.interims += 1
        if self.interims > MAX_INTERIMS:
            exchange.backend_failed(ErrorReason.RESPONSE_TOO_MANY_INTERIMS)
        elif self._parse(fields, True, head):
            exchange.interim(head)

    cdef void _respond(self, tuple fields, bint end):
        cdef Exchange exchange = <Exchange>self.request
        cdef ResponseHead head = self.client.context.response_head
        if not self._parse(fields, end, head):
            return
        self.begun = True
        self.ended = end
        self.deadline = 0.0 if end else coarse_monotonic() + exchange.snapshot.stream_idle_timeout
        self.tunneling = head.websocket
        exchange.response(head, NULL, 0, end and not head.websocket)

    cdef void _data(self, bytes data, bint end):
        cdef Exchange exchange = <Exchange>self.request
        cdef Py_ssize_t size = len(data)
        self.ended = end
        self.deadline = 0.0 if end else coarse_monotonic() + exchange.snapshot.stream_idle_timeout
        if self.paused:
            self.unread += size
        else:
            self.client.session.consumed(self.number, size)
        if self.tunneling:
            if size:
                exchange.tunnel_down(data, size)
            if end and self.request is exchange:
                exchange.tunnel_ended(False)
        else:
            exchange.response_body(data, size, end)

    cdef void _trailers(self, tuple fields):
        cdef Exchange exchange = <Exchange>self.request
        cdef list passed = passed_trailers(fields)
        self.ended = True
        self.deadline = 0.0
        if passed is None:
            exchange.backend_failed(ErrorReason.RESPONSE_TRAILER)
        else:
            exchange.response_trailers(passed)

    cdef void pause(self):
        self.paused = True

    cdef void resume(self):
        self.paused = False
        if self.unread:
            self.client.session.consumed(self.number, self.unread)
            self.unread = 0
            self.client.flush_soon()

    # --- ends ---------------------------------------------------------------------------------------------------------

    cdef void _closed(self, unsigned code):
        """The endpoint took the stream back, or the connection is gone."""
        cdef Exchange exchange = <Exchange>self.request
        self.deadline = 0.0
        if exchange is None:
            return
        if code == REFUSED_STREAM and not self.begun:
            exchange.refused()
        else:
            exchange.backend_lost(self.begun)

    cdef void release(self, bint whole):
        cdef Http2Client client = self.client
        self.deadline = 0.0
        if self.number < 0:
            if client.phase == CONNECTING and self in client.waiting:
                client.endpoint.pool.settle(self)
            client.ended(self)
            return
        if self.number in client.streams and client.phase <= LEAVING and not (self.sent and self.ended):
            client.session.reset(self.number, 0 if whole else CANCEL)
        if self.unread and client.session is not None:
            client.session.consumed(self.number, self.unread)
            self.unread = 0
        client.flush_soon()
        client.ended(self)

    cdef void _give_up(self, unsigned code):
        self.client.session.reset(self.number, code)
        self.client.flush_soon()

    cdef void reset(self, ErrorReason reason):
        if self.number >= 0:
            self._give_up(CANCEL)

    cdef void close(self):
        """Of an offered one: the pool does not want it any more."""
        cdef Http2Client client = self.client
        if client.offered is self:
            client.offered = None
        client.leave()

    cdef void end(self):
        self.close()

    cdef void expired(self):
        cdef Exchange exchange = <Exchange>self.request
        self.deadline = 0.0
        if exchange is None:
            return
        if not self.begun and exchange.request_complete:
            exchange.timed_out(False)
        else:
            exchange.backend_failed(ErrorReason.STREAM_IDLE)


# --- what the session reports -----------------------------------------------------------------------------------------

cdef Http2ClientStream _stream(object client, int number):
    """The stream, if its request still waits for what comes on it."""
    cdef Http2ClientStream stream = (<Http2Client>client).streams.get(number)
    return None if stream is None or stream.request is None else stream


cdef void _on_response(object client, int number, tuple fields, bint end):
    cdef Http2ClientStream stream = _stream(client, number)
    if stream is not None:
        stream._respond(fields, end)


cdef void _on_interim(object client, int number, tuple fields):
    cdef Http2ClientStream stream = _stream(client, number)
    if stream is not None:
        stream._interim(fields)


cdef void _on_data(object client, int number, bytes data, bint end):
    cdef Http2ClientStream stream = _stream(client, number)
    if stream is None:
        (<Http2Client>client).session.consumed(number, len(data))
    else:
        stream._data(data, end)


cdef void _on_trailers(object client, int number, tuple fields):
    cdef Http2ClientStream stream = _stream(client, number)
    if stream is not None:
        stream._trailers(fields)


cdef void _on_closed(object client, int number, unsigned code):
    cdef Http2ClientStream stream = (<Http2Client>client).streams.pop(number, None)
    if stream is not None:
        stream._closed(code)


cdef void _on_request(object client, int number, tuple fields, bint end):
    pass


cdef void _on_going_away(object client, int last, unsigned code):
    cdef Http2Client self = <Http2Client>client
    cdef Http2ClientStream stream
    self.leave()
    for stream in list(self.streams.values()):
        if stream.number > last:
            self.streams.pop(stream.number, None)
            stream._closed(REFUSED_STREAM)


cdef void _on_broken(object client, bint flood):
    (<Http2Client>client).flush()
    (<Http2Client>client).connection.reset()


cdef SessionEvents SESSION = SessionEvents(
    _on_request, _on_response, _on_interim, _on_data, _on_trailers, _on_closed, _on_going_away, _on_broken)


# --- what the connection reports ---------------------------------------------------------------------------------------

cdef void _on_opened(object client, Connection connection):
    (<Http2Client>client)._open(connection)


cdef void _on_ready(object client):
    (<Http2Client>client)._ready()


cdef void _on_received(object client, char *at, Py_ssize_t size):
    (<Http2Client>client)._receive(at, size)


cdef bint _on_ended(object client, bint clean) except? -1:
    return False


cdef void _on_blocked(object client):
    pass


cdef void _on_unblocked(object client):
    (<Http2Client>client)._unblocked()


cdef bint _on_not_tls(object client, const char *at, Py_ssize_t size) except? -1:
    return False


cdef void _on_tls_broken(object client):
    (<Http2Client>client)._broken()


cdef void _on_lost(object client, bint clean):
    (<Http2Client>client)._lose()


cdef Events CONNECTION = Events(_on_opened, _on_ready, _on_received, _on_ended, _on_blocked, _on_unblocked, _on_not_tls, _on_tls_broken, _on_lost)
