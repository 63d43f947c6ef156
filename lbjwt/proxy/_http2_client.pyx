"""
The client of HTTP/2: one connection to an endpoint that carries many requests at a time.

The pool knows streams (`_http2_client_stream`), not connections. A connection with room for another request has one stream in the pool, idle or,
while it is being opened, unclaimed; when a request takes that one, the connection offers the next.

A connection is open when the endpoint's SETTINGS have come. Before that nothing is sent but what opens it: an endpoint that does not speak HTTP/2
costs no request its answer, and no stream is opened that the endpoint does not allow.
"""

import asyncio
import random

from lbjwt.http1._buffer cimport Slice
from lbjwt.http2._inbox cimport FieldList
from lbjwt.http2._session cimport Limits, SessionEvents, client_session
from lbjwt.net._clock cimport coarse_monotonic
from lbjwt.net._connection cimport Events, buffered_connection
from lbjwt.net._tls cimport TlsPeer
from lbjwt.proxy._http2_client_stream cimport CONNECTING, GONE, OPEN
from lbjwt.proxy._http2_pooled cimport doubt_others
from lbjwt.upstream._request cimport HOLDS_TRIAL

cdef enum:
    LOW = 16384                  # bytes of one request that wait for the endpoint when its client may send on
    WINDOW = 1 << 18             # bytes of one response that wait here for its client
    # RFC 9113 section 7
    REFUSED_STREAM = 7
    CANCEL = 8

cdef double JITTER = 0.1         # share by which the age of a connection is shortened at random: those opened together do not end together


cdef void adopt_http2(ProxyContext context, Endpoint endpoint, Connection connection, UpstreamRequest request, Timed before):
    cdef Http2Client client = Http2Client.__new__(Http2Client)
    cdef Http2ClientStream stream
    _prepare(client, context, endpoint)
    client.connection = connection
    connection.hand_over(client, &CONNECTION)
    context.watched.discard(before)
    context.watched.add(client)
    if request is not None:
        stream = client.new_stream()
        stream.taken()
        (<Exchange>request).backend = stream
        endpoint.pool.connecting_for(stream, request)
    else:
        client.offer()
    client._ready()


cdef void _prepare(Http2Client client, ProxyContext context, Endpoint endpoint):
    client.context = context
    client.endpoint = endpoint
    client.phase = CONNECTING
    client.limit = min(endpoint.http2.max_streams, endpoint.streams_allowed)
    client.streams = {}
    client.waiting = {}
    client.blocked = set()
    client.deadline = coarse_monotonic() + endpoint.connect_timeout
    client.counted = client.spoke = True


