cimport cython
from libc.stdint cimport int64_t, uint32_t

from lbjwt.http1._request cimport Method
from lbjwt.upstream._cluster cimport Cluster
from lbjwt.upstream._endpoint cimport Endpoint
from lbjwt.upstream._request cimport UpstreamRequest


cpdef enum RetryCause:
    CONNECT_FAILURE = 0          # no connection could be had: not one byte was sent
    RESET = 1                    # the connection ended
    REFUSED = 2                  # the endpoint says that it did not process the request (RFC 9113 section 8.7); HTTP/1.1 has no word for it
    TIMEOUT = 3                  # no response head in time
    STATUS = 4                   # the response has one of the chosen statuses
    GRPC_UNAVAILABLE = 5         # it is nothing but the gRPC status UNAVAILABLE; for calls of any method


@cython.final
cdef class RetryRule:
    """When the requests of a route are sent again, and for how long an endpoint may think."""
    cdef readonly int attempts                   # times a request is sent again at most; -1: `retries` of the cluster
    cdef readonly double try_timeout             # seconds, from the end of the request to the response head; below 0: `response_timeout`
    cdef readonly double timeout                 # seconds until lbjwt gives up waiting for a response head; below 0: no limit
    cdef readonly bint any_status                # some status is a reason to send again
    cdef readonly bint grpc_unavailable          # GRPC_UNAVAILABLE is
    cdef uint32_t _causes                        # a bit for each RetryCause
    cdef uint32_t _statuses                      # a bit for each status in STATUSES

    # Seconds from the end of a request to the head of its response, at that endpoint.
    cdef inline double time_for_head(self, Endpoint endpoint) noexcept:
        return self.try_timeout if self.try_timeout >= 0.0 else endpoint.response_timeout

    cpdef bint covers(self, RetryCause cause, int status=*) noexcept
    # replayable: see `is_replayable`; for REFUSED and GRPC_UNAVAILABLE: `is_kept`. begun: a part of a response head came. sent_again: how often
    # it was already. retries: of the cluster.
    cpdef bint may_send_again(self, RetryCause cause, int status, bint replayable, bint begun, int sent_again, int retries) noexcept


# All that was sent of a request is kept: one that no endpoint processed may be sent again, whatever its method.
cdef bint is_kept(Py_ssize_t body_size) noexcept
# Whether a request may be sent again while nothing came back: its method says so, and all of it is kept.
cdef bint is_replayable(Method method, bint complete, Py_ssize_t body_size) noexcept
# One more request may be sent again. retrying: those that are being sent again now, over all workers; savings: see `Cluster.savings`.
cpdef bint is_within_budget(int64_t retrying, double savings) noexcept
# The try went wrong, by this cause (and status). True: send the request again, after `send_elsewhere`. now: seconds on the monotonic clock.
cdef bint may_send_again(UpstreamRequest request, RetryRule rule, Cluster cluster, RetryCause cause, int status, bint begun, double now) noexcept
# No connection could be had, or not soon enough. True: the request may go to another endpoint.
cdef bint may_try_next(UpstreamRequest request, RetryRule rule) noexcept
# This try failed: no other one goes to the endpoint.
cdef void exclude(UpstreamRequest request, Endpoint endpoint)
# To another endpoint if there is one; after a reset on a connection that nobody used before.
cdef void send_elsewhere(UpstreamRequest request, Cluster cluster, Endpoint failed, RetryCause cause, double now)
