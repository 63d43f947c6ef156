"""One request and its response, from the admitted head to the last byte.

Knows who decides (gate, cluster), what was sent where, and when sending again is safe. Knows nothing of how either side
frames its bytes: a client side is a `Downstream`, an endpoint side an `Upstream`, and nothing here assumes that a
connection carries one exchange at a time.

| state      | event                          | next                                                                                     |
| ---------- | ------------------------------ | ---------------------------------------------------------------------------------------- |
| IDLE       | begin: refused                 | IDLE, answered by us                                                                     |
| IDLE       | begin: a pooled connection     | AWAITING                                                                                 |
| IDLE       | begin: none                    | CONNECTING                                                                               |
| IDLE       | begin: every endpoint is full  | PENDING; 503 when the queue is full too                                                  |
| PENDING    | an endpoint has room           | CONNECTING or AWAITING                                                                   |
| PENDING    | waited too long                | 503                                                                                      |
| CONNECTING | connected                      | AWAITING                                                                                 |
| CONNECTING | connect failed                 | CONNECTING or AWAITING on the next endpoint, PENDING; 503 when none is left              |
| AWAITING   | interim response               | AWAITING                                                                                 |
| AWAITING   | response head                  | RESPONDING; TUNNEL after 101; IDLE when the response is whole                            |
| AWAITING   | connection lost                | sent again when RFC 9110 section 9.2.2 allows and no response byte came; else 502        |
| AWAITING   | deadline                       | 504                                                                                      |
| RESPONDING | end of the response            | IDLE; the connection goes back to its pool if nothing is in doubt                        |
| RESPONDING | connection lost, broken body   | IDLE; the client's connection is cut so that the response cannot look complete           |
| TUNNEL     | either side ends               | IDLE once both have                                                                      |
| any        | client lost                    | IDLE; the endpoint's connection is closed, the place in the queue is given up            |
"""

from lbjwt._error_reason import ErrorReason as ErrorNames

from libc.string cimport memcpy

from lbjwt._error_reason cimport ErrorReason
from lbjwt._fastverify cimport NONE
from lbjwt.http1._grammar cimport before_query
from lbjwt.http1._request cimport DELETE, GET, HEAD, OPTIONS, PUT
from lbjwt.net._wire cimport FAILED, coarse_monotonic, monotonic, wall_clock
from lbjwt.observe._access_log cimport AccessRecord
from lbjwt.proxy._admission cimport is_suspicious
from lbjwt.proxy._frames cimport GOODBYE, GOODBYE_SIZE, FrameTracker

cdef enum:
    SPARE_EXCHANGES = 256        # kept to be used again, with their buffers
    SPARE_BUFFER = 65536         # bytes; a larger buffer is not kept
    HELD_BODY = 65536            # bytes of a request body kept for sending it again


cdef class Upstream(Wire):

    cdef Sent transmit(self, Exchange exchange):
        return FAILED

    cdef void request_body(self, const char *body, Py_ssize_t size, bint end):
        pass

    cdef void release(self, bint whole):
        pass


cdef Exchange new_exchange(Traffic traffic, Downstream downstream):
    cdef Exchange exchange
    if traffic.spare:
        exchange = <Exchange>traffic.spare.pop()
    else:
        exchange = Exchange.__new__(Exchange)
        exchange.request = Buffer.__new__(Buffer)
    exchange.traffic = traffic
    exchange.snapshot = traffic.snapshot
    exchange.downstream = downstream
    exchange.state = IDLE
    exchange.retries = 0
    exchange.tried = None
    exchange.pending_until = 0.0
    exchange.fresh = False
    exchange.status = 0
    exchange.reason = NONE
    exchange.error = ErrorReason.NO_ERROR
    exchange.no_endpoint = ErrorReason.CONNECT_FAILED
    exchange.request_bytes = 0
    exchange.response_bytes = 0
    exchange.client_ended = False
    exchange.endpoint_ended = False
    traffic.board.mine.in_flight += 1
    return exchange


