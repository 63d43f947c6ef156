from lbjwt.http1._buffer cimport Buffer, Slice


cdef struct Check:
    # What Envoy says of one request. The slices borrow the message.
    Slice http                   # the message `HttpRequest`, which has the headers
    Slice method
    Slice path                   # with its query
    Slice host
    Slice scheme
    Slice client                 # its address as text; size 0: it came over a Unix socket


# A `CheckRequest`. False: it is malformed, or something is missing, doubled, or cannot be what it is said to be.
cdef bint read_check(Slice message, Check *check) noexcept
# The head of the request as HTTP/1.1, appended to `out`. False: it cannot be written, or has no headers.
cdef bint write_head(Buffer out, Check *check) except -1
cdef bint is_https(Check *check) noexcept
