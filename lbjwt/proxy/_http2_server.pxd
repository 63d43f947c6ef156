cimport cython
from libc.stdint cimport int64_t

from lbjwt._error_reason cimport ErrorReason
from lbjwt.http1._answer cimport Answer
from lbjwt.http1._buffer cimport Slice
from lbjwt.http1._request cimport RequestHead
from lbjwt.http1._response cimport ResponseHead
from lbjwt.http2._fields_out cimport FieldsOut
from lbjwt.proxy._http2_check cimport CheckedStream


@cython.final
cdef class Http2ServerStream(CheckedStream):
    """One request of an HTTP/2 client and its response. `deadline` is the client's, to send more of its request."""
    cdef ErrorReason problem     # of what came of the request while it waited for keys
    cdef bytearray held          # body that came and that its endpoint does not take yet; None: none
    cdef int64_t body            # bytes of the body that were passed on
    cdef int64_t content_length  # that the head announced; -1: it did not
    cdef double unread_until     # seconds on the monotonic clock: when the client must have taken more of the response; 0.0: it owes nothing
    cdef bint passing            # a piece of the body is being passed on
    cdef bint bodiless           # the request was HEAD: our own answers to it carry no body
    cdef bint websocket          # it asks for one by an extended CONNECT
    cdef bint tunneling

    cdef void _start(self, const char *at, Py_ssize_t size, bint again)
    cdef RequestHead _original(self, RequestHead question, const char *at, Py_ssize_t size)
    cdef void _answer_health(self, Answer answer)
    cdef void _send_answer(self, Answer answer, Slice request_id)
    cdef void take_data(self, const char *at, Py_ssize_t size, bint end)
    cdef void break_off(self, ErrorReason reason)
    cdef void _pass_on(self, const char *at, Py_ssize_t size, bint end)
    cdef ErrorReason _check_body(self, Py_ssize_t size, bint end) noexcept
    cdef void _send_data(self, const char *at, Py_ssize_t size, bint end)
    cdef void _await_client(self)
    cdef void taken(self)        # the client took what was queued, as far as it had to
    cdef FieldsOut _fields(self, ResponseHead head)
    cdef void stalled(self)      # … or did not, for too long
    cdef void lost(self, ErrorReason reason)     # the client took the stream back, or its connection is gone
    cdef void fail(self)         # a fault of ours ends this request, and no other on the connection
    cdef void _record_lost(self, ErrorReason reason, bytes head)
    cdef bint _end_with_status(self, ErrorReason reason)
    cdef void _finish(self)
