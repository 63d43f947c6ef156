"""
One request to an endpoint over HTTP/2 and its response. Its connection is in `_http2_client`, which tells it what comes.

A response becomes one of HTTP/1 (`http2/_fields`), and is judged by the rules of all responses.
"""

import asyncio

from lbjwt.http1._buffer cimport Buffer
from lbjwt.http1._request cimport COMPLETE
from lbjwt.http1._response cimport LENGTH, NO_BODY
from lbjwt.http2._fields cimport request_fields, size_of, websocket_key
from lbjwt.http2._fields_out cimport FieldsOut
from lbjwt.http2._response_fields cimport passed_trailers, write_response
from lbjwt.net._clock cimport coarse_monotonic
from lbjwt.net._connection cimport FAILED, QUEUED, Sent
from lbjwt.upstream._request cimport UpstreamRequest

cdef enum:
    HIGH = 65536                 # bytes of one request that wait for the endpoint before its client is held back
    MAX_INTERIMS = 8             # 1xx responses before the final one
    # RFC 9113 section 7
    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    REFUSED_STREAM = 7
    CANCEL = 8


cdef double SILENCE = 1.0        # seconds without a byte from the endpoint, after which a client that leaves without a response is a sign


cdef class StreamCarrier(Timed):

    cdef Http2ClientStream new_stream(self):
        cdef Http2ClientStream stream = Http2ClientStream.__new__(Http2ClientStream)
        stream.carrier = self
        stream.endpoint = self.endpoint
        stream.number = -1
        stream.multiplexed = True
        return stream

    cdef void flush_soon(self):
        pass

    cdef void offer(self):
        pass

    cdef void offer_idle(self):
        pass

    cdef void ended(self, Http2ClientStream stream):
        pass

    cdef void leave(self, bint keeps_room):
        pass

    cdef void question(self, double asked_at, double silence):
        pass

    cdef bint is_in_doubt(self) noexcept:
        return False


