"""A request as the upstream side sees it. The class that forwards requests says what happens when its turn comes."""


cdef class UpstreamRequest:

    cdef void dispatch(self):
        pass

    cdef void pending_timed_out(self):
        pass

    cdef bint is_overdue(self, double now) noexcept:
        return self.pending_until <= now or (self.give_up_at != 0.0 and self.give_up_at <= now)

    cdef void start_attempts(self) noexcept:
        self.pending_until = 0.0
        self.give_up_at = 0.0
        self.tried = None
        self.failed = None
        self.retries = 0
        self.connects = 0
        self.fresh = False
        self.has_key = False
        self.affinity = None
        self.no_endpoint = ErrorReason.CONNECT_FAILED

    cdef bint takes_any_stream(self) noexcept:
        # The rest of a body would be taken from its client in the middle of another request's end.
        return self.request_complete and not self.fresh