cdef class Http2Client(PooledCarrier):

    def __init__(self, ProxyContext context not None, Endpoint endpoint not None):
        """A connection that begins to be opened: the loop is given `protocol`, or `connect_failed` is called."""
        _prepare(self, context, endpoint)
        endpoint.pool.add()

    def first_stream(self):
        """For the request that the connection is opened for."""
        cdef Http2ClientStream stream = self.new_stream()
        stream.taken()
        return stream

    def protocol(self):
        """What the loop is to tell of the connection, once it is made."""
        cdef TlsPeer peer = self.endpoint.tls
        return buffered_connection(self, &CONNECTION, self.context.receive, None if peer is None else peer.connect())

    # --- opening ------------------------------------------------------------------------------------------------------

    cdef void _open(self, Connection connection):
        self.connection = connection
        self.context.watched.add(self)

    cdef void _ready(self):
        if self.connection.tls is not None and not self.connection.is_http2():
            self.connect_failed("cannot be reached: it does not offer HTTP/2 during the TLS handshake (ALPN), and its cluster has `protocol: http2`")
            return
        self.session = client_session(self, &SESSION, Limits(
            max_streams=self.endpoint.http2.max_streams, window=WINDOW, max_fields=1000, max_field_bytes=1 << 20, max_resets=10000,
            max_control_frames=10000))
        self.flush()

    cdef void _settings(self):
        if self.phase > OPEN:                    # no stream begins any more, and the session may have ended
            return
        self.endpoint.streams_allowed = self.session.max_streams()
        self.limit = min(self.endpoint.http2.max_streams, self.endpoint.streams_allowed)
        self.websockets = self.session.takes_websockets()
        if self.phase == CONNECTING:
            if self.limit > 0:
                self._begin()
            else:
                self.endpoint.streams_allowed = 1        # the next connection is to find out
                self.connect_failed("cannot be reached: it allows no HTTP/2 stream (SETTINGS_MAX_CONCURRENT_STREAMS is 0)")
        elif self.active >= self.limit:
            self.withdraw()

    cdef void _begin(self):
        """The connection is open: send the requests that wait for it. Those that are too many for the endpoint wait in the session."""
        cdef Http2ClientStream stream
        cdef Exchange exchange
        cdef double age = self.endpoint.http2.max_connection_age
        cdef list waiting = list(self.waiting)
        self.phase = OPEN
        self.deadline = 0.0
        if age != 0.0:
            self.leave_at = coarse_monotonic() + age * (1.0 - JITTER * <double>random.random())
        self.endpoint.counters.connects += 1
        self.withdraw()
        self.waiting.clear()
        for stream in waiting:
            self.endpoint.pool.settle(stream)
        self.offering = True                     # not before all of these were sent
        for stream in waiting:
            exchange = <Exchange>stream.request
            if stream.trial:                     # a connection alone says too little: a request tries the endpoint
                stream.trial = False
                if exchange is None:
                    self.endpoint.end_trial()
                else:
                    exchange.trial = HOLDS_TRIAL
            if exchange is None:
                self.ended(stream)
            else:
                exchange.connected()
        self.offering = False
        self.offer()
        self._rest()

    def connect_failed(self, str cause, bint ours=False):
        """ours: for a reason of this machine, which says nothing about the endpoint."""
        cdef bint trial = False
        cdef Http2ClientStream stream
        cdef Exchange exchange = None
        cdef list waiting = list(self.waiting)
        if self.phase != CONNECTING:
            # Made and given up at the same moment: uvloop closes such a connection and tells nobody, asyncio tells a second time.
            if self.connection is not None:
                self.connection.connection_lost(TimeoutError())
            return
        self.phase = GONE
        self.deadline = 0.0
        self.withdraw()
        self.waiting.clear()
        for stream in waiting:
            self.endpoint.pool.settle(stream)
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
            exchange = <Exchange>stream.request
            if exchange is not None:
                exchange.connect_failed()

    cdef str _why_not_open(self):
        if self.session is None:
            return "cannot be reached: the connection ended during the TLS handshake"
        return "cannot be reached: it closed the connection instead of opening HTTP/2"

    # --- the connection -----------------------------------------------------------------------------------------------

    cdef void _lose(self):
        if self.phase == CONNECTING:
            self.connect_failed(self._why_not_open(), self.connection.ignoring)      # ignoring: the worker ends it
            self._release_session()
            return
        if self.active:
            doubt_others()
        self.phase = GONE
        self.deadline = 0.0
        self.context.watched.discard(self)
        self.withdraw()
        self._give_up_room()
        for number in list(self.streams):
            self._close_stream(number, CANCEL, False)
        self.blocked.clear()
        self._release_session()

    cdef void _release_session(self):
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

    cdef void _break_off(self):
        """The endpoint broke a rule of HTTP/2. The loss of the connection then ends what is under way."""
        if self.phase == CONNECTING:
            self.connect_failed("cannot be reached: it does not speak HTTP/2")
            return
        self.flush()
        self.connection.reset()

    cdef void _receive(self, char *at, Py_ssize_t size):
        if self.session is None or self.phase == GONE:
            return
        self.heard_at = coarse_monotonic()
        self.pinged_at = 0.0
        self.questioned = False
        self.receiving = True
        try:
            self.session.receive(at, size, self.heard_at)
        except BaseException as fault:           # of the engine: the connection is in no known state
            self.context.snapshot.gate.note(fault)
            self.connection.reset()
        self.receiving = False
        self.told = None
        self.offer()
        self.flush()

    cdef void _go_away(self, int last, unsigned code):
        """The endpoint takes no more requests here. It has not processed those above `last`."""
        cdef Http2ClientStream stream
        if self.phase == CONNECTING:
            self.connect_failed("cannot be reached: it closed the new connection (GOAWAY)")
            return
        if self.phase == OPEN:
            self.endpoint.counters.goaways += 1
        self.leave(False)
        for stream in list(self.streams.values()):
            if stream.number > last and stream.number in self.streams:
                self._close_stream(stream.number, REFUSED_STREAM, False)

    cdef void _close_stream(self, int number, unsigned code, bint malformed):
        cdef Http2ClientStream stream = <Http2ClientStream>self.streams.pop(number, None)
        if stream is None:
            return
        self.told = <Exchange>stream.request
        try:
            stream.closed(code, malformed)
        except BaseException as fault:           # others may have to be closed as well
            self._end_by_fault(fault)
        self.told = None

    cdef void _end_by_fault(self, object fault):
        """A fault of ours ends the request that the session told of, and no other on the connection."""
        self.context.snapshot.gate.note(fault)
        if self.told is not None:
            self.told.end_by_fault()

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
        cdef Slice data
        while self.session is not None and not self.connection.write_paused:
            data = self.session.output()
            if data.size == 0:
                break
            self.connection.send(data.at, data.size)
        if self.blocked:
            self._wake_blocked()

    cdef void _wake_blocked(self):
        """The endpoint may have made room for more of a request."""
        cdef Http2ClientStream stream
        for stream in list(self.blocked):
            if stream.request is None:
                self.blocked.discard(stream)
            elif self.session.queued(stream.number) <= LOW:
                self.blocked.discard(stream)
                (<Exchange>stream.request).backend_unblocked()

    cdef void _unblocked(self):
        self.flush()

    # --- clocks -------------------------------------------------------------------------------------------------------

    cdef void expired(self):
        self.deadline = 0.0
        if self.phase == CONNECTING:
            if self.session is None:
                self.connect_failed(f"cannot be reached: no TLS session within {self.endpoint.connect_timeout:g} s")
            else:
                self.connect_failed(f"cannot be reached: no HTTP/2 SETTINGS within {self.endpoint.connect_timeout:g} s")
        elif self.phase == GONE:
            self.connection.reset()
        elif self.active == 0:
            self.leave(False)

    cdef void check_peer(self):
        cdef Http2ClientStream stream
        cdef double now
        if self.session is None or self.phase == GONE:
            return
        now = coarse_monotonic()
        for stream in list(self.streams.values()):
            if stream.deadline != 0.0 and now >= stream.deadline:
                stream.expired()
        if self.phase != GONE:
            self._look(now)


