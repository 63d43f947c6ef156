from libc.stdint cimport int64_t

from lbjwt._fastverify cimport DenyReason
from lbjwt.http1._buffer cimport Buffer, Slice


cdef struct AccessRecord:
    double started_at                            # seconds since the epoch
    double duration                              # seconds
    Slice peer
    Slice method
    Slice path                                   # without query: a query may carry secrets
    Slice host
    Slice request_id
    Slice endpoint                               # address text; at is NULL when none was picked
    int status                                   # 0: ended without a response
    DenyReason reason
    int64_t request_bytes                        # body
    int64_t response_bytes                       # body
    bint complete                                # the response was relayed whole
    int retries


cdef class AccessLog:
    """JSON lines, one a request, gathered in memory and written by `flush` (once a second, or past 64 KiB)."""
    cdef Buffer _buffer
    cdef int _fd

    cdef void record(self, AccessRecord *record) noexcept
