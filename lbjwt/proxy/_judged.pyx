"""
What a request says of its endpoint: whether a failure is the endpoint's own, and what becomes of the trial of one that was ejected.

A client can make an endpoint end a connection: it sends its request slowly, or does not read the response. `_ejection` has the rules that keep one
client from having healthy endpoints ejected; here is what they go by.
"""

from lbjwt.net._clock cimport coarse_monotonic
from lbjwt.observe._endpoint_states cimport RESETS, SERVER_ERRORS, TIMEOUTS
from lbjwt.proxy._exchange_states cimport AWAITING, CONNECTING, DEADLINE, RESPONDING, TUNNEL, is_expected
from lbjwt.upstream._ejection cimport had_fair_share, is_clients_doing
from lbjwt.upstream._retry cimport RetryCause, may_send_again
from lbjwt.upstream._request cimport HOLDS_TRIAL, NO_TRIAL, PASSED_TRIAL_ON


cdef class JudgedRequest(ForwardedRequest):

    cdef void tell_status(self, int status):
        cdef bint tried = self.trial != NO_TRIAL
        cdef bint trial = self.take_trial()
        if status >= 500 or (self.call is not None and self.call.is_failure()):
            self.endpoint.unhealthy(SERVER_ERRORS, trial)
        else:
            self.endpoint.healthy(tried)

    cdef bint is_verdict(self, ErrorReason reason) noexcept:
        cdef double now = coarse_monotonic()
        if self.state == TUNNEL:                 # it may end in any way
            return False
        if reason == ErrorReason.WEBSOCKET_UNSUPPORTED or reason == ErrorReason.REFUSED_BY_ENDPOINT:
            return False                         # it does what it said
        if reason == ErrorReason.ROUTE_TIMEOUT:
            return had_fair_share(now - self.backend.asked_at, self.retry.timeout, self.retry.time_for_head(self.endpoint))
        if reason == ErrorReason.NO_RESPONSE and self.backend.used:      # the endpoint may have closed it for being idle
            return False
        if reason == ErrorReason.NO_RESPONSE or reason == ErrorReason.RESPONSE_INCOMPLETE or reason == ErrorReason.STREAM_IDLE:
            return not self._awaits_client(now) and not is_clients_doing(self.held_back if self.held_back >= 0.0 else self.held_back + now)
        return True

    cdef bint _awaits_client(self, double now) noexcept:
        """The endpoint has waited long for the rest of the request, and would take it."""
        # All of the upload counts: some servers bound the time between two parts of it, others that of the whole.
        return not self.request_complete and self.backend.wants_body() and is_clients_doing(now - self.backend.sent_at)

    cdef void hold_back(self) noexcept:
        if self.held_back >= 0.0:
            self.held_back -= coarse_monotonic()

    cdef void go_on(self) noexcept:
        if self.held_back < 0.0:
            self.held_back += coarse_monotonic()

    cdef void pass_slow_trial_on(self) noexcept:
        if self.trial == HOLDS_TRIAL and self.state == AWAITING and self._awaits_client(coarse_monotonic()):
            self.trial = PASSED_TRIAL_ON
            self.endpoint.end_trial()

    # --- another try ---------------------------------------------------------------------------------------------------

    cdef bint _sends_again(self, RetryCause cause, int status, bint begun, bint whole):
        """Send the request again if `_retry` allows it. whole: see `_send_again`."""
        if not may_send_again(self, self.retry, self.cluster, cause, status, begun, coarse_monotonic()):
            return False
        if cause >= RetryCause.STATUS:
            self.tell_status(status)
        elif cause == RetryCause.REFUSED:
            self.endpoint.counters.refused += 1
        elif cause == RetryCause.TIMEOUT or not self.backend.used:       # else the endpoint may have closed it for being idle
            self.endpoint.failed(None, coarse_monotonic())
            self.endpoint.unhealthy(TIMEOUTS if cause == RetryCause.TIMEOUT else RESETS, self.take_trial())
        self._send_again(cause, whole)
        return True

    # --- deadlines ----------------------------------------------------------------------------------------------------

    cdef void end_if_late(self):
        """Give up waiting for the head of a response. While the client sends its request, `stream_idle` goes for it. A gRPC call ends as a whole."""
        cdef double now
        if self.trial:
            self.pass_slow_trial_on()
        if not is_expected(DEADLINE, self.state):
            return
        if self.call is not None and self.call.is_late(coarse_monotonic()):
            self._end_call()
            return
        if self.state == RESPONDING or self.give_up_at == 0.0:
            return
        now = coarse_monotonic()
        if now < self.give_up_at:
            if self.state == CONNECTING and now >= self.connect_until:
                self._stop_connecting(now)
        elif self.state != AWAITING:
            self.fail(ErrorReason.ROUTE_TIMEOUT)
        elif self.request_complete:
            self._fail_backend(ErrorReason.ROUTE_TIMEOUT)

    cdef void _end_call(self):
        """The deadline that the client gave has passed. It says nothing of the endpoint: a client may ask for a microsecond."""
        self.note(ErrorReason.DEADLINE_EXCEEDED)
        if self.state == RESPONDING:
            self.client.reset(ErrorReason.DEADLINE_EXCEEDED)
            self.finish(False)
        else:
            self.fail(ErrorReason.DEADLINE_EXCEEDED)

    cdef void _fail_backend(self, ErrorReason reason):
        pass
