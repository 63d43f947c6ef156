cimport cython

from lbjwt._error_reason cimport ErrorReason
from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http1._request cimport RequestHead, RequestPolicy


cpdef enum Description:
    # Where a question says what the original request was.
    WIRE = 0                     # it is the original request itself, without its body
    X_FORWARDED = 1              # X-Forwarded-Method, -Uri and -Host
    X_ORIGINAL = 2               # X-Original-Method and X-Original-URL, or -URI and -Host
    CHECK = 3                    # the message of a gRPC call, `Check` of Envoy's authorization service
    SPOE = 4                     # a frame of HAProxy's SPOE filter


@cython.final
cdef class OriginalRequest:
    """Reads what a question asks about, one question after another."""
    cdef readonly Description description
    cdef object _trusts          # (peer: str) -> bool
    cdef bytes _secret_name      # in lower case; None: no secret is asked for
    cdef tuple _secrets          # bytes, of which one must come

    # Of the question at hand, until the next one:
    cdef RequestHead _head       # of a request that fields describe …
    cdef Buffer _text            # … as HTTP/1
    cdef readonly bint https     # the scheme that its client used
    cdef readonly bint by_head   # the question is a HEAD request: its answer has no body

    # The head of the original request, with the framing of the question; once `problem` is set there is none. It is `question` itself, or borrows
    # from it and from this object. known: as for `RequestHead.parse`.
    cdef RequestHead read(self, RequestHead question, RequestPolicy policy, Slice peer, bytes known)
    # What was read of a head that `read` refused, for the log. at, size: the question.
    cdef Slice text_of(self, RequestHead refused, const char *at, Py_ssize_t size) noexcept
    # Read a head that was written of a message of another protocol (`http1._described`). The result: why it is refused. https: its client used TLS.
    cdef ErrorReason read_text(self, RequestHead head, const char *at, Py_ssize_t size, RequestPolicy policy, bint https)
    cdef ErrorReason _scheme(self, RequestHead question)
    # The peer and the secret are those of a proxy that may ask.
    cdef bint is_trusted(self, RequestHead question, Slice peer) except -1
    cdef bint believes(self, Slice peer) except -1               # … the peer alone
    cdef bint _describe(self, RequestHead question, Slice *method, Slice *target, Slice *host) noexcept
    cdef bint _split(self, Slice url, Slice *target, Slice *host) noexcept
    cdef int _write(self, RequestHead question, Slice method, Slice target, Slice host) except -1
