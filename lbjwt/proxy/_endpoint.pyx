"""The endpoint side of HTTP/1.1: one request out, one response in, and the question whether the connection may be used again.

A connection returns to its pool only if nothing is in doubt: no byte too many came, the request was sent to its end, and the endpoint does not
want to close.

Input is read into one buffer that all endpoint connections of the worker share, and is processed before the call returns.
"""

from libc.stdio cimport snprintf
from posix.uio cimport iovec

from lbjwt._error_reason cimport in_response
from lbjwt.http1._request cimport COMPLETE, NEED_MORE, Parse
from lbjwt.http1._response cimport CHUNKED, LENGTH, NO_BODY, ResponseHead, UNTIL_CLOSE
from lbjwt.net._wire cimport Sent, Wire, coarse_monotonic
from lbjwt.upstream._cluster cimport Endpoint

cdef enum:
    MAX_INTERIMS = 8             # 1xx responses before the final one


cdef class EndpointSide(Upstream):

    def __init__(self, Traffic traffic, Endpoint endpoint):
        self.traffic = traffic
        self.endpoint = endpoint
        self.phase = CONNECTING
        self.counted = True
        endpoint.open += 1
        endpoint.counters.connections += 1

    # --- asyncio ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport):
        self.attach(transport)
        self.traffic.wires.add(self)
        self.endpoint.counters.connects += 1
        self._settle()
        self.phase = DONE
        self.keep_alive = True
        if self.exchange is None:
            self.release(True)
        else:
            self.exchange.connected()

    def connect_failed(self, str cause):
        cdef Exchange exchange = self.exchange
        if self.phase == CONNECTING:
            self._settle()
            self.endpoint.mark_unreachable(coarse_monotonic())
            self.endpoint.failed(cause, coarse_monotonic())
            self.phase = GONE
            self._give_up_room()
            if exchange is not None:
                exchange.connect_failed()
        else:
            # Made and given up at the same moment: uvloop closes such a connection and tells nobody, asyncio tells a second time.
            self.connection_lost(TimeoutError())

    def connection_lost(self, exc):
        cdef Exchange exchange = self.exchange
        if self.transport is None:
            return
        self._leave_pool()
        self._give_up_room()
        self.traffic.wires.discard(self)
        self.detach()
        if exchange is None:
            self.phase = GONE
        elif self.phase == BODY and self.body == UNTIL_CLOSE and exc is None:
            self.phase = DONE
            exchange.response_body(NULL, 0, True)
        elif self.phase == TUNNELING and exc is None:
            self.phase = GONE
            exchange.finish(True)
        else:
            self.phase = GONE
            exchange.upstream_lost(self.partial is not None)

    def get_buffer(self, hint):
        return self.traffic.receive

    def buffer_updated(self, Py_ssize_t size):
        self._take(self.traffic.receive_at, size)

    def data_received(self, bytes data):
        """For loops that know a buffered protocol by its base class (asyncio's own). In one piece: a byte too many must be seen as one."""
        cdef bytearray own = bytearray(data)
        self._take(own, len(own))

    cdef void _take(self, char *at, Py_ssize_t size):
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
            self.exchange.tunnel_down(at, size)
        elif self.phase == POOLED:
            self._leave_pool()
            self.reset()
        else:
            self.doubt = True

    def eof_received(self):
        cdef Exchange exchange = self.exchange
        if self.phase == TUNNELING:
            exchange.tunnel_ended(False)
            return self.can_half_close()
        self._leave_pool()
        if self.phase == BODY and self.body == UNTIL_CLOSE:
            self.phase = DONE
            self.keep_alive = False
            exchange.response_body(NULL, 0, True)
        elif exchange is not None:
            self.phase = GONE if self.phase == HEAD else self.phase
            exchange.upstream_lost(self.partial is not None)
        return False

    def pause_writing(self):
        self.write_paused = True

    def resume_writing(self):
        self.write_paused = False
        if self.exchange is not None:
            self.exchange.downstream.request_wanted()

    # --- request ------------------------------------------------------------------------------------------------------

    cdef Sent transmit(self, Exchange exchange):
        self.exchange = exchange
        self.phase = HEAD
        self.doubt = False
        self.interims = 0
        self.seen = 0
        self.deadline = coarse_monotonic() + (
            self.endpoint.cluster.response_timeout if exchange.request_complete else exchange.snapshot.stream_idle_timeout)
        return self.send(exchange.request.data, exchange.request.size)

    cdef void request_body(self, const char *body, Py_ssize_t size, bint end):
        cdef iovec parts[3]
        cdef char line[20]
        if self.phase == HEAD:
            self.deadline = coarse_monotonic() + (self.endpoint.cluster.response_timeout if end else self.exchange.snapshot.stream_idle_timeout)
        if not self.exchange.chunked:
            self.send(body, size)
            return
        if size == 0:
            if end:
                self.send(b"0\r\n\r\n", 5)
            return
        parts[0].iov_base = line
        parts[0].iov_len = snprintf(line, sizeof(line), "%zx\r\n", size)
        parts[1].iov_base = <void *>body
        parts[1].iov_len = size
        parts[2].iov_base = <char *>b"\r\n0\r\n\r\n"
        parts[2].iov_len = 7 if end else 2
        self.send_parts(parts, 3)

    # --- response -----------------------------------------------------------------------------------------------------

    cdef void _take_head(self, char *at, Py_ssize_t size):
        cdef ResponseHead head = self.traffic.response_head
        cdef Exchange exchange = self.exchange
        cdef Buffer _held = self.partial     # keeps the bytes `at` points into
        cdef Parse parsed
        while True:
            parsed = head.parse(at, size, self.seen, exchange.method, exchange.websocket, exchange.snapshot.max_response_head,
                                exchange.snapshot.max_response_fields)
            if parsed == NEED_MORE:
                self.seen = size
                exchange.replayable = False      # the endpoint has begun to answer
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
            if size > head.size and self.exchange is exchange:
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
        cdef Exchange exchange = self.exchange
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
            exchange.response(self.traffic.response_head, at, size, end)
        else:
            exchange.response_body(at, size, end)

    cdef void _broken(self, ErrorReason reason):
        cdef Exchange exchange = self.exchange
        self.keep_alive = False
        exchange.upstream_failed(reason)

    # --- reuse --------------------------------------------------------------------------------------------------------

    cdef void release(self, bint whole):
        cdef Endpoint endpoint = self.endpoint
        cdef Exchange exchange
        if self.phase == CONNECTING:
            endpoint.connecting.pop(self, None)
            endpoint.unclaimed[self] = None
            return
        if (whole and self.phase == DONE and self.keep_alive and not self.doubt and not self.traffic.draining
                and not endpoint.leaving and self.drained()
                and not self.transport.is_closing() and len(endpoint.idle) < endpoint.cluster.max_idle):
            self.resume()
            exchange = self._next_exchange()
            if exchange is not None:
                exchange.use(self)
                return
            self.phase = POOLED
            self.deadline = coarse_monotonic() + self.endpoint.cluster.idle_timeout
            endpoint.idle.append(self)
            endpoint.counters.idle_connections += 1
            self.endpoint.cluster.pending.wake()
            return
        if whole and (self.phase == TUNNELING or (self.phase == DONE and self.drained())):
            self.close()
        else:
            self.reset()
        self.phase = GONE

    cdef Exchange _next_exchange(self):
        """
        The request that this connection serves before it is pooled, or None. Whichever is there first serves the oldest that waits: this one, or the
        one that is being opened for it. Then the one that has waited longest because every endpoint is full.
        """
        cdef Endpoint endpoint = self.endpoint
        cdef EndpointSide opening
        cdef Exchange exchange
        if (not endpoint.connecting and self.endpoint.cluster.pending.is_empty()) or self.has_input():
            return None
        if endpoint.connecting:
            opening = <EndpointSide>next(iter(endpoint.connecting))
            del endpoint.connecting[opening]
            endpoint.unclaimed[opening] = None
            exchange = opening.exchange
            opening.exchange = None
            return exchange
        exchange = <Exchange>self.endpoint.cluster.pending.first()
        # The rest of a body would be taken from its client in the middle of another request's end: `wake` sends such a request off.
        return exchange if exchange.request_complete and not exchange.fresh else None

    cdef void _leave_pool(self):
        if self.phase == POOLED:
            self.phase = GONE
            if self in self.endpoint.idle:
                self.endpoint.idle.remove(self)
                self.endpoint.counters.idle_connections -= 1

    cdef void _settle(self):
        self.endpoint.connecting.pop(self, None)
        self.endpoint.unclaimed.pop(self, None)

    cdef void _give_up_room(self):
        """A connection that is ending does not count: another one may be opened."""
        if self.counted:
            self.counted = False
            self.endpoint.open -= 1
            self.endpoint.counters.connections -= 1
            self.endpoint.cluster.pending.wake()

    cdef void close(self):
        self._give_up_room()
        Wire.close(self)

    cdef void reset(self):
        self._give_up_room()
        Wire.reset(self)

    cdef void end(self):
        if self.phase == POOLED:
            self._leave_pool()
            self.close()             # nothing is under way: an endpoint need not log a reset
        else:
            self.reset()

    cdef void expired(self):
        self.deadline = 0.0
        if self.phase == POOLED:
            self.end()
        elif self.exchange is not None:
            self.exchange.upstream_failed(
                ErrorReason.RESPONSE_TIMEOUT if self.phase == HEAD and self.exchange.request_complete else ErrorReason.STREAM_IDLE)
        else:
            self.reset()
