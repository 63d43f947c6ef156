cimport cython

from lbjwt.auth._callers cimport Caller
from lbjwt.http1._request cimport RequestHead
from lbjwt.http1._response cimport ResponseHead
from lbjwt.observe._board cimport Board

cdef enum:
    UNAVAILABLE = 14             # a grpc-status


@cython.final
cdef class GrpcCall:
    """What an exchange knows of a gRPC call."""
    cdef readonly Caller caller
    cdef readonly double ends_at                 # the client's deadline, seconds on the monotonic clock; 0.0: none
    cdef readonly int status                     # how it ended, as far as the status was in head or trailers; -1: that is not known
    cdef int ours                                # the status that lbjwt gave it instead; -1: none

    # The status in a response without a body ("Trailers-Only"), or in trailers.
    cdef void read_head(self, ResponseHead head) noexcept
    cdef void read_trailers(self, list fields)
    # The deadline has passed.
    cdef bint is_over(self, double now) noexcept
    # … or is about to: a service that ends the stream now is not to blame.
    cdef bint is_late(self, double now) noexcept
    # The status says that the endpoint is not well, as a 5xx does.
    cdef bint is_failure(self) noexcept
    # Count it by the status that its client got.
    cdef void count(self, Board board) noexcept


# The call that the request makes; None: it is another one. now: seconds on the monotonic clock.
cdef GrpcCall new_grpc_call(RequestHead head, double now)
# status: that the client of a call got; -1: none.
cdef void count_status(Board board, int status) noexcept
# Seconds of a `grpc-timeout`; below 0: it is malformed.
cpdef double seconds_of(bytes timeout) noexcept
