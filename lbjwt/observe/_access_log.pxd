from libc.stdint cimport int64_t

cimport cython

from lbjwt._error_reason cimport ErrorReason
from lbjwt._fastverify cimport DenyReason
from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.observe._board cimport Board


cdef enum:                       # the protocol of a request
    HTTP_1_1 = 0
    HTTP_1_0 = 1
    HTTP_2 = 2


cdef struct AccessRecord:
    double started_at                            # seconds since the epoch
    double duration                              # seconds
    Slice client                                 # whom proxies of ours name as the client, else the peer
    Slice peer                                   # of the connection; written when it is another one
    Slice method
    Slice path                                   # without query: a query may carry secrets
    Slice host
    Slice request_id
    Slice endpoint                               # address text; at is NULL when none was picked
    Slice issuer                                 # label of the token's issuer; at is NULL when it is not known
    Slice cluster                                # name; at is NULL when the request was not forwarded
    Slice route                                  # name of the route; at is NULL when there is none
    Slice claims                                 # ready-made members of the line; at is NULL when there are none
    int protocol                                 # HTTP_1_1, HTTP_1_0 or HTTP_2; that of a head which cannot be read is HTTP_1_1
    int status                                   # 0: ended without a response
    DenyReason reason
    ErrorReason error                            # told as the reason when there is no other
    DenyReason would_refuse                      # of report-only rules: let through, and this is why it would not have been
    int64_t request_bytes                        # body
    int64_t response_bytes                       # body
    bint complete                                # the response was relayed whole
    int retries
    int attempts                                 # endpoints that were tried, one as often as it was; written with the next one
    Slice failed_endpoints                       # addresses of those that failed; at is NULL when none did
    int grpc_status                              # -1: it was no gRPC call, or ended without one


@cython.final
cdef class AccessLog:
    cdef Buffer _buffer
    cdef int _fd
    cdef readonly str path
    cdef Board _board
    cdef bint _regular                           # a file: one write of any size is one append
    cdef bint _gate                              # ask poll(2) first: a write could block
    cdef int64_t _second                         # that _date spells
    cdef char[20] _date                          # YYYY-MM-DDTHH:MM:SS

    cdef void record(self, AccessRecord *record) noexcept
    cdef int open(self) except -1
    cdef const char *date(self, int64_t second) noexcept
    cdef Py_ssize_t write_out(self) noexcept