# --- what the session reports -----------------------------------------------------------------------------------------

cdef Http2ClientStream _stream(object client, int number):
    """The stream, if its request still waits for what comes on it."""
    cdef Http2ClientStream stream = <Http2ClientStream>(<Http2Client>client).streams.get(number)
    if stream is None or stream.request is None:
        stream = None
    (<Http2Client>client).told = None if stream is None else <Exchange>stream.request
    (<Http2Client>client).spoke = True
    return stream


cdef void _on_response(object client, int number, FieldList fields, bint end):
    cdef Http2ClientStream stream = _stream(client, number)
    if stream is not None:
        stream.take_response(fields, end)


cdef void _on_interim(object client, int number, FieldList fields):
    cdef Http2ClientStream stream = _stream(client, number)
    if stream is not None:
        stream.take_interim(fields)


cdef void _on_data(object client, int number, const char *at, Py_ssize_t size, bint end):
    cdef Http2ClientStream stream = _stream(client, number)
    if stream is None:
        (<Http2Client>client).session.consumed(number, size)
    else:
        stream.take_data(at, size, end)


cdef void _on_trailers(object client, int number, FieldList fields):
    cdef Http2ClientStream stream = _stream(client, number)
    if stream is not None:
        stream.take_trailers(fields)


cdef void _on_closed(object client, int number, unsigned code):
    (<Http2Client>client)._close_stream(number, code, (<Http2Client>client).session.malformed)


cdef void _on_request(object client, int number, FieldList fields, bint end):
    pass


cdef void _on_going_away(object client, int last, unsigned code):
    (<Http2Client>client).told = None
    (<Http2Client>client)._go_away(last, code)


cdef void _on_settings(object client):
    (<Http2Client>client).told = None
    (<Http2Client>client)._settings()


cdef void _on_broken(object client, bint flood):
    (<Http2Client>client)._break_off()


cdef void _on_faulted(object client, int number, object fault):
    (<Http2Client>client)._end_by_fault(fault)
    if number == 0:
        (<Http2Client>client).connection.reset()


cdef SessionEvents SESSION = SessionEvents(
    _on_request, _on_response, _on_interim, _on_data, _on_trailers, _on_closed, _on_going_away, _on_broken, _on_settings, _on_faulted)


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
