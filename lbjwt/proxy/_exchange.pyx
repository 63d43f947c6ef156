"""One request and its response, from the authorized head to the last byte.

Knows what was decided of the request, what was sent to whom, and what the log and the numbers say of it. Knows nothing of connections, nor of how
either side frames its bytes: it has a `ClientStream` on one side and a `BackendStream` on the other. Which endpoint gets the request is found in
`_forwarded`, and `_judged` knows what the request says of that endpoint.

What may happen in which state, and what comes of it, is the table of `_exchange_states`: every event is checked against it.
"""

from lbjwt._error_reason import ErrorReason as ErrorNames

from libc.string cimport memcpy

from lbjwt._fastverify cimport NONE
from lbjwt._grants cimport Grant
from lbjwt.net._clock cimport coarse_monotonic
from lbjwt.observe._access_log cimport HTTP_1_0, HTTP_1_1, HTTP_2, AccessRecord
from lbjwt.proxy._admission cimport is_suspicious
from lbjwt.proxy._balancing_key cimport learn
from lbjwt.proxy._exchange_states cimport (
    AWAITING, BACKEND_DATA, BACKEND_ENDED, BACKEND_FAILED, BACKEND_LOST, BEGIN, CLIENT_DATA, CLIENT_ENDED, CLIENT_LOST, CONNECTING, INTERIM,
    NEW, OVER, PENDING, REQUEST_BODY, REQUEST_BROKEN, RESPONDING, RESPONSE, RESPONSE_BODY, TIMED_OUT, TOKEN_ENDED, TUNNEL, TUNNEL_CLOSED,
    is_expected,
)
from lbjwt.proxy._grpc_call cimport UNAVAILABLE
from lbjwt.proxy._route cimport Route
from lbjwt.proxy._tunnel cimport new_tunnel
from lbjwt.observe._endpoint_states cimport EjectionCause
from lbjwt.upstream._cluster cimport Cluster
from lbjwt.upstream._ejection cimport cause_of
from lbjwt.upstream._retry cimport RetryCause, is_kept, is_replayable

cdef enum:
    SPARE_EXCHANGES = 256        # kept to be used again, with their buffers
    SPARE_BUFFER = 65536         # bytes; a larger buffer is not kept
    LOGGED_ENDPOINTS = 16        # failed ones that the access log names of one request


cdef Exchange new_exchange(ProxyContext context, ClientStream client):
    cdef Exchange exchange
    cdef Authorization authorization = context.authorization
    if context.spare:
        exchange = <Exchange>context.spare.pop()
    else:
        exchange = Exchange.__new__(Exchange)
        exchange.request = Buffer.__new__(Buffer)
        exchange.authorization = Authorization.__new__(Authorization)
        exchange.logged = LoggedRequest.__new__(LoggedRequest)
    context.authorization = exchange.authorization
    exchange.authorization = authorization
    exchange.context = context
    exchange.snapshot = context.snapshot
    exchange.client = client
    exchange.state = NEW
    exchange.start_attempts()
    exchange.status = 0
    exchange.error = ErrorReason.NO_ERROR
    exchange.request_bytes = 0
    exchange.response_bytes = 0
    exchange.held_back = 0.0
    exchange.is_logged = False
    exchange.call = None
    context.board.mine.in_flight += 1
    return exchange


