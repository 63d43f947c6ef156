"""
A connection to an endpoint as its pool sees it: the room for another request that it offers, whether the endpoint is still there, and how
it leaves.
"""

from lbjwt.net._clock cimport coarse_monotonic
from lbjwt.proxy._exchange cimport Exchange
from lbjwt.proxy._http2_client_stream cimport CONNECTING, GONE, LEAVING, OPEN

cdef double LAST = 5.0           # seconds for the last bytes to leave
cdef double PATIENCE = 300.0     # seconds between two PINGs that nothing but their answers came between: gRPC servers end connections with more
cdef double DOUBT = 1.0          # seconds after the loss of one connection in which others are looked at before they are used
cdef double _in_doubt_until = 0.0    # seconds on the coarse monotonic clock


cdef void doubt_others():
    global _in_doubt_until
    _in_doubt_until = coarse_monotonic() + DOUBT


cdef class PooledCarrier(StreamCarrier):

    cdef void flush(self):
        pass

    # --- offers -------------------------------------------------------------------------------------------------------

    cdef bint has_room(self) noexcept:
        return self.phase <= OPEN and self.active < self.limit and not self.endpoint.pool.leaving and not self.questioned

    cdef void offer(self):
        cdef Http2ClientStream stream
        cdef Exchange exchange
        if self.offering or self.offered is not None:
            return
        self.offering = True
        while self.has_room():
            stream = self.new_stream()
            if self.phase == CONNECTING:
                self.offered = stream
                self.endpoint.pool.abandon(stream)
                break
            if not stream.is_reusable():
                break
            if not (self.endpoint.pool.may_go_on() if self.active else self.endpoint.pool.may_keep()):
                self.leave(True)                 # also with requests under way, or another worker would wait for good
                break
            exchange = <Exchange>self.endpoint.pool.next_request(stream)
            if exchange is None:
                self.offered = stream
                self.endpoint.pool.keep(stream)
                break
            stream.taken()
            exchange.use(stream)
        self.offering = False

    cdef void offer_idle(self):
        """Have the next stream in the pool. It serves no request that waits: one is being sent off just now, and stands in the queue until it is."""
        cdef Http2ClientStream stream
        if self.offering or self.offered is not None or not self.has_room():
            return
        stream = self.new_stream()
        if self.phase == CONNECTING:
            self.offered = stream
            self.endpoint.pool.abandon(stream)
        elif stream.is_reusable() and self.endpoint.pool.may_go_on():
            self.offered = stream
            self.endpoint.pool.keep(stream)

    cdef void withdraw(self):
        cdef Http2ClientStream stream = self.offered
        if stream is not None:
            self.offered = None
            self.endpoint.pool.settle(stream)
            self.endpoint.pool.leave(stream)

    cdef void ended(self, Http2ClientStream stream):
        self.active -= 1
        self.streams.pop(stream.number, None)
        self.waiting.pop(stream, None)
        self.blocked.discard(stream)
        self.offer()
        self._rest()
        self._close_if_done()

    cdef bint is_in_doubt(self) noexcept:
        return _in_doubt_until != 0.0 and coarse_monotonic() < _in_doubt_until

    cdef void _rest(self) noexcept:
        """No request is under way: start the clock of the next one."""
        if self.active == 0 and self.phase == OPEN:
            self.deadline = coarse_monotonic() + self.endpoint.idle_timeout

    # --- ends ---------------------------------------------------------------------------------------------------------

    cdef void leave(self, bint keeps_room):
        if self.phase == OPEN:
            self.phase = LEAVING
            self.withdraw()
            if not keeps_room:
                self._give_up_room()
            self._close_if_done()

    cdef void _close_if_done(self):
        if self.phase == LEAVING and self.active == 0:
            self.session.terminate(0)
            self.flush()
            self.phase = GONE
            self.deadline = coarse_monotonic() + LAST
            self._give_up_room()
            self.connection.close()

    cdef void _give_up_room(self):
        if self.counted:
            self.counted = False
            self.endpoint.pool.forget()

    cdef void end(self):
        if self.phase == OPEN and self.active == 0:
            self.leave(False)
        elif self.connection is not None:
            self.connection.reset()

    # --- is the endpoint still there? ---------------------------------------------------------------------------------

    cdef void _ping(self, double now):
        self.pinged_at = now
        self.session.ping()
        self.flush()

    cdef void question(self, double asked_at, double silence):
        """Some network drops what a connection sends and says nothing. Else each request on it would wait for nothing until TCP gives up."""
        cdef double now = coarse_monotonic()
        if self.phase != OPEN or self.heard_at > asked_at or now - self.heard_at < silence:
            return
        if not self.spoke and now - self.questioned_at < PATIENCE:
            return
        self.questioned_at = now
        self.spoke = False
        self.questioned = True
        self.withdraw()
        if self.pinged_at == 0.0:
            self._ping(now)

    cdef void _look(self, double now):
        """Is the endpoint still there, and is the connection old enough to end?"""
        cdef double interval = self.endpoint.http2.ping_interval
        if self.pinged_at != 0.0:
            if now - self.pinged_at >= self.endpoint.http2.ping_timeout:
                self.endpoint.counters.ping_timeouts += 1
                self.endpoint.failed(f"no answer to an HTTP/2 PING within {self.endpoint.http2.ping_timeout:g} s", now)
                self.connection.reset()
                return
        elif interval != 0.0 and self.phase != CONNECTING and now - self.heard_at >= interval:
            self._ping(now)
        if self.leave_at != 0.0 and now >= self.leave_at:
            self.leave(False)
