"""
May a request be sent again, and to whom? docs/retries.md says the same to users. The first two rules need no question: `ForwardedRequest` carries
them out where it finds an endpoint (`_try_next`, `_send_off`).

- Connecting failed, or took half of what was left of the route's deadline while another endpoint is there: any request goes on to an endpoint that
  was not tried, as not one byte of it was sent, until none is left or MAX_CONNECTS were tried. It costs neither attempts nor budget.
- An idle connection took not one byte: always; to any endpoint.
- The connection ended, or the time for a response passed, before the first byte of a response; or the response has a chosen status: if the rule of
  the route covers it, repeating the request is harmless (RFC 9110 section 9.2.2), all of it is kept, it was not sent again too often, its deadline
  has not passed, and the cluster has budget left. To another endpoint if there is one.
- The endpoint refused the request unprocessed, as only HTTP/2 can say (RFC 9113 section 8.7): any request that is kept, POST too, if the rule covers
  it and it was not sent again too often. It costs no budget, as the endpoint had no work with it.
- The response to a gRPC call is UNAVAILABLE without a message (`grpc_unavailable`): as after a chosen status, but for any method, as gRPC sends each
  call as POST. A service may give this status after it did something, so the rule of the route must name it.
- It tried an endpoint that was ejected: after a timeout or a 5xx as after a reset, because its client did not ask for the risk.
- Anything else: never. In particular nothing is sent again once an interim response went to the client.

The budget bounds what retries add to the load of endpoints that fail: requests that are sent again are at most a share of those that came to this
worker in the last seconds. A share of the requests in flight would be too strict: one endpoint of three that dies has a third of them. A few at a
time, over all workers, are always allowed, or a service with little traffic would have none.
"""

from lbjwt.http1._request cimport DELETE, GET, HEAD, OPTIONS, PUT

cdef enum:
    HELD_BODY = 65536            # bytes of a request body kept for sending it again
    MAX_CONNECTS = 10            # for one request: else each request would try every endpoint of a large cluster that is down
    ALWAYS_ALLOWED = 3           # requests sent again at a time whatever the budget says, as in Envoy (min_retry_concurrency)

STATUSES = (429, 500, 501, 502, 503, 504)
"""Statuses that may be a reason to send a request again: all others say that another try would end the same way."""

DEFAULT_CAUSES = ("connect_failure", "reset", "refused")
"""Causes for which a request is sent again unless its route says otherwise."""


cdef inline int _bit(int status) noexcept:
    """The number of a status among STATUSES, or -1."""
    return 0 if status == 429 else status - 499 if 500 <= status <= 504 else -1


cdef class RetryRule:

    def __init__(self, *, int attempts=-1, on=DEFAULT_CAUSES, double try_timeout=-1.0, double timeout=-1.0):
        """
        on: names of `RetryCause`s in lower case, and statuses.

        Raises:
            ValueError: A status that is not in STATUSES. KeyError: A word that names no cause.
        """
        self.attempts = attempts
        self.try_timeout = try_timeout
        self.timeout = timeout
        for cause in on:
            if isinstance(cause, str):
                self._causes |= 1 << <int>RetryCause[cause.upper()]
                self.grpc_unavailable = self._causes >> <int>RetryCause.GRPC_UNAVAILABLE & 1
                continue
            if cause not in STATUSES:
                raise ValueError(f"{cause} is no reason to send a request again")
            self._causes |= 1 << <int>RetryCause.STATUS
            self._statuses |= 1 << _bit(cause)
            self.any_status = True

    cpdef bint covers(self, RetryCause cause, int status=0) noexcept:
        if not self._causes >> <int>cause & 1:
            return False
        return cause != RetryCause.STATUS or (_bit(status) >= 0 and self._statuses >> _bit(status) & 1)

    cpdef bint may_send_again(self, RetryCause cause, int status, bint replayable, bint begun, int sent_again, int retries) noexcept:
        if not self.covers(cause, status) or not replayable or (begun and cause < RetryCause.STATUS):
            return False
        return sent_again < (self.attempts if self.attempts >= 0 else retries)


cdef bint is_kept(Py_ssize_t body_size) noexcept:
    return body_size <= HELD_BODY


cdef bint is_replayable(Method method, bint complete, Py_ssize_t body_size) noexcept:
    return complete and body_size <= HELD_BODY and (method == GET or method == HEAD or method == PUT or method == DELETE or method == OPTIONS)


cpdef bint is_within_budget(int64_t retrying, double savings) noexcept:
    """retrying: requests that are being sent again now, over all workers. savings: those that may still be, for the requests of the last seconds."""
    return retrying < ALWAYS_ALLOWED or savings >= ALWAYS_ALLOWED


cdef bint may_send_again(UpstreamRequest request, RetryRule rule, Cluster cluster, RetryCause cause, int status, bint begun, double now) noexcept:
    cdef Endpoint endpoint
    cdef int64_t retrying = 0
    cdef bint replayable = request.kept and request.request_complete if cause == RetryCause.GRPC_UNAVAILABLE else request.replayable
    if cause == RetryCause.REFUSED:
        return (request.request_complete and (request.give_up_at == 0.0 or now < request.give_up_at)
                and rule.may_send_again(cause, status, request.kept, begun, request.retries, cluster.retries))
    if not rule.may_send_again(cause, status, replayable, begun, request.retries, cluster.retries) and not (
            request.trial and rule.may_send_again(RetryCause.RESET, 0, request.replayable, begun and cause < RetryCause.STATUS,
                                                  request.retries, cluster.retries)):
        return False
    if request.give_up_at != 0.0 and request.give_up_at <= now:
        return False
    for endpoint in cluster.endpoints:
        retrying += endpoint.state.retrying
    if request.retries:
        retrying -= 1                            # this one: it is over, and asks for another turn
    if is_within_budget(retrying, cluster.savings()):
        cluster.count_sent_again()
        return True
    cluster._board.mine.retries_over_budget += 1
    return False


cdef bint may_try_next(UpstreamRequest request, RetryRule rule) noexcept:
    return rule.covers(RetryCause.CONNECT_FAILURE) and request.connects < MAX_CONNECTS


cdef void exclude(UpstreamRequest request, Endpoint endpoint):
    if request.tried is None:
        request.tried = set()
    request.tried.add(endpoint)
    if request.failed is None:
        request.failed = []
    request.failed.append(endpoint.label)


cdef void send_elsewhere(UpstreamRequest request, Cluster cluster, Endpoint failed, RetryCause cause, double now):
    exclude(request, failed)
    if cluster.pick(request, request.tried, now) is None:
        request.tried.discard(failed)            # no other is left: the same one again
    request.fresh = cause == RetryCause.RESET    # others of its pool may be dead as well
    request.retries += 1
