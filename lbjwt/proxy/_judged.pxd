from lbjwt._error_reason cimport ErrorReason
from lbjwt.proxy._forwarded cimport ForwardedRequest
from lbjwt.upstream._retry cimport RetryCause


cdef class JudgedRequest(ForwardedRequest):
    """The part of an exchange that tells its endpoint what the request says of it."""
    cdef double held_back                        # seconds for which the response waited for its client; while it waits, less the time since when

    # The endpoint has answered, which says whether it is healthy.
    cdef void tell_status(self, int status)
    # Whether this failure says something about the endpoint.
    cdef bint is_verdict(self, ErrorReason reason) noexcept
    # The client takes no more of the response for now, or takes more again.
    cdef void hold_back(self) noexcept
    cdef void go_on(self) noexcept
    # The rest of the request is long in coming: the next request tries the endpoint.
    cdef void pass_slow_trial_on(self) noexcept
    cdef bint _awaits_client(self, double now) noexcept
    # Send the request again if `_retry` allows it.
    cdef bint _sends_again(self, RetryCause cause, int status, bint begun, bint whole)
    # from the sweep: its route's deadline, or that of its client, may have passed
    cdef void end_if_late(self)
    cdef void _end_call(self)
    # The endpoint is why the request fails.
    cdef void _fail_backend(self, ErrorReason reason)
