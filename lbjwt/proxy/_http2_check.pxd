from lbjwt.http1._answer cimport Answer
from lbjwt.http1._request cimport RequestHead
from lbjwt.proxy._check_call cimport CheckCall
from lbjwt.proxy._http2_streams cimport Http2Stream


cdef class CheckedStream(Http2Stream):
    """A stream that may be a call of Envoy's authorization service."""
    cdef CheckCall check         # what Envoy asks; None: the request is what it is

    cdef void _begin_check(self, RequestHead head, const char *at, Py_ssize_t size)
    cdef void _take_check(self, bytes data)
    cdef void _ask(self, const char *at, Py_ssize_t size, bint again)
    cdef void _send_check(self, Answer answer)
