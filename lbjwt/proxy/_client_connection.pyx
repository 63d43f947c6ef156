"""The client of HTTP/1.1: one request to an endpoint out, one response in, and the question whether the connection may be used again.

It owns its connection and is its one stream. It returns to its pool only if nothing is in doubt: no byte too many came, the request was sent to its
end, and the endpoint does not want to close.

Input is read into one buffer that all connections of the worker share, and is processed before the call returns.
"""

from libc.stdio cimport snprintf
from posix.uio cimport iovec

from lbjwt._error_reason cimport ErrorReason, in_response
from lbjwt.http1._request cimport COMPLETE, NEED_MORE, Parse
from lbjwt.http1._response cimport CHUNKED, LENGTH, NO_BODY, ResponseHead, UNTIL_CLOSE
from lbjwt.net._clock cimport coarse_monotonic
from lbjwt.net._connection cimport Events, Sent, buffered_connection
from lbjwt.net._tls cimport TlsPeer
from lbjwt.proxy._http2_client cimport adopt_http2
from lbjwt.upstream._endpoint cimport Endpoint, Protocol
from lbjwt.upstream._prefetch cimport prefetch_lines
from lbjwt.upstream._request cimport HOLDS_TRIAL, UpstreamRequest

cdef extern from "<string.h>" nogil:
    void *memmem(const void *text, size_t size, const void *part, size_t part_size)

cdef enum:
    MAX_INTERIMS = 8             # 1xx responses before the final one
    CHUNK_LINE = 20              # bytes for the size of a chunk and its CRLF
    CONNECTION_LINES = 2         # cache lines of a connection that each request uses


cdef int _write_chunk(iovec *parts, char *line, const char *body, Py_ssize_t size, bint end) noexcept:
    """Point up to three parts to a chunk and, at the end of a body, to the last one; how many. line: CHUNK_LINE bytes, which the parts use."""
    if size == 0:
        parts[0].iov_base = <char *>b"0\r\n\r\n"
        parts[0].iov_len = 5 if end else 0
        return 1
    parts[0].iov_base = line
    parts[0].iov_len = snprintf(line, CHUNK_LINE, "%zx\r\n", size)
    parts[1].iov_base = <void *>body
    parts[1].iov_len = size
    parts[2].iov_base = <char *>b"\r\n0\r\n\r\n"
    parts[2].iov_len = 7 if end else 2
    return 3