cdef class Exchange(PendingRequest):

    # --- request ------------------------------------------------------------------------------------------------------

    cdef void begin(self, RequestHead head, RequestPolicy policy, Admission admission, Slice peer, bint trusted, const char *body,
                    Py_ssize_t size, bint end):
        """Forward what was judged, or answer it. body: what of it came with the head; end: that is all of it."""
        cdef Traffic traffic = self.traffic
        cdef Grant grant = admission.grant
        self.method = head.method
        self.http10 = head.http10
        self.websocket = head.websocket
        self.chunked = head.chunked
        self.request_complete = end
        self.request_bytes = size
        if trusted and head.request_id.at != NULL:
            self.request_id_size = head.request_id.size
            memcpy(self.request_id, head.request_id.at, head.request_id.size)
        else:
            self.request_id_size = REQUEST_ID_SIZE
            traffic.next_request_id(self.request_id)
        if traffic.access_log is not None:
            self._remember(head, admission, peer, trusted)
        if head.dropped_names:
            traffic.board.mine.dropped_header_names += head.dropped_names
        self.route = admission.route
        self.cluster = None if admission.route is None else admission.route.cluster
        self.issuer = admission.issuer
        self.reason = admission.reason
        self.reported = admission.reported
        self.grant = grant
        self.other_grants = admission.others
        if admission.document is not None:
            self._answer(admission.document)
            return
        if admission.route is None:
            if admission.error == ErrorReason.AMBIGUOUS_PATH:
                traffic.board.mine.bad_requests += 1
            self.fail(admission.error)
            return
        if self.reason != NONE:
            self._refuse(head, policy.https, peer, trusted)
            return
        if self.reported != NONE:
            traffic.board.my_issuers[admission.reported_issuer + 1].reported[<int>self.reported] += 1
        if grant is not None:
            traffic.board.my_issuers[self.issuer + 1].accepted += 1
            if self.downstream.last_grant is not grant:
                self.downstream.last_grant = grant
        self.token_in_query = head.token_in_query
        self.subprotocol_answer = head.subprotocol_answer
        self.request.clear()
        head.write(self.request, policy, peer, trusted, admission.identity, self._identifier())
        if size:
            self.request.put(body, size)
        self.replayable = end and size <= HELD_BODY and (
            self.method == GET or self.method == HEAD or self.method == PUT or self.method == DELETE or self.method == OPTIONS)
        self.dispatch()

    cdef void _remember(self, RequestHead head, Admission admission, Slice peer, bint trusted):
        cdef Slice client, path
        self.log_client_size = 0
        if trusted:
            client = admission.source(head, peer, trusted)
            if client.at != peer.at:
                self.log_client_size = min(client.size, <Py_ssize_t>MAX_ADDRESS)
                memcpy(self.log_client, client.at, self.log_client_size)
        self.started_at = wall_clock()
        self.started = monotonic()
        self.log_method = head.method_name.at[:head.method_name.size]
        path = before_query(head.target)
        self.log_path = path.at[:path.size]
        self.log_host = head.host.at[:head.host.size]

    cdef Slice _identifier(self) noexcept:
        return Slice(&self.request_id[0], self.request_id_size)

    cdef void _refuse(self, RequestHead head, bint https, Slice peer, bint trusted):
        cdef Traffic traffic = self.traffic
        cdef Slice source
        cdef Answer answer
        traffic.board.my_issuers[self.issuer + 1].refusals[<int>self.reason] += 1
        if self.snapshot.admission.offenders is not None and is_suspicious(self.reason):
            source = self.snapshot.admission.source(head, peer, trusted)
            self.snapshot.admission.offenders.blame(source.at, source.size, coarse_monotonic())
        try:
            answer = self.route.refusal(self.reason, head, https)
        except BaseException as fault:
            self.snapshot.gate.note(fault)
            self.note(ErrorReason.INTERNAL_ERROR)
            answer = traffic.answer(ErrorReason.INTERNAL_ERROR, False)
        self._answer(answer)

    cdef void _answer(self, Answer answer):
        self.status = answer.status
        self.response_bytes = len(answer.body)
        self.downstream.answer(answer, self._identifier())
        self.finish(True)

    cdef void dispatch(self):
        """Send the request to the best endpoint that was not tried: on a pooled connection, or on a new one. When all are full, wait in line."""
        cdef Endpoint endpoint
        cdef Upstream upstream
        while True:
            # A new request goes behind those that wait already; one that was sent off before does not.
            endpoint = None
            if self.state == PENDING or self.tried is not None or self.cluster.pending.is_empty():
                endpoint = self.cluster.pick(self.tried, coarse_monotonic())
            if endpoint is None:
                self._wait_or_refuse()
                return
            self._leave_queue()
            self.cluster.take(endpoint)
            upstream = <Upstream>endpoint.take_idle(self.fresh, self.cluster.max_connections)
            if upstream is None:
                break
            self._charge(endpoint)
            if self._transmit(upstream) != FAILED:
                return
            self._discharge()
        if self.tried is None and endpoint.ejected_until > coarse_monotonic():
            self.no_endpoint = ErrorReason.ENDPOINTS_DOWN    # every one failed a moment ago: this is the last resort
        self._charge(endpoint)
        self.state = CONNECTING
        if endpoint.unclaimed:
            upstream = <Upstream>next(iter(endpoint.unclaimed))
            del endpoint.unclaimed[upstream]
        else:
            upstream = <Upstream?>self.traffic.open_connection(endpoint)
        upstream.exchange = self
        self.upstream = upstream
        if self.request_complete and not self.fresh:
            endpoint.connecting[upstream] = None

    cdef void _wait_or_refuse(self):
        """No endpoint can take this request now."""
        cdef Traffic traffic = self.traffic
        cdef double now = coarse_monotonic()
        if self.state == PENDING:
            return
        if (self.tried is None and not self.cluster.pending.is_empty()) or self.cluster.may_get_room(self.tried):
            traffic.board.mine.endpoints_full += 1
            if self.cluster.pending.enter(self, now):
                self.state = PENDING
                self.tried = None            # when its turn comes any endpoint will do: one that it may not use would hold up all behind it
                return
            self.fail(ErrorReason.PENDING_OVERFLOW if self.cluster.pending.max_pending else ErrorReason.ENDPOINTS_FULL)
            return
        self.fail(self.no_endpoint)

    cdef void _leave_queue(self):
        if self.state == PENDING:
            self.cluster.pending.leave(self)
            self.state = IDLE

    cdef void pending_timed_out(self):
        self.fail(ErrorReason.PENDING_TIMEOUT)

    cdef Sent _transmit(self, Upstream upstream):
        """FAILED: not one byte was sent, so that any request may go elsewhere."""
        cdef Sent sent
        self.upstream = upstream
        self.state = AWAITING
        sent = upstream.transmit(self)
        if sent == FAILED:
            self._drop_upstream()
        elif not self.request_complete:
            self.downstream.request_wanted()
        return sent

    cdef void _drop_upstream(self):
        cdef Upstream upstream = self.upstream
        self._leave_queue()
        self.upstream = None
        self.state = IDLE
        if upstream is not None:
            upstream.exchange = None
            upstream.release(False)

    cdef void _charge(self, Endpoint endpoint):
        self.endpoint = endpoint
        endpoint.counters.in_flight += 1

    cdef void _shut_out(self, Endpoint endpoint):
        if self.tried is None:
            self.tried = set()
        self.tried.add(endpoint)

    cdef void _discharge(self):
        if self.endpoint is not None:
            self.endpoint.counters.in_flight -= 1
            self.endpoint = None

    cdef void connected(self):
        if self._transmit(self.upstream) == FAILED:
            self.endpoint.mark_unreachable(coarse_monotonic())
            self.connect_failed()

    cdef void use(self, Upstream upstream):
        """A connection got free while this request waited for one that is being opened, or in the queue."""
        if self.state == PENDING:
            self._leave_queue()
            self.cluster.take(upstream.endpoint)
            self._charge(upstream.endpoint)
        if self._transmit(upstream) == FAILED:
            self._discharge()
            self.dispatch()

    cdef void connect_failed(self):
        self._shut_out(self.endpoint)
        self._drop_upstream()
        self._discharge()
        self.dispatch()

    cdef void _try_elsewhere(self):
        """Send again, to another endpoint if there is one, on a connection nobody used before."""
        cdef Endpoint endpoint = self.endpoint
        self._shut_out(endpoint)
        self._drop_upstream()
        self._discharge()
        if self.cluster.pick(self.tried, coarse_monotonic()) is None:
            self.tried.discard(endpoint)         # to the same one, rather than to nobody
        self.fresh = True
        self.retries += 1
        self.traffic.board.mine.retries += 1
        self.dispatch()

    cdef bint wants_body(self) noexcept:
        return self.state != CONNECTING and self.state != PENDING and (self.upstream is None or not self.upstream.write_paused)

    cdef void request_body(self, const char *body, Py_ssize_t size, bint end):
        self.request_bytes += size
        self.request_complete = end
        self.replayable = False
        if self.upstream is not None:
            self.upstream.request_body(body, size, end)

    # --- response -----------------------------------------------------------------------------------------------------

    cdef void interim(self, ResponseHead head):
        self.replayable = False
        if not self.http10:
            self.downstream.interim(head)

    cdef void response(self, ResponseHead head, const char *body, Py_ssize_t size, bint end):
        self.status = head.status
        self.response_bytes = size
        self.endpoint.counters.responses[head.status // 100] += 1
        if self.endpoint.failing:
            self.endpoint.recovered()
        if head.websocket:
            self.state = TUNNEL
            self.frames = FrameTracker.__new__(FrameTracker)
            self.downstream.switch(head)
            return
        self.state = RESPONDING
        self.downstream.respond(head, body, size, end)
        if end:
            self.finish(True)

    cdef void response_body(self, const char *body, Py_ssize_t size, bint end):
        self.response_bytes += size
        self.downstream.relay(body, size, end)
        if end:
            self.finish(True)

    # --- tunnel -------------------------------------------------------------------------------------------------------

    cdef void tunnel_up(self, const char *data, Py_ssize_t size):
        self.request_bytes += size
        self.upstream.deadline = coarse_monotonic() + self.snapshot.stream_idle_timeout
        if self.upstream.send(data, size) == FAILED:
            self.upstream.reset()                # after its FIN nothing is read from the endpoint, so nobody else would notice

    cdef void tunnel_down(self, const char *data, Py_ssize_t size):
        self.response_bytes += size
        self.upstream.deadline = coarse_monotonic() + self.snapshot.stream_idle_timeout
        self.frames.feed(data, size)
        self.downstream.send(data, size)

    cdef void tunnel_ended(self, bint by_client):
        """One side will send no more; the tunnel is over when both have said so."""
        if by_client:
            self.client_ended = True
            self.upstream.shutdown()
        else:
            self.endpoint_ended = True
            self.downstream.shutdown()
        if self.client_ended and self.endpoint_ended:
            self.finish(True)

    # --- the token's end ----------------------------------------------------------------------------------------------

    cdef void outlive(self, double now):
        """End a response or tunnel under way whose token has expired or was withdrawn. now: seconds since the epoch."""
        cdef double grace
        cdef bint spent
        if self.grant is None or not self.route.end_streams or (self.state != RESPONDING and self.state != TUNNEL):
            return
        grace = self.route.stream_grace
        spent = self._spent(self.grant, now, grace)
        if not spent and self.other_grants is not None:
            for grant in self.other_grants:
                spent = spent or self._spent(<Grant>grant, now, grace)
        if not spent:
            return
        self.note(ErrorReason.TOKEN_ENDED)
        self.traffic.board.mine.streams_ended += 1
        if self.state == TUNNEL:
            if self.frames.between():
                self.downstream.send(GOODBYE, GOODBYE_SIZE)
            self.downstream.close()
            self.finish(False)
        else:
            self.downstream.cut()                # no last chunk, no quiet end: it must not look complete
            self.finish(False)

    cdef bint _spent(self, Grant grant, double now, double grace):
        try:
            return now >= grant.valid_until + grace or not self.snapshot.gate.stands(grant, now)
        except BaseException as fault:
            self.snapshot.gate.note(fault)
            return True

    # --- ends ---------------------------------------------------------------------------------------------------------

    cdef void upstream_lost(self, bint begun):
        """The endpoint's connection ended before the response was whole. begun: a part of its head came."""
        if self.state == AWAITING and self.replayable and self.retries < self.cluster.retries:
            self.endpoint.counters.failures += 1
            self._try_elsewhere()
        else:
            self.upstream_failed(ErrorReason.RESPONSE_INCOMPLETE if begun or self.state != AWAITING else ErrorReason.NO_RESPONSE)

    cdef void upstream_failed(self, ErrorReason reason):
        """The endpoint broke its word: no, no proper, or no whole response."""
        self.endpoint.counters.failures += 1
        self.note(reason)
        self.endpoint.failed(ErrorNames(<int>reason).name.lower().replace("_", " "), coarse_monotonic())
        if self.state == RESPONDING:
            self.downstream.cut()
            self.finish(False)
        elif self.state == TUNNEL:
            self.downstream.close()
            self.finish(True)
        else:
            self.fail(reason)

    cdef void request_broken(self, ErrorReason reason):
        """The rest of the request will not come: its framing is broken, it is too large, or it stalled."""
        self.note(reason)
        if self.state == RESPONDING:
            self.downstream.cut()
            self.finish(False)
        else:
            self.fail(reason)

    cdef void downstream_lost(self):
        self.note(ErrorReason.CLIENT_CLOSED)
        self.downstream.broken = True
        self.finish(False)

    cdef void note(self, ErrorReason reason) noexcept:
        """What went wrong, for log and metrics. The first thing that does is the cause of all others."""
        if self.error == ErrorReason.NO_ERROR:
            self.error = reason

    cdef void fail(self, ErrorReason reason):
        """Answer in the endpoint's place. No byte of a final response has gone to the client yet."""
        self.note(reason)
        self._drop_upstream()
        self._answer(self.traffic.answer(reason, self.route is not None and self.route.expose_reason))

    cdef void finish(self, bint whole):
        """Count, log, give back what was borrowed, and let the client side go on. Nothing may touch this exchange afterwards: it is used again.

        whole: the response was had from the endpoint to its end (or is our own).
        """
        cdef Traffic traffic = self.traffic
        cdef Downstream downstream = self.downstream
        cdef Upstream upstream = self.upstream
        self._leave_queue()
        traffic.board.mine.in_flight -= 1
        traffic.board.mine.requests[self.status // 100] += 1
        if self.error != ErrorReason.NO_ERROR:
            traffic.board.mine.errors[<int>self.error] += 1
        if self.route is not None and self.route.index >= 0:
            traffic.board.my_routes[self.route.index].requests[self.status // 100] += 1
        if self.endpoint is not None:
            self.endpoint.counters.requests += 1
        if traffic.access_log is not None and self.log_method is not None:     # a reload may have opened it after the request began
            self._log(whole and not downstream.broken)
        self.state = IDLE
        self.log_method = None
        self.upstream = None
        self.downstream = None
        self.route = self.grant = self.other_grants = self.frames = self.cluster = self.snapshot = None
        if upstream is not None:
            upstream.exchange = None
            upstream.release(whole and self.request_complete)
        self._discharge()
        if self.request.capacity > SPARE_BUFFER:
            self.request = Buffer.__new__(Buffer)
        if len(traffic.spare) < SPARE_EXCHANGES:
            traffic.spare.append(self)
        downstream.released()

    cdef void _log(self, bint complete):
        cdef AccessRecord record
        cdef bytes label
        cdef Slice peer = self.downstream.peer()
        record.started_at = self.started_at
        record.duration = monotonic() - self.started
        record.client = record.peer = peer
        if self.log_client_size:
            record.client = Slice(&self.log_client[0], self.log_client_size)
        record.method = Slice(self.log_method, len(self.log_method))
        record.path = Slice(self.log_path, len(self.log_path))
        record.host = Slice(self.log_host, len(self.log_host))
        record.request_id = self._identifier()
        record.endpoint = record.issuer = record.route = Slice(NULL, 0)
        if self.endpoint is not None:
            record.endpoint = Slice(self.endpoint.label, len(self.endpoint.label))
        if self.issuer >= 0:
            label = <bytes>self.snapshot.issuer_labels[self.issuer]
            record.issuer = Slice(label, len(label))
        if self.route is not None and self.route.name:
            record.route = Slice(self.route.label, len(self.route.label))
        record.would_refuse = self.reported
        record.status = CLIENT_CLOSED_STATUS if self.status == 0 and self.error == ErrorReason.CLIENT_CLOSED else self.status
        record.reason = self.reason
        record.error = self.error
        record.request_bytes = self.request_bytes
        record.response_bytes = self.response_bytes
        record.complete = complete
        record.retries = self.retries
        self.traffic.access_log.record(&record)
