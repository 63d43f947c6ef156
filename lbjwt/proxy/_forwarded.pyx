"""
A request on its way to an endpoint: picking one, waiting for one, and trying the next one. `upstream/` has the rules that are asked: `Cluster.pick`,
`Pool`, and `_retry` for what may be sent again. What comes back is the business of the exchange.
"""

from lbjwt.net._clock cimport coarse_monotonic
from lbjwt.net._connection cimport FAILED
from lbjwt.observe._endpoint_states cimport add_to
from lbjwt.proxy._exchange_states cimport (
    AWAITING, CONNECT_FAILED, CONNECTED, CONNECTING, OVER, PENDING, PENDING_TIMED_OUT, RESPONDING, ROOM, STREAM_FREE, TUNNEL,
)
from lbjwt.upstream._retry cimport RetryCause, exclude, may_try_next, send_elsewhere

cdef double CONNECT_SHARE = 0.5      # of what is left of the route's deadline: as much stays for the next endpoint, and it for its response


cdef class ForwardedRequest(UpstreamRequest):

    # --- states -------------------------------------------------------------------------------------------------------

    def meets(self, Event event):
        """`expects` for tests of the table."""
        return self.expects(event)

    cdef bint _unexpected(self) noexcept:
        """A fault of ours."""
        self._fault()
        self.end_by_fault()
        return False

    cdef void end_by_fault(self) noexcept:
        """The request ends at once; an exchange that is over may belong to another one and is left alone."""
        if self.state == OVER:
            return
        if self.state == RESPONDING or self.state == TUNNEL:
            self.note(ErrorReason.INTERNAL_ERROR)
            self.client.reset(ErrorReason.INTERNAL_ERROR)
            self.finish(False)
        else:
            self.fail(ErrorReason.INTERNAL_ERROR)

    cdef void _fault(self) noexcept:
        self.context.snapshot.gate.note(AssertionError())

    # --- finding an endpoint ------------------------------------------------------------------------------------------

    cdef void dispatch(self):
        if self.expects(ROOM):
            self._send_off()

    cdef void _send_off(self):
        """Send the request to the best endpoint that was not tried: on an idle stream, or on a new one. When all are full, wait in line."""
        cdef Endpoint endpoint
        cdef BackendStream backend
        cdef set passed_over = self.tried
        cdef Py_ssize_t counted
        cdef double now
        while True:
            # A new request goes behind those that wait; one whose first endpoint failed does not.
            endpoint = None
            if self.state == PENDING or self.tried is not None or self.cluster.pending.is_empty():
                endpoint = self.cluster.pick(self, passed_over, coarse_monotonic())
            if endpoint is not None and endpoint.state.on_trial and not self.replayable:
                endpoint = self._pick_safer(endpoint, passed_over, coarse_monotonic())
            if endpoint is None:
                self._wait_or_refuse()
                return
            backend = <BackendStream>endpoint.pool.take_idle(self.fresh)
            if backend is None:
                backend = <BackendStream>endpoint.pool.take_unclaimed()
                if backend is not None or endpoint.pool.reserve(coarse_monotonic()):
                    break
                passed_over = {endpoint} if passed_over is None else passed_over | {endpoint}    # another worker took the room
                continue
            self._leave_queue()
            self.cluster.take(endpoint)
            self._charge(endpoint)
            if self._transmit(backend) != FAILED:
                return
            self._discharge()
        now = coarse_monotonic()
        self._leave_queue()
        self.cluster.take(endpoint)
        self.connect_until = now + CONNECT_SHARE * (self.give_up_at - now)
        if self.tried is None and not endpoint.is_healthy(now):
            self.no_endpoint = ErrorReason.ENDPOINTS_DOWN    # every one failed a moment ago: this is the last resort
        self._charge(endpoint)
        self.connects += 1
        self._move(CONNECTING)
        if backend is None:
            counted = endpoint.pool.open
            try:
                backend = <BackendStream?>self.context.open_connection(endpoint)
            except BaseException:
                if endpoint.pool.open == counted:        # else the stream gives the room back itself
                    endpoint.pool.unreserve()
                raise
        self.backend = backend
        endpoint.pool.connecting_for(backend, self)

    cdef Endpoint _pick_safer(self, Endpoint picked, set passed_over, double now):
        """For a request that cannot be sent again: another endpoint than one that it would try, if there is a healthy one."""
        cdef set others = set() if passed_over is None else set(passed_over)
        cdef Endpoint endpoint = picked
        while endpoint is not None and endpoint.awaits_replayable(self.request_complete, now):
            others.add(endpoint)
            endpoint = self.cluster.pick(self, others, now)
        return picked if endpoint is None or not endpoint.is_healthy(now) else endpoint

    cdef void _wait_or_refuse(self):
        cdef ProxyContext context = self.context
        cdef double now = coarse_monotonic()
        if self.state == PENDING:
            return
        if (self.tried is None and not self.cluster.pending.is_empty()) or self.cluster.may_get_room(self.tried):
            context.board.mine.endpoints_full += 1
            if self.cluster.wait(self, now):
                self._move(PENDING)
                self.tried = None            # in its turn any endpoint will do: if one were barred to it, all behind it would wait
                return
            self.fail(ErrorReason.PENDING_OVERFLOW if self.cluster.pending.max_pending else ErrorReason.ENDPOINTS_FULL)
            return
        self.fail(ErrorReason.ENDPOINTS_DOWN if self.tried is None else self.no_endpoint)

    cdef void _leave_queue(self):
        if self.state == PENDING:
            self.cluster.pending.leave(self)

    cdef void pending_timed_out(self):
        cdef bint late
        if self.expects(PENDING_TIMED_OUT):
            late = self.give_up_at != 0.0 and self.give_up_at <= coarse_monotonic()
            self.fail(ErrorReason.ROUTE_TIMEOUT if late else ErrorReason.PENDING_TIMEOUT)

    cdef Sent _transmit(self, BackendStream backend):
        """FAILED: not one byte was sent, so that any request may go elsewhere."""
        cdef Sent sent
        self.backend = backend
        self._move(AWAITING)
        sent = backend.transmit(self)
        if sent == FAILED:
            self._drop_backend()
        elif not self.request_complete:
            self.client.request_wanted()
        return sent

    cdef void _drop_backend(self):
        cdef BackendStream backend = self.backend
        self._leave_queue()
        self.backend = None
        if backend is not None:
            if self.state == CONNECTING:         # which goes on, and ends with a verdict
                backend.trial = self.take_trial() or backend.trial
            backend.request = None
            backend.release(False)

    cdef void _charge(self, Endpoint endpoint):
        self.endpoint = endpoint
        self.trial = HOLDS_TRIAL if endpoint.charge() else NO_TRIAL
        if self.retries:
            self._count_retrying(1)

    cdef void _discharge(self):
        if self.endpoint is not None:
            if self.take_trial():
                self.endpoint.end_trial()
            if self.retrying:
                self._count_retrying(-1)
            self.endpoint.discharge()
            self.endpoint = None

    cdef void _count_retrying(self, int amount) noexcept:
        self.retrying = amount > 0
        self.endpoint.counters.retrying += amount
        add_to(&self.endpoint.state.retrying, amount)

    cdef void connected(self):
        if not self.expects(CONNECTED):
            return
        if self._transmit(self.backend) == FAILED:
            self.endpoint.unreachable("a new connection was reset before the request was sent", self.take_trial(), coarse_monotonic())
            self._try_next()

    cdef void connect_failed(self):
        if self.expects(CONNECT_FAILED):
            self._try_next()

    cdef void _send_again(self, RetryCause cause, bint whole):
        """`_retry` allows it. whole: the response that is dropped was had to its end, and so its connection may be used again."""
        cdef Endpoint endpoint = self.endpoint
        cdef BackendStream backend = self.backend
        endpoint.counters.requests += 1
        self.context.board.mine.retries += 1
        self.backend = None
        backend.request = None
        backend.release(whole)
        self._discharge()
        send_elsewhere(self, self.cluster, endpoint, cause, coarse_monotonic())
        self.fresh = self.fresh and not backend.multiplexed      # the others know of their end at once
        self._send_off()

    cdef void _try_next(self):
        """No connection could be had, or not soon enough."""
        exclude(self, self.endpoint)
        self._drop_backend()
        self._discharge()
        if may_try_next(self, self.retry):
            self._send_off()
        else:
            self.fail(ErrorReason.CONNECT_FAILED)

    cdef void _stop_connecting(self, double now):
        """
        Connecting has taken its share of the route's deadline: go on to another endpoint, if there is one. The connection is still being opened, and
        what comes of it is the verdict on its endpoint.
        """
        cdef set others = {self.endpoint} if self.tried is None else self.tried | {self.endpoint}
        if may_try_next(self, self.retry) and self.cluster.pick(self, others, now) is not None:
            self._try_next()

    cdef void use(self, BackendStream backend):
        """A stream got free while this request waited for one that is being opened, or in the queue."""
        if not self.expects(STREAM_FREE):
            return
        if self.state == PENDING:
            self._leave_queue()
            self.cluster.take(backend.endpoint)
            self._charge(backend.endpoint)
        if self._transmit(backend) == FAILED:
            self._discharge()
            self._send_off()

    # --- ends ---------------------------------------------------------------------------------------------------------

    cdef void note(self, ErrorReason reason) noexcept:
        """What went wrong, for log and metrics. The first thing that does is the cause of all others."""
        if self.error == ErrorReason.NO_ERROR:
            self.error = reason

    cdef void fail(self, ErrorReason reason):
        pass

    cdef void finish(self, bint whole):
        pass
