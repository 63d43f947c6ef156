# Which form of answer a client understands. Each call walks the fields of the head.

from lbjwt.http1._buffer cimport Slice
from lbjwt.http1._request cimport RequestHead


cpdef enum Caller:
    NO_GRPC = 0
    GRPC = 1
    GRPC_WEB = 2                 # gRPC-Web: its trailers stand in the body
    GRPC_WEB_TEXT = 3            # … and the body is base64


cpdef Caller caller_of(RequestHead head) noexcept
# The same of a content type by itself.
cdef Caller caller_by_type(Slice value) noexcept
cpdef bint is_browser(RequestHead head) noexcept
