from lbjwt._error_reason cimport ErrorReason
from lbjwt.net._connection cimport Sent
from lbjwt.proxy._grpc_call cimport GrpcCall
from lbjwt.proxy._exchange_states cimport Event, State, is_expected, may_become
from lbjwt.proxy._stream cimport BackendStream, ClientStream
from lbjwt.proxy._context cimport ProxyContext
from lbjwt.upstream._cluster cimport Cluster
from lbjwt.upstream._endpoint cimport Endpoint
from lbjwt.upstream._request cimport HOLDS_TRIAL, NO_TRIAL, UpstreamRequest
from lbjwt.upstream._retry cimport RetryCause, RetryRule


cdef class ForwardedRequest(UpstreamRequest):
    """The part of an exchange that finds an endpoint for its request."""
    cdef ProxyContext context
    cdef Cluster cluster                         # of its route; None: it is not forwarded
    cdef RetryRule retry                         # of its route
    cdef ClientStream client
    cdef BackendStream backend                   # None: there is none yet, or no more
    cdef Endpoint endpoint                       # whose load it counts in; None: none
    cdef double connect_until                    # seconds on the monotonic clock: from then on another endpoint is tried; only with a deadline
    cdef bint retrying                           # counted among the requests that are being sent again
    cdef readonly State state
    cdef ErrorReason error                       # what went wrong beside its token; the first such thing stays
    cdef GrpcCall call                           # None: it is no gRPC call, or one over HTTP/1

    # False: lbjwt did not count on this event in this state; the request was ended.
    cdef inline bint expects(self, Event event) noexcept:
        return is_expected(event, self.state) or self._unexpected()

    cdef inline void _move(self, State state) noexcept:
        if not may_become(self.state, state):
            self._fault()
        self.state = state

    # Whether it tries its endpoint; once the endpoint was told what came of it, it does not any more.
    cdef inline bint take_trial(self) noexcept:
        cdef bint trial = self.trial == HOLDS_TRIAL
        self.trial = NO_TRIAL
        return trial

    cdef bint _unexpected(self) noexcept
    # After a fault of ours.
    cdef void end_by_fault(self) noexcept
    cdef void _fault(self) noexcept
    cdef void _send_off(self)
    cdef void _send_again(self, RetryCause cause, bint whole)
    cdef void _try_next(self)
    cdef void _stop_connecting(self, double now)
    cdef Endpoint _pick_safer(self, Endpoint picked, set passed_over, double now)
    cdef void _wait_or_refuse(self)
    cdef void _leave_queue(self)
    cdef Sent _transmit(self, BackendStream backend)
    cdef void _drop_backend(self)
    cdef void _charge(self, Endpoint endpoint)
    cdef void _discharge(self)
    cdef void _count_retrying(self, int amount) noexcept

    # from the endpoint's side
    cdef void connected(self)
    cdef void connect_failed(self)
    cdef void use(self, BackendStream backend)
    # What went wrong, for log and metrics.
    cdef void note(self, ErrorReason reason) noexcept
    # Answer in the endpoint's place, as no byte of a final response has gone to the client yet.
    cdef void fail(self, ErrorReason reason)
    # whole: the response was had from the endpoint to its end (or is our own). Nothing may touch this object afterwards: it is used again.
    cdef void finish(self, bint whole)
