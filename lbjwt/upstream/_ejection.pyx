"""
When an endpoint that fails is passed over, for how long, and when all endpoints are used nevertheless: rules on numbers, without a clock and without
state. `_ejector` carries them out.

- Failures of one cause in a row eject; a success between them begins the count anew.
- An ejection lasts twice as long as the one before, up to a limit. It is drawn from ± 10 %, so that endpoints that failed together are not tried
  together. The number in a row falls by one each time that the endpoint was in rotation for as long as its last ejection lasted.
- A failed connect costs its request no answer, because the request goes to another endpoint. So one is enough, but the endpoint is tried again
  soon: after a tenth of the base time at first, after the base time at most.
- The deadline of a route also runs while a request waits for room, connects, and is in the hands of other endpoints. So when it passes, this says
  something about the last endpoint only if that one had at least half of the time, or as long as any request may take there. Else a queue would
  eject healthy endpoints, which makes the queue longer.
- An endpoint that ends a connection may have lost patience with the client, who sends its request slowly or does not read the response. So such an
  end says something only if the endpoint waited less than half a second for the client. Else a single client could eject healthy endpoints.
- Of the endpoints of a cluster only a share is ejected, and not all unless a healthy backup is there, as those that are left have to carry the
  load. This does not hold for endpoints that nobody can connect to: they carry none.
"""

from lbjwt._error_reason cimport ErrorReason
from lbjwt.observe._endpoint_states cimport CONNECT_FAILURES, RESETS, SERVER_ERRORS, SUCCESS_RATE, TIMEOUTS

cdef double JITTER = 0.1
cdef double FAIR_SHARE = 0.5         # of the timeout of a route: more than all that came before
cdef double CLIENT_TIME = 0.5        # seconds: half of the shortest time after which a server gives a client up, which is 1 s
cdef enum:
    DOUBLINGS = 30                   # more would overflow nothing, but no time is that long


cdef class EjectionRules:
    """
    consecutive_…: failures in a row that eject; 0: never. base_time, max_time: seconds of the first and of the longest ejection. max_ejected: share
    of the endpoints of a cluster, above 0 and up to 1. success_rate, interval: for `outliers`. `config.ejection` has the defaults.
    """

    def __init__(self, *, int64_t consecutive_5xx, int64_t consecutive_connect_failures, int64_t consecutive_timeouts,
                 int64_t consecutive_resets, double base_time, double max_time, double max_ejected, double success_rate, double interval):
        self.thresholds[<int>SERVER_ERRORS] = consecutive_5xx
        self.thresholds[<int>CONNECT_FAILURES] = consecutive_connect_failures
        self.thresholds[<int>TIMEOUTS] = consecutive_timeouts
        self.thresholds[<int>RESETS] = consecutive_resets
        self.base_time = base_time
        self.max_time = max(base_time, max_time)
        self.max_ejected = max_ejected
        self.success_rate = success_rate
        self.interval = interval

    @classmethod
    def off(cls):
        """Rules that never eject."""
        return cls(consecutive_5xx=0, consecutive_connect_failures=0, consecutive_timeouts=0, consecutive_resets=0, base_time=0.0,
                   max_time=0.0, max_ejected=0.0, success_rate=0.0, interval=0.0)

    cpdef bint ejects(self, int cause) noexcept:
        return self.success_rate > 0.0 if cause == SUCCESS_RATE else self.thresholds[cause] > 0

    cpdef bint is_enough(self, int cause, int64_t count) noexcept:
        return cause == SUCCESS_RATE or 0 < self.thresholds[cause] <= count

    cpdef double seconds(self, int cause, int64_t in_row, double chance) noexcept:
        return _nominal(self, cause, in_row) * (1.0 - JITTER + 2.0 * JITTER * chance)

    cpdef int64_t decayed(self, int cause, int64_t in_row, double healthy_for) noexcept:
        while in_row > 0:
            healthy_for -= _nominal(self, cause, in_row - 1)
            if healthy_for < 0.0:
                break
            in_row -= 1
        return in_row

    cpdef Py_ssize_t room(self, Py_ssize_t endpoints, bint backed_up=False) noexcept:
        return min(max(<Py_ssize_t>(endpoints * self.max_ejected), 1), endpoints if backed_up else endpoints - 1) if endpoints > 0 else 0


cdef double _nominal(EjectionRules rules, int cause, int64_t in_row) noexcept:
    cdef double first = rules.base_time, most = rules.max_time
    if cause == CONNECT_FAILURES:
        most = first
        first /= 10.0
    return min(first * <double>(<int64_t>1 << min(in_row, <int64_t>DOUBLINGS)), most)


cpdef bint is_panic(Py_ssize_t healthy, Py_ssize_t endpoints, double threshold) noexcept:
    return endpoints > 1 and healthy < endpoints * threshold


cpdef int cause_of(ErrorReason reason) noexcept:
    if reason == ErrorReason.RESPONSE_TIMEOUT or reason == ErrorReason.ROUTE_TIMEOUT:
        return TIMEOUTS
    if reason == ErrorReason.NO_RESPONSE or reason == ErrorReason.RESPONSE_INCOMPLETE:
        return RESETS
    # A response that is no valid HTTP is a 502 to the client. An endpoint that says what it does not take, as the reasons behind have it, is there.
    return SERVER_ERRORS if ErrorReason.RESPONSE_BARE_LF <= reason <= ErrorReason.RESPONSE_TOO_MANY_INTERIMS else -1


cpdef bint had_fair_share(double waited, double timeout, double time_for_head) noexcept:
    return waited >= min(FAIR_SHARE * timeout, time_for_head)


cpdef bint is_clients_doing(double waited) noexcept:
    return waited >= CLIENT_TIME