cdef class Http2ClientStream(BackendStream):

    # --- pool ---------------------------------------------------------------------------------------------------------

    cdef void taken(self):
        cdef StreamCarrier carrier = self.carrier
        if self in carrier.waiting:
            return                               # its first request got another stream while the connection was being opened: it counts already
        carrier.active += 1
        if carrier.offered is self:
            carrier.offered = None
        if carrier.phase == CONNECTING:
            carrier.waiting[self] = None
        else:
            carrier.deadline = 0.0
        carrier.offer_idle()

    cdef bint is_reusable(self):
        cdef StreamCarrier carrier = self.carrier
        if carrier.phase != OPEN or carrier.session.over or carrier.connection.is_closing():
            return False
        if carrier.active and not carrier.is_in_doubt():
            return True
        # Unread input may be a ping, or the end.
        return not carrier.connection.has_input() or not carrier.connection.has_ended(False)

    cdef void close(self):
        """Of an offered one: the pool does not want it any more."""
        cdef StreamCarrier carrier = self.carrier
        if carrier.offered is self:
            carrier.offered = None
        carrier.leave(True)

    cdef void end(self):
        self.carrier.leave(True)

    cdef bint shares_connection(self) noexcept:
        return self.carrier.active > 0

    # --- request ------------------------------------------------------------------------------------------------------

    cdef Sent transmit(self, UpstreamRequest request):
        cdef StreamCarrier carrier = self.carrier
        cdef Exchange exchange = <Exchange>request
        cdef Py_ssize_t body_at, size
        cdef FieldsOut fields
        cdef const char *data = exchange.request.data
        if carrier.phase != OPEN:
            return FAILED
        self.request = exchange
        if exchange.websocket:
            if not carrier.websockets:
                # Told in a turn of its own: the exchange is about to note that it was sent.
                asyncio.get_running_loop().call_soon(self._refuse_websocket)
                return QUEUED
            self.key = websocket_key(data, exchange.request.size)
        fields = request_fields(data, exchange.request.size, self.endpoint.tls is not None, exchange.websocket, &body_at)
        size = exchange.request.size - body_at
        self.number = carrier.session.send_request(fields, exchange.request_complete and size == 0 and not exchange.websocket)
        if self.number < 0:
            carrier.leave(False)
            return FAILED
        carrier.streams[self.number] = self
        # An endpoint may have closed a connection that was idle. One that carries other requests is not.
        self.used = carrier.used and carrier.active == 1
        carrier.used = True
        self.sent = exchange.request_complete and not exchange.websocket
        if size:
            carrier.session.send_data(self.number, data + body_at, size, self.sent)
        self._start_clock(exchange)
        self.sent_at = self.asked_at
        carrier.flush_soon()
        return QUEUED

    def _refuse_websocket(self):
        if self.request is not None:
            (<Exchange>self.request).backend_failed(ErrorReason.WEBSOCKET_UNSUPPORTED)

    cdef void _start_clock(self, Exchange exchange) noexcept:
        """A part of the request was sent."""
        self.asked_at = coarse_monotonic()
        self.deadline = self.asked_at + self._time_for_head(exchange)

    cdef double _time_for_head(self, Exchange exchange) noexcept:
        """Seconds until the next part of the request, or the response head, has to come."""
        if not exchange.request_complete:
            return exchange.snapshot.stream_idle_timeout
        return exchange.retry.time_for_head(self.endpoint)

    cdef void request_body(self, const char *body, Py_ssize_t size, bint end):
        cdef Exchange exchange = <Exchange>self.request
        if not self.begun:
            self._start_clock(exchange)
        self.sent = self.sent or end
        if size:
            self.carrier.session.send_data(self.number, body, size, end)
        elif end:
            self.carrier.session.end(self.number)
        self.carrier.flush_soon()

    cdef bint wants_body(self) noexcept:
        if self.number < 0 or self.carrier.session.queued(self.number) < HIGH:
            return True
        self.carrier.blocked.add(self)
        return False

    cdef Sent send(self, const char *data, Py_ssize_t size):
        if self.number < 0 or not self.carrier.session.send_data(self.number, data, size, False):
            return FAILED
        self.carrier.flush_soon()
        return QUEUED

    cdef void shutdown(self):
        if not self.sent:
            self.sent = True
            self.carrier.session.end(self.number)
            self.carrier.flush_soon()

    # --- response -----------------------------------------------------------------------------------------------------

    cdef bint _parse(self, FieldList fields, bint end, ResponseHead head):
        cdef Exchange exchange = <Exchange>self.request
        cdef Buffer text = self.carrier.context.head_text
        text.clear()
        if not write_response(text, fields, end, self.key):
            exchange.backend_failed(ErrorReason.RESPONSE_GRAMMAR)
            return False
        if head.parse(text.data, text.size, 0, exchange.method, exchange.websocket, exchange.snapshot.max_response_head,
                      exchange.snapshot.max_response_fields) != COMPLETE or head.size != text.size:
            exchange.backend_failed(head.problem if head.problem else ErrorReason.RESPONSE_GRAMMAR)
            return False
        return True

    cdef void take_interim(self, FieldList fields):
        cdef Exchange exchange = <Exchange>self.request
        cdef ResponseHead head = self.carrier.context.response_head
        self.interims += 1
        if self.interims > MAX_INTERIMS:
            exchange.backend_failed(ErrorReason.RESPONSE_TOO_MANY_INTERIMS)
        elif self._parse(fields, True, head):
            exchange.interim(head)

    cdef void take_response(self, FieldList fields, bint end):
        cdef Exchange exchange = <Exchange>self.request
        cdef ResponseHead head = self.carrier.context.response_head
        if not self._parse(fields, end, head):
            return
        self.left = head.content_length if head.body == LENGTH else -1
        if end and self.left > 0:
            exchange.backend_failed(ErrorReason.RESPONSE_INCOMPLETE)
            return
        self.begun = True
        self.ended = end
        self.tunneling = head.websocket
        # The end of a response without a body may come in a frame of its own; nobody waits for it.
        end = not head.websocket and (end or head.body == NO_BODY)
        self.deadline = 0.0 if end else coarse_monotonic() + exchange.snapshot.stream_idle_timeout
        exchange.response(head, NULL, 0, end)
        if self.tunneling and self.ended and self.request is exchange:
            exchange.tunnel_ended(False)

    cdef void take_data(self, const char *at, Py_ssize_t size, bint end):
        cdef Exchange exchange = <Exchange>self.request
        self.ended = end
        self.deadline = 0.0 if end or self.paused else coarse_monotonic() + exchange.snapshot.stream_idle_timeout
        if self.paused:
            self.unread += size
        else:
            self.carrier.session.consumed(self.number, size)
        if not self.begun:                       # the engine lets empty DATA pass, also in front of the head
            exchange.backend_failed(ErrorReason.RESPONSE_GRAMMAR)
            return
        if self.left >= 0:
            # The engine compares too, but not if the request was an extended CONNECT. A client of HTTP/1 would read what is too much as the next
            # response.
            self.left -= size
            if self.left < 0 or (end and self.left > 0):
                exchange.backend_failed(ErrorReason.RESPONSE_INCOMPLETE)
                return
        if self.tunneling:
            if size:
                exchange.tunnel_down(at, size)
            if end and self.request is exchange:
                exchange.tunnel_ended(False)
        else:
            exchange.response_body(at, size, end)

    cdef void take_trailers(self, FieldList fields):
        cdef Exchange exchange = <Exchange>self.request
        cdef list passed = passed_trailers(fields)
        self.ended = True
        self.deadline = 0.0
        if self.tunneling:
            exchange.tunnel_ended(False)
        elif passed is None:
            exchange.backend_failed(ErrorReason.RESPONSE_TRAILER)
        elif self._is_too_large(fields):
            exchange.backend_failed(ErrorReason.RESPONSE_TRAILER_TOO_LARGE)
        elif self.left > 0:
            exchange.backend_failed(ErrorReason.RESPONSE_INCOMPLETE)
        else:
            exchange.response_trailers(passed)

    cdef bint _is_too_large(self, FieldList trailers):
        """More than a head may have: clients end the whole connection for less."""
        cdef Exchange exchange = <Exchange>self.request
        return trailers.count > exchange.snapshot.max_response_fields or size_of(trailers) > exchange.snapshot.max_response_head

    cdef void pause(self):
        self.paused = True
        if self.begun:
            self.deadline = 0.0                  # it is the client that takes its time

    cdef void resume(self):
        self.paused = False
        if self.begun and not self.ended and self.request is not None:
            self.deadline = coarse_monotonic() + (<Exchange>self.request).snapshot.stream_idle_timeout
        if self.unread:
            self.carrier.session.consumed(self.number, self.unread)
            self.unread = 0
            self.carrier.flush_soon()

    # --- ends ---------------------------------------------------------------------------------------------------------

    cdef void closed(self, unsigned code, bint malformed):
        cdef Exchange exchange = <Exchange>self.request
        self.deadline = 0.0
        if exchange is None:
            return
        if self.carrier.phase != GONE:
            self.used = False                    # the endpoint chose to end this stream: the connection was not closed for being idle
        if malformed:
            exchange.backend_failed(ErrorReason.RESPONSE_INCOMPLETE if self.begun else ErrorReason.RESPONSE_GRAMMAR)
        elif code == REFUSED_STREAM and not self.begun and self.interims == 0:
            exchange.refused()
        elif code == NO_ERROR and self.tunneling:
            exchange.tunnel_closed()
        else:
            exchange.backend_lost(self.begun)

    cdef void release(self, bint whole):
        cdef StreamCarrier carrier = self.carrier
        self.deadline = 0.0
        if self.number >= 0:
            if self.sent and not self.begun:     # its client had no patience, or a deadline of its own
                carrier.question(self.asked_at, SILENCE)
            if self.number in carrier.streams and carrier.phase != GONE and not (self.sent and self.ended):
                carrier.session.reset(self.number, NO_ERROR if whole else CANCEL)
            if self.unread:
                carrier.session.consumed(self.number, self.unread)
                self.unread = 0
            carrier.flush_soon()
        elif carrier.phase == CONNECTING:
            if self.trial:                       # it waits on: what comes of the connection is the verdict on the endpoint
                carrier.endpoint.pool.abandon(self)
                return
            carrier.endpoint.pool.settle(self)
        carrier.ended(self)

    cdef void reset(self, ErrorReason reason):
        if self.number >= 0:
            self.carrier.session.reset(self.number, CANCEL)
            self.carrier.flush_soon()

    cdef void expired(self):
        cdef Exchange exchange = <Exchange>self.request
        self.deadline = 0.0
        if exchange is None:
            return
        if not self.begun and exchange.request_complete:
            self.carrier.question(self.asked_at, 0.0)
            exchange.timed_out(False)
        else:
            exchange.backend_failed(ErrorReason.STREAM_IDLE)
