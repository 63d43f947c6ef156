from libc.stdint cimport uint64_t

from lbjwt._error_reason cimport ErrorReason

cdef enum Trial:
    NO_TRIAL = 0
    HOLDS_TRIAL = 1              # it tries an endpoint that was ejected, and no other request does
    PASSED_TRIAL_ON = 2          # its client was too slow, so that the next request tries the endpoint; a good response still counts


cdef class UpstreamRequest:
    """A request as clusters, pools and queues see it: what a balancing or retry rule may go by stands here."""
    cdef double pending_until                    # seconds on the monotonic clock, once it waited in a queue; 0.0: it has not
    cdef double give_up_at                       # deadline of its route, seconds on the monotonic clock; 0.0: none
    cdef set tried                               # endpoints not to be picked again; None: no endpoint failed
    cdef list failed                             # labels of the endpoints of the tries that failed, for the log; None: none did
    cdef int retries                             # times it was sent again
    cdef int connects                            # connections that were awaited for it
    cdef Trial trial
    cdef bint kept                               # all that was sent is kept, and the client has had nothing back
    cdef bint replayable                         # all that was sent is kept, and may be sent again (RFC 9110 section 9.2.2)
    cdef bint fresh                              # use no pooled connection
    cdef bint request_complete                   # the whole request was read from the client
    # What the balancing rule of its cluster looks at; see `KeySource`.
    cdef public bint has_key
    cdef public uint64_t key                            # a hash of it
    cdef bytes affinity                          # the value of the affinity cookie; None: there is none
    cdef ErrorReason no_endpoint                 # why nobody takes it, once nobody is left

    # Go to an endpoint with room, or keep the place in the queue.
    cdef void dispatch(self)
    # It has waited in the queue for as long as it may.
    cdef void pending_timed_out(self)
    cdef bint is_overdue(self, double now) noexcept
    # Forget earlier attempts: another request begins.
    cdef void start_attempts(self) noexcept
    # Any stream to an endpoint serves it, also one that was opened for another request.
    cdef bint takes_any_stream(self) noexcept