cdef class Exchange(JudgedRequest):

    # --- request ------------------------------------------------------------------------------------------------------

    cdef void begin(self, RequestHead head, RequestPolicy policy, Slice peer, bint trusted, const char *body, Py_ssize_t size, bint end):
        """Forward what was authorized, or answer it. body: what of it came with the head; end: that is all of it."""
        cdef ProxyContext context = self.context
        cdef Authorization authorization = self.authorization
        if not self.expects(BEGIN):
            return
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
            context.next_request_id(self.request_id)
        if context.access_log is not None:
            self.is_logged = True
            self.logged.begin(head, self.snapshot.admission.source(head, peer, trusted) if trusted else peer, peer)
        if head.dropped_names:
            context.board.mine.dropped_header_names += head.dropped_names
        if authorization.document is not None:
            self._answer(authorization.document)
            return
        if self.call is not None and self.call.is_over(coarse_monotonic()):
            self.fail(ErrorReason.DEADLINE_EXCEEDED)     # it has waited for keys
            return
        if authorization.route is None:
            if authorization.error == ErrorReason.AMBIGUOUS_PATH:
                context.board.mine.bad_requests += 1
            self.fail(authorization.error)
            return
        if authorization.reason != NONE:
            self._refuse(head, policy.https, peer, trusted)
            return
        if authorization.reported != NONE:
            context.board.my_issuers[authorization.reported_issuer + 1].reported[<int>authorization.reported] += 1
        if authorization.grant is not None:
            context.board.my_issuers[authorization.issuer + 1].accepted += 1
        if self.client.authorizer is not None:
            self._allow()
            return
        self.cluster = authorization.route.cluster
        if authorization.route.choice is not None:
            if authorization.cluster < 0:            # a fault of ours: such a request is refused before
                self.fail(ErrorReason.INTERNAL_ERROR)
                return
            self.cluster = <Cluster>authorization.route.choice.clusters[authorization.cluster]
        if self.cluster is None:                     # its listener is leaving: the configuration in force forwards nothing
            self.fail(ErrorReason.NO_ROUTE)
            return
        self.token_in_query = head.token_in_query
        self.subprotocol_answer = head.subprotocol_answer
        self.request.clear()
        if authorization.path is not None:
            authorization.route.rewrite.apply(head, authorization.path)
        head.write(self.request, policy, peer, trusted, authorization.identity, self._identifier())
        if size:
            self.request.put(body, size)
        self.kept = is_kept(size)
        self.replayable = is_replayable(self.method, end, size)
        self.retry = authorization.route.retry
        self.cluster.count_request()
        if self.retry.timeout >= 0.0:
            self.give_up_at = coarse_monotonic() + self.retry.timeout
        if self.cluster.looks_at is not None:
            learn(self, self.cluster.looks_at, head, self.snapshot.admission.source(head, peer, trusted) if trusted else peer, authorization.grant)
        if self.cluster.max_requests != 0 and self.cluster.is_at_max_requests():
            self.fail(ErrorReason.CLUSTER_FULL)
            return
        self._send_off()

    cdef Slice _identifier(self) noexcept:
        return Slice(&self.request_id[0], self.request_id_size)

    cdef void _refuse(self, RequestHead head, bint https, Slice peer, bint trusted):
        cdef ProxyContext context = self.context
        cdef Authorization authorization = self.authorization
        cdef Slice source
        cdef Answer answer
        context.board.my_issuers[authorization.issuer + 1].refusals[<int>authorization.reason] += 1
        if self.snapshot.admission.offenders is not None and is_suspicious(authorization.reason):
            source = self.snapshot.admission.source(head, peer, trusted)
            self.snapshot.admission.offenders.blame(source.at, source.size, coarse_monotonic())
        try:
            if self.client.authorizer is None:
                answer = authorization.route.refusal(authorization.reason, head, https)
            else:
                answer = self.client.authorizer.refusal(authorization.route, authorization.reason, head)
        except BaseException as fault:
            self.snapshot.gate.note(fault)
            self.note(ErrorReason.INTERNAL_ERROR)
            answer = context.answer(ErrorReason.INTERNAL_ERROR, False, self._caller())
        self._answer(answer)

    cdef Caller _caller(self) noexcept:
        return Caller.NO_GRPC if self.call is None else self.call.caller

    cdef void _allow(self):
        """Tell the proxy that asks to forward the request."""
        cdef Answer answer
        try:
            answer = self.client.authorizer.allowed(self.authorization.identity)
        except BaseException as fault:
            self.snapshot.gate.note(fault)
            self.fail(ErrorReason.INTERNAL_ERROR)
            return
        self._send(answer)

    cdef void _answer(self, Answer answer):
        self._send(answer if self.client.authorizer is None else self.client.authorizer.adapted(answer))

    cdef void _send(self, Answer answer):
        self.status = answer.status
        self.response_bytes = len(answer.body)
        if self.call is not None:
            self.call.ours = answer.grpc_status
        self.client.answer(answer, self._identifier())
        self.finish(True)

    cdef bint wants_body(self) noexcept:
        return self.state != CONNECTING and self.state != PENDING and (self.backend is None or self.backend.wants_body())

    cdef void request_body(self, const char *body, Py_ssize_t size, bint end):
        if not self.expects(REQUEST_BODY) or (self.websocket and not self._unexpected()):
            return
        self.request_bytes += size
        self.request_complete = end
        self.kept = self.kept and self._keep(body, size)
        self.replayable = self.kept and is_replayable(self.method, end, 0)
        if end and self.give_up_at != 0.0:
            self.give_up_at = coarse_monotonic() + self.retry.timeout    # the time of the upload was the client's
        self.backend.request_body(body, size, end)

    cdef bint _keep(self, const char *body, Py_ssize_t size):
        """Keep the next part of a body for another endpoint. Over HTTP/1 none is kept: there no endpoint says that it did not process a request."""
        if self.state != AWAITING or not self.backend.multiplexed or not is_kept(self.request_bytes):
            return False
        if size:
            self.request.put(body, size)
        return True

    cdef void request_broken(self, ErrorReason reason):
        """The rest of the request will not come: its framing is broken, it is too large, or it stalled."""
        if not self.expects(REQUEST_BROKEN):
            return
        self.note(reason)
        if self.state == RESPONDING:
            self.client.reset(reason)
            self.finish(False)
        else:
            self.fail(reason)

    # --- response -----------------------------------------------------------------------------------------------------

    cdef void interim(self, ResponseHead head):
        if not self.expects(INTERIM):
            return
        self.kept = self.replayable = False
        if not self.http10:
            self.client.interim(head)

    cdef void response(self, ResponseHead head, const char *body, Py_ssize_t size, bint end):
        if not self.expects(RESPONSE):
            return
        self.endpoint.counters.responses[head.status // 100] += 1
        if self.cluster.measures:
            self.cluster.answered(self.endpoint, coarse_monotonic() - self.backend.asked_at)
        if self.websocket and head.status // 100 == 2 and (self.client.http2 or self.backend.multiplexed):
            # The endpoint did not switch, but over HTTP/2 any 2xx says that it did (RFC 8441 section 5).
            self._fail_backend(ErrorReason.WEBSOCKET_UNSUPPORTED)
            return
        if self.endpoint.failing and head.status < 500:
            self.endpoint.recovered()
        if self.call is not None:
            self.call.read_head(head)
            if end and self.call.status == UNAVAILABLE and self._sends_again(RetryCause.GRPC_UNAVAILABLE, head.status, True, True):
                return
        if (self.retry.any_status or (self.trial and head.status >= 500)) and self._sends_again(RetryCause.STATUS, head.status, True, end):
            return
        if self.retrying:
            self._count_retrying(-1)             # however long the response or the tunnel lasts, it is no try any more
        self.status = head.status
        self.response_bytes = size
        if head.status >= 500 or self.trial or (self.call is not None and self.call.is_failure()):
            self.tell_status(head.status)
        if head.websocket:
            self._move(TUNNEL)
            self.tunnel = new_tunnel(self.client, self.backend, True, self.snapshot.stream_idle_timeout)
            self.client.switch(head)
            if self.context.draining:
                self.go_away()
            return
        self._move(RESPONDING)
        self.client.respond(head, body, size, end)
        if end:
            self.finish(True)

    cdef void response_body(self, const char *body, Py_ssize_t size, bint end):
        if not self.expects(RESPONSE_BODY):
            return
        self.response_bytes += size
        self.client.respond_body(body, size, end)
        if end:
            self.finish(True)

    cdef void response_trailers(self, list fields):
        if not self.expects(RESPONSE_BODY):
            return
        if self.call is not None:
            self.call.read_trailers(fields)
            if self.call.is_failure():
                self.tell_status(self.status)
        self.client.respond_trailers(fields)
        self.finish(True)

    cdef void client_blocked(self):
        self.hold_back()
        if self.backend is not None:
            self.backend.pause()

    cdef void client_unblocked(self):
        self.go_on()
        if self.backend is not None:
            self.backend.resume()

    cdef void backend_unblocked(self):
        self.client.request_wanted()

    # --- tunnel -------------------------------------------------------------------------------------------------------

    cdef void tunnel_up(self, const char *data, Py_ssize_t size):
        if self.expects(CLIENT_DATA):
            self.request_bytes += size
            self.tunnel.from_client(data, size)

    cdef void tunnel_down(self, const char *data, Py_ssize_t size):
        if self.expects(BACKEND_DATA):
            self.response_bytes += self.tunnel.from_backend(data, size)

    cdef void tunnel_ended(self, bint by_client):
        """One side will send no more; the tunnel is over when both have said so."""
        if self.expects(CLIENT_ENDED if by_client else BACKEND_ENDED) and self.tunnel.ended(by_client):
            self.finish(True)

    cdef void go_away(self):
        if self.state == TUNNEL:
            self.tunnel.go_away()

    cdef void tunnel_closed(self):
        if self.expects(TUNNEL_CLOSED):
            self.finish(True)

    # --- the token's end ----------------------------------------------------------------------------------------------

    cdef void end_if_expired(self, double now):
        """
        End a response, tunnel or upload under way whose token has expired or was withdrawn. now: seconds since the epoch.

        An upload that began in time may end, as its response would take no longer than `response_timeout`. A gRPC call may not: its messages are
        requests of their own, and its service may answer none of them before the last.
        """
        cdef Authorization authorization = self.authorization
        if authorization.grant is None or not authorization.route.end_streams or not is_expected(TOKEN_ENDED, self.state):
            return
        if self.state == AWAITING and self.request_complete:
            return
        for grant in [authorization.grant, *(authorization.other_grants or ())]:
            if self._is_expired(<Grant>grant, now, authorization.route.stream_grace):
                break
        else:
            return
        self.note(ErrorReason.TOKEN_ENDED)
        self.context.board.mine.streams_ended += 1
        if self.state == AWAITING and self.call is not None:
            self.fail(ErrorReason.TOKEN_ENDED)
            return
        if self.state == TUNNEL:
            self.tunnel.close()
        else:
            self.client.reset(ErrorReason.TOKEN_ENDED)   # no last chunk, no quiet end: it must not look complete
        self.finish(False)

    cdef bint _is_expired(self, Grant grant, double now, double grace):
        try:
            if now >= grant.valid_until + grace and (self.state != AWAITING or self.call is not None):
                return True
            return not self.snapshot.gate.stands(grant, now)
        except BaseException as fault:
            self.snapshot.gate.note(fault)
            return True

    # --- ends ---------------------------------------------------------------------------------------------------------

    cdef void backend_lost(self, bint begun):
        """The endpoint's connection ended before the response was whole. begun: a part of its head came."""
        if not self.expects(BACKEND_LOST):
            return
        if self.call is not None and self.call.is_late(coarse_monotonic()):
            self._end_call()
            return
        if self.state != AWAITING or not self._sends_again(RetryCause.RESET, 0, begun, False):
            self._fail_backend(ErrorReason.RESPONSE_INCOMPLETE if begun or self.state != AWAITING else ErrorReason.NO_RESPONSE)

    cdef void refused(self):
        """The endpoint did not process the request, and says so."""
        if self.expects(BACKEND_LOST) and (self.state != AWAITING or not self._sends_again(RetryCause.REFUSED, 0, False, False)):
            self.endpoint.counters.refused += 1
            self._fail_backend(ErrorReason.REFUSED_BY_ENDPOINT)

    cdef void timed_out(self, bint begun):
        if self.expects(TIMED_OUT) and not self._sends_again(RetryCause.TIMEOUT, 0, begun, False):
            self._fail_backend(ErrorReason.RESPONSE_TIMEOUT)

    cdef void backend_failed(self, ErrorReason reason):
        """The endpoint sent no response, an invalid one, or a part of one."""
        if self.expects(BACKEND_FAILED):
            self._fail_backend(reason)

    cdef void _fail_backend(self, ErrorReason reason):
        cdef int cause = cause_of(reason)
        self.note(reason)
        if self.is_verdict(reason):
            self.endpoint.failed(ErrorNames(<int>reason).name.lower().replace("_", " "), coarse_monotonic())
            if cause >= 0:
                self.endpoint.unhealthy(<EjectionCause>cause, self.take_trial())
        if self.state == RESPONDING:
            self.client.reset(reason)
            self.finish(False)
        elif self.state == TUNNEL:
            self.client.close()
            self.finish(True)
        else:
            self.fail(reason)

    cdef void client_lost(self):
        if not self.expects(CLIENT_LOST):
            return
        self.note(ErrorReason.CLIENT_CLOSED)
        self.client.broken = True
        self._drop_backend()
        self.finish(False)

    cdef void fail(self, ErrorReason reason):
        """Answer in the endpoint's place. No byte of a final response has gone to the client yet."""
        cdef Route route = self.authorization.route
        self.note(reason)
        self._drop_backend()
        self._answer(self.context.answer(reason, route is not None and route.expose_reason, self._caller()))

    cdef void finish(self, bint whole):
        """Count, log, give back what was borrowed, and let the client's side go on. Nothing may touch this exchange afterwards: it is used again.

        whole: the response was had from the endpoint to its end (or is our own).
        """
        cdef ProxyContext context = self.context
        cdef ClientStream client = self.client
        cdef BackendStream backend = self.backend
        cdef Route route = self.authorization.route
        self._leave_queue()
        context.board.mine.in_flight -= 1
        context.board.mine.requests[self.status // 100] += 1
        if self.error != ErrorReason.NO_ERROR:
            context.board.mine.errors[<int>self.error] += 1
        if route is not None and route.index >= 0:
            context.board.my_routes[route.index].requests[self.status // 100] += 1
        if self.endpoint is not None:
            self.endpoint.counters.requests += 1
            if self.endpoint.state.suspect and whole and self.status < 500 and self.error == ErrorReason.NO_ERROR and (
                    self.call is None or not self.call.is_failure()):
                self.endpoint.healthy(False)
        if self.call is not None:
            self.call.count(context.board)
        if self.is_logged:
            if context.access_log is not None:   # a reload may have closed it
                self._log(whole and not client.broken)
        self._move(OVER)
        self.backend = None
        self.client = None
        self.cluster = self.snapshot = self.tunnel = None
        self.authorization.release()
        if backend is not None:
            backend.request = None
            backend.release(whole and self.request_complete)
        self._discharge()
        if self.request.capacity > SPARE_BUFFER:
            self.request = Buffer.__new__(Buffer)
        if len(context.spare) < SPARE_EXCHANGES:
            context.spare.append(self)
        client.released()

    cdef void _log(self, bint complete):
        cdef AccessRecord record
        cdef Authorization authorization = self.authorization
        cdef bytes label
        self.logged.fill(&record, self.client.peer())
        record.protocol = HTTP_2 if self.client.http2 else HTTP_1_0 if self.http10 else HTTP_1_1
        record.request_id = self._identifier()
        record.endpoint = record.issuer = record.route = record.cluster = record.claims = Slice(NULL, 0)
        if self.cluster is not None:
            record.cluster = Slice(self.cluster.label, len(self.cluster.label))
        if self.endpoint is not None:
            record.endpoint = Slice(self.endpoint.label, len(self.endpoint.label))
        if authorization.issuer >= 0:
            label = <bytes>self.snapshot.issuer_labels[authorization.issuer]
            record.issuer = Slice(label, len(label))
        if authorization.route is not None and authorization.route.name:
            record.route = Slice(authorization.route.label, len(authorization.route.label))
        if authorization.grant is not None and authorization.grant.logged_claims is not None:
            record.claims = Slice(authorization.grant.logged_claims, len(authorization.grant.logged_claims))
        record.would_refuse = authorization.reported
        record.status = CLIENT_CLOSED_STATUS if self.status == 0 and self.error == ErrorReason.CLIENT_CLOSED else self.status
        record.reason = authorization.reason
        record.error = self.error
        record.request_bytes = self.request_bytes
        record.response_bytes = self.response_bytes
        record.complete = complete
        record.grpc_status = -1 if self.call is None else self.call.status
        record.retries = self.retries
        record.failed_endpoints = Slice(NULL, 0)
        if self.failed is not None:
            label = b", ".join(self.failed[:LOGGED_ENDPOINTS])
            record.failed_endpoints = Slice(label, len(label))
            record.attempts = <int>len(self.failed) + (self.endpoint is not None)
        self.context.access_log.record(&record)
