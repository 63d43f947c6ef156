"""
What a request says of its endpoint: whether a failure is the endpoint's own, and what becomes of the trial of one that was ejected.

A client can make an endpoint end a connection: it sends its request slowly, or does not read the response. `_ejection` has the rules that keep one
client from having healthy endpoints ejected; here is what they go by.
"""

from lbjwt.net._clock cimport coarse_monotonic
from lbjwt.observe._endpoint_states cimport SERVER_ERRORS
from lbjwt.proxy._exchange_states cimport AWAITING, TUNNEL
from lbjwt.upstream._ejection cimport had_fair_share, is_clients_doing
from lbjwt.upstream._request cimport HOLDS_TRIAL, NO_TRIAL, PASSED_TRIAL_ON


cdef class JudgedRequest(ForwardedRequest):

    cdef void tell_status(self, int status):
        cdef bint tried = self.trial != NO_TRIAL
        cdef bint trial = self.take_trial()
        if status >= 500:
            self.endpoint.unhealthy(SERVER_ERRORS, trial)
        else:
            self.endpoint.healthy(tried)

    cdef bint is_verdict(self, ErrorReason reason) noexcept:
        cdef double now = coarse_monotonic()
        if self.state == TUNNEL:                 # it may end in any way
            return False
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