cdef class ClientConnection(BackendStream):

    def __init__(self, ProxyContext context not None, Endpoint endpoint not None):
        """A connection that begins to be opened: the loop is given `protocol`, or `connect_failed` is called."""
        self.context = context
        self.endpoint = endpoint
        self.phase = CONNECTING
        self.deadline = coarse_monotonic() + endpoint.connect_timeout      # of a handshake, which is watched once the connection is open
        self.counted = True
        endpoint.pool.add()

    def protocol(self):
        """What the loop is to tell of the connection, once it is made."""
        cdef TlsPeer peer = self.endpoint.tls
        return buffered_connection(self, &EVENTS, self.context.receive, None if peer is None else peer.connect())

    # --- the connection -----------------------------------------------------------------------------------------------

    cdef void _open(self, Connection connection):
        self.connection = connection
        self.context.watched.add(self)

    cdef void _ready(self):
        cdef Exchange exchange = <Exchange>self.request
        self.deadline = 0.0
        if self.endpoint.protocol == Protocol.AUTO and self.connection.is_http2():
            self.phase = GONE
            self.counted = False
            self.request = None
            self.endpoint.pool.settle(self)
            self._end_own_trial(exchange)
            adopt_http2(self.context, self.endpoint, self.connection, exchange, self)
            return
        self.endpoint.counters.connects += 1
        self.endpoint.pool.settle(self)
        self.phase = DONE
        self.keep_alive = True
        self._end_own_trial(exchange)
        if exchange is None:
            self.release(True)
        else:
            exchange.connected()

    cdef void _end_own_trial(self, Exchange exchange):
        """A connection alone says too little: a request tries the endpoint."""
        if not self.trial:
            return
        self.trial = False
        if exchange is None:
            self.endpoint.end_trial()
        else:
            exchange.trial = HOLDS_TRIAL

    def connect_failed(self, str cause, bint ours=False):
        """ours: for a reason of this machine, which says nothing about the endpoint."""
        cdef Exchange exchange = <Exchange>self.request
        cdef bint trial
        if self.phase != CONNECTING:
            # Made and given up at the same moment: uvloop closes such a connection and tells nobody, asyncio tells a second time.
            self.connection.connection_lost(TimeoutError())
            return
        self.phase = GONE
        self.deadline = 0.0
        self.endpoint.pool.settle(self)
        trial = (exchange is not None and exchange.take_trial()) or self.trial
        if not ours:
            self.endpoint.unreachable(cause, trial, coarse_monotonic())
        elif trial:
            self.endpoint.end_trial()
        self._give_up_room()
        if self.connection is not None:
            self.context.watched.discard(self)
            self.connection.reset()
        if exchange is not None:
            exchange.connect_failed()

    cdef void _lose(self, bint clean):
        cdef Exchange exchange
        if self.phase == CONNECTING:
            # ignoring: the worker ends it, because it stops or the endpoint is no member any more
            self.connect_failed("cannot be reached: the connection ended during the TLS handshake", self.connection.ignoring)
            return
        exchange = <Exchange>self.request
        self._leave_pool()
        self._give_up_room()
        self.context.watched.discard(self)
        self.deadline = 0.0
        if exchange is None:
            self.phase = GONE
        elif self.phase == BODY and self.body == UNTIL_CLOSE and clean:
            self.phase = DONE
            exchange.response_body(NULL, 0, True)
        elif self.phase == TUNNELING and clean:
            self.phase = GONE
            exchange.tunnel_closed()
        else:
            self.phase = GONE
            exchange.backend_lost(self.partial is not None)

    cdef void _break(self):
        """The endpoint broke TLS, or there is no agreeing with it. The loss of the connection then ends what is under way."""
        cdef Exchange exchange = <Exchange>self.request
        cdef str cause = "the TLS handshake failed: " + self.connection.tls.fault
        if self.phase == CONNECTING:
            self.connect_failed(cause)
            return
        if not self.connection.tls.heard:
            # With TLS 1.3 our side has ended the handshake, and sent the request, when the endpoint refuses our certificate.
            self.endpoint.unreachable(cause, exchange is not None and exchange.take_trial(), coarse_monotonic())
        self._reset()

    cdef bint _peer_ended(self, bint clean):
        """True keeps our half open."""
        cdef Exchange exchange = <Exchange>self.request
        if self.phase == TUNNELING and clean:
            exchange.tunnel_ended(False)
            return self.connection.can_half_close()
        self._leave_pool()
        if self.phase == BODY and self.body == UNTIL_CLOSE and clean:
            self.phase = DONE
            self.keep_alive = False
            exchange.response_body(NULL, 0, True)
        elif self.phase != CONNECTING and exchange is not None:
            self.phase = GONE if self.phase == HEAD else self.phase
            exchange.backend_lost(self.partial is not None)
        return False

    cdef void _receive(self, char *at, Py_ssize_t size):
        cdef Buffer partial
        if self.phase == BODY:
            self._take_body(at, size, False)
        elif self.phase == HEAD:
            partial = self.partial
            if partial is None:
                self._take_head(at, size)
            else:
                partial.put(at, size)
                self._take_head(partial.data, partial.size)
        elif self.phase == TUNNELING:
            (<Exchange>self.request).tunnel_down(at, size)
        elif self.phase == POOLED:
            self._leave_pool()
            self._reset()
        else:
            self.doubt = True

    cdef bint wants_body(self) noexcept:
        return self.connection is None or not self.connection.write_paused

    cdef void pause(self):
        if self.connection is not None:
            self.connection.pause()

    cdef void resume(self):
        if self.connection is not None:
            self.connection.resume()

    cdef Sent send(self, const char *data, Py_ssize_t size):
        return self.connection.send(data, size)

    cdef void shutdown(self):
        self.connection.shutdown()

    # --- request ------------------------------------------------------------------------------------------------------

    cdef Sent transmit(self, UpstreamRequest request):
        cdef Exchange exchange = <Exchange>request
        self.request = exchange
        self.phase = HEAD
        self.doubt = False
        self.interims = 0
        self.seen = 0
        self.sent_at = self.asked_at = coarse_monotonic()
        self.deadline = self.asked_at + self._time_for_head(exchange)
        if exchange.chunked and (exchange.request_bytes or exchange.request_complete):
            return self._send_kept(exchange)
        return self.connection.send(exchange.request.data, exchange.request.size)

    cdef Sent _send_kept(self, Exchange exchange):
        """The head, and as a chunk what was kept of the body behind it when it went to an endpoint that speaks HTTP/2."""
        cdef iovec parts[4]
        cdef char line[CHUNK_LINE]
        cdef const char *data = exchange.request.data
        cdef const char *body = <const char *>memmem(data, exchange.request.size, b"\r\n\r\n", 4) + 4
        cdef Py_ssize_t size = data + exchange.request.size - body
        parts[0].iov_base = <void *>data
        parts[0].iov_len = body - data
        return self.connection.send_parts(parts, 1 + _write_chunk(parts + 1, line, body, size, exchange.request_complete))

    cdef double _time_for_head(self, Exchange exchange) noexcept:
        """Seconds until the next part of the request, or the response head, has to come."""
        if not exchange.request_complete:
            return exchange.snapshot.stream_idle_timeout
        return exchange.retry.time_for_head(self.endpoint)

    cdef void request_body(self, const char *body, Py_ssize_t size, bint end):
        cdef Exchange exchange = <Exchange>self.request
        cdef iovec parts[3]
        cdef char line[CHUNK_LINE]
        if self.phase == HEAD:
            self.asked_at = coarse_monotonic()
            self.deadline = self.asked_at + self._time_for_head(exchange)
        if not exchange.chunked:
            self.connection.send(body, size)
        elif size or end:
            self.connection.send_parts(parts, _write_chunk(parts, line, body, size, end))

    # --- response -----------------------------------------------------------------------------------------------------

    cdef void _take_head(self, char *at, Py_ssize_t size):
        cdef ResponseHead head = self.context.response_head
        cdef Exchange exchange = <Exchange>self.request
        cdef Buffer _held = self.partial     # keeps the bytes `at` points into
        cdef Parse parsed
        while True:
            parsed = head.parse(at, size, self.seen, exchange.method, exchange.websocket, exchange.snapshot.max_response_head,
                                exchange.snapshot.max_response_fields)
            if parsed == NEED_MORE:
                self.seen = size
                if self.partial is None or self.partial.data != at:
                    self.partial = Buffer.__new__(Buffer)
                    self.partial.put(at, size)
                return
            self.seen = 0
            if parsed != COMPLETE:
                self._broken(head.problem)
                return
            if head.status >= 200 or head.websocket:
                break
            self.interims += 1
            if self.interims > MAX_INTERIMS:
                self._broken(ErrorReason.RESPONSE_TOO_MANY_INTERIMS)
                return
            exchange.interim(head)
            at += head.size
            size -= head.size
            if size == 0:
                self.partial = None
                return
        self.partial = None
        if head.websocket:
            self.phase = TUNNELING
            self.deadline = coarse_monotonic() + exchange.snapshot.stream_idle_timeout
            exchange.response(head, NULL, 0, False)
            if size > head.size and self.request is exchange:
                exchange.tunnel_down(at + head.size, size - head.size)
            return
        self.body = head.body
        self.keep_alive = head.keep_alive
        self.left = head.content_length
        if self.body == CHUNKED:
            if self.decoder is None:
                self.decoder = ChunkedDecoder.__new__(ChunkedDecoder)
            self.decoder.start(-1)
        self._take_body(at + head.size, size - head.size, True)

    cdef void _take_body(self, char *at, Py_ssize_t size, bint with_head):
        """Relay what came of the body; with_head: together with the head that was just parsed."""
        cdef Exchange exchange = <Exchange>self.request
        cdef Py_ssize_t used = size
        cdef bint end = False
        if self.body == LENGTH:
            if size >= self.left:
                end = True
                used = self.left
            self.left -= used
            self.doubt = size > used
            size = used
        elif self.body == CHUNKED:
            used = self.decoder.feed(at, size)
            if used < 0:
                self._broken(in_response(self.decoder.problem))
                return
            end = self.decoder.done
            self.doubt = size > used
            at += self.decoder.body_at
            size = self.decoder.body_size
        elif self.body == NO_BODY:
            end = True
            self.doubt = size > 0
            size = 0
        if end:
            self.phase = DONE
            self.deadline = 0.0
        else:
            self.phase = BODY
            self.deadline = coarse_monotonic() + exchange.snapshot.stream_idle_timeout
        if with_head:
            exchange.response(self.context.response_head, at, size, end)
        else:
            exchange.response_body(at, size, end)

    cdef void _broken(self, ErrorReason reason):
        cdef Exchange exchange = <Exchange>self.request
        self.keep_alive = False
        exchange.backend_failed(reason)

    # --- reuse --------------------------------------------------------------------------------------------------------

    cdef void fetch(self) noexcept:
        prefetch_lines(<void *>self.connection, CONNECTION_LINES)

    cdef bint is_reusable(self):
        return not self.connection.has_input()

    cdef void release(self, bint whole):
        cdef Endpoint endpoint = self.endpoint
        cdef Exchange exchange
        if self.phase == CONNECTING:
            endpoint.pool.abandon(self)
            return
        if (whole and self.phase == DONE and self.keep_alive and not self.doubt and not self.context.draining
                and endpoint.pool.may_keep() and self.connection.drained()):
            self.connection.resume()
            self.used = True
            exchange = <Exchange>endpoint.pool.next_request(self)
            if exchange is not None:
                exchange.use(self)
                return
            self.phase = POOLED
            self.deadline = coarse_monotonic() + endpoint.idle_timeout
            endpoint.pool.keep(self)
            return
        if whole and (self.phase == TUNNELING or (self.phase == DONE and self.connection.drained())):
            self._close()
        else:
            self._reset()
        self.phase = GONE

    cdef void _leave_pool(self):
        if self.phase == POOLED:
            self.phase = GONE
            self.endpoint.pool.leave(self)

    cdef void _give_up_room(self):
        if self.counted:
            self.counted = False
            self.endpoint.pool.forget()

    # --- ends ---------------------------------------------------------------------------------------------------------

    cdef void _close(self):
        self._give_up_room()
        if self.connection is not None:
            self.connection.close()

    cdef void _reset(self):
        self._give_up_room()
        if self.connection is not None:
            self.connection.reset()

    cdef void close(self):
        self._close()

    cdef void reset(self, ErrorReason reason):
        self._reset()

    cdef void end(self):
        if self.phase == POOLED:
            self._leave_pool()
            self._close()            # nothing is under way: an endpoint need not log a reset
        else:
            self._reset()

    cdef void expired(self):
        cdef Exchange exchange = <Exchange>self.request
        self.deadline = 0.0
        if self.phase == POOLED:
            self.end()
        elif self.phase == CONNECTING:
            self.connect_failed(f"cannot be reached: no TLS session within {self.endpoint.connect_timeout:g} s")
        elif exchange is None:
            self._reset()
        elif self.phase == HEAD and exchange.request_complete:
            exchange.timed_out(self.partial is not None)
        else:
            exchange.backend_failed(ErrorReason.STREAM_IDLE)


# --- what the connection reports --------------------------------------------------------------------------------------

cdef void _on_opened(object client, Connection connection):
    (<ClientConnection>client)._open(connection)


cdef void _on_ready(object client):
    (<ClientConnection>client)._ready()


cdef void _on_received(object client, char *at, Py_ssize_t size):
    (<ClientConnection>client)._receive(at, size)


cdef bint _on_ended(object client, bint clean) except? -1:
    return (<ClientConnection>client)._peer_ended(clean)


cdef void _on_blocked(object client):
    pass


cdef void _on_unblocked(object client):
    cdef Exchange exchange = <Exchange>(<ClientConnection>client).request
    if exchange is not None:
        exchange.backend_unblocked()


cdef bint _on_not_tls(object client, const char *at, Py_ssize_t size) except? -1:
    return False


cdef void _on_broken(object client):
    (<ClientConnection>client)._break()


cdef void _on_lost(object client, bint clean):
    (<ClientConnection>client)._lose(clean)


cdef Events EVENTS = Events(_on_opened, _on_ready, _on_received, _on_ended, _on_blocked, _on_unblocked, _on_not_tls, _on_broken, _on_lost)
