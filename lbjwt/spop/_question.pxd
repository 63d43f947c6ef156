from lbjwt.http1._buffer cimport Buffer, Slice


cdef struct Question:
    # What HAProxy says of one request. The slices borrow the frame.
    Slice method
    Slice target                 # path and query
    Slice headers                # as `req.hdrs_bin` writes them
    Slice client                 # its address, 4 or 16 bytes; size 0: it came over a Unix socket
    bint https                   # the client used TLS


# The one message of a NOTIFY frame. False: it is malformed, or an argument is missing, doubled or of another type.
cdef bint read_question(Slice payload, Question *question) noexcept
# The head of the request as HTTP/1.1, appended to `out`. False: it cannot be written, or its list of headers has no end.
cdef bint write_head(Buffer out, Question *question) except -1
