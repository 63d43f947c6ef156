"""
A gRPC call: its deadline and its status, which HTTP knows nothing of.

A malformed `grpc-timeout` is no deadline, as for Envoy: the service gets it unchanged, and decides.

Source: the gRPC protocol over HTTP/2 ("Requests", "Responses").
"""

from lbjwt.auth._callers cimport caller_of
from lbjwt.http1._buffer cimport Field, Slice
from lbjwt.http1._scan cimport equals
from lbjwt.observe._board cimport GRPC_STATUSES

cdef enum:
    MOST_DIGITS = 8              # of a timeout
    # values of grpc-status
    UNKNOWN = 2
    INTERNAL = 13

cdef double AHEAD = 0.01         # seconds by which the clock of a service that ends its call may be ahead of ours


cdef GrpcCall new_grpc_call(RequestHead head, double now):
    cdef GrpcCall call
    cdef Caller caller = caller_of(head)
    cdef Field *field = head._fields
    cdef Field *end = field + head._count
    cdef double seconds
    if caller == Caller.NO_GRPC:
        return None
    call = GrpcCall.__new__(GrpcCall)
    call.caller = caller
    call.status = call.ours = -1
    while field < end:
        if equals(field.name, b"grpc-timeout", 12):
            seconds = _seconds(field.value)
            if seconds >= 0.0:
                call.ends_at = now + seconds
            break
        field += 1
    return call


cdef double _seconds(Slice value) noexcept:
    cdef double amount = 0.0
    cdef Py_ssize_t at
    if value.size < 2 or value.size > MOST_DIGITS + 1:
        return -1.0
    for at in range(value.size - 1):
        if value.at[at] < c'0' or value.at[at] > c'9':
            return -1.0
        amount = amount * 10.0 + (value.at[at] - c'0')
    if value.at[value.size - 1] == c'H':
        return amount * 3600.0
    if value.at[value.size - 1] == c'M':
        return amount * 60.0
    if value.at[value.size - 1] == c'S':
        return amount
    if value.at[value.size - 1] == c'm':
        return amount / 1e3
    if value.at[value.size - 1] == c'u':
        return amount / 1e6
    return amount / 1e9 if value.at[value.size - 1] == c'n' else -1.0


cpdef double seconds_of(bytes timeout) noexcept:
    return _seconds(Slice(timeout, len(timeout)))


cdef int _status(const char *at, Py_ssize_t size) noexcept:
    """A status; -1 for what is none. The protocol has 0 to 16, and clients take higher ones as UNKNOWN."""
    if size == 1 and c'0' <= at[0] <= c'9':
        return at[0] - c'0'
    if size == 2 and c'1' <= at[0] <= c'9' and c'0' <= at[1] <= c'9':
        return 10 * (at[0] - c'0') + at[1] - c'0'
    return -1


cdef void count_status(Board board, int status) noexcept:
    if status < 0:
        status = GRPC_STATUSES - 1
    elif status >= GRPC_STATUSES - 1:
        status = UNKNOWN                         # as clients take it
    board.mine.grpc_calls[status] += 1


cdef class GrpcCall:

    cdef void read_head(self, ResponseHead head) noexcept:
        cdef Field *field = head._fields
        cdef Field *end = field + head._count
        self.status = -1                         # an earlier response may have been dropped for this one
        while field < end:
            if equals(field.name, b"grpc-status", 11):
                self.status = _status(field.value.at, field.value.size)
                return
            field += 1

    cdef void read_trailers(self, list fields):
        cdef bytes value
        for name, value in fields:
            if name == b"grpc-status":
                self.status = _status(value, len(value))
                return

    cdef bint is_over(self, double now) noexcept:
        return self.ends_at != 0.0 and now >= self.ends_at

    cdef bint is_late(self, double now) noexcept:
        return self.ends_at != 0.0 and now + AHEAD >= self.ends_at

    cdef void count(self, Board board) noexcept:
        if self.caller == Caller.GRPC:           # that of gRPC-Web stands in the body
            count_status(board, self.status if self.ours < 0 else self.ours)

    cdef bint is_failure(self) noexcept:
        return self.status == UNAVAILABLE or self.status == INTERNAL
