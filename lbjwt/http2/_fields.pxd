from libc.string cimport memcmp

from lbjwt._error_reason cimport ErrorReason
from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http2._fields_out cimport FieldsOut
from lbjwt.http2._inbox cimport FieldList


cdef inline bint is_text(Slice text, const char *other, Py_ssize_t size) noexcept:
    return text.size == size and memcmp(text.at, other, size) == 0


cdef bint is_name(Slice name) noexcept           # a token without upper case (RFC 9113 section 8.2.1)
cdef bint is_value(Slice value) noexcept         # without controls but tabs inside, and without white space at its ends
cdef bint ends_here(Slice name) noexcept         # a field that is of a connection of HTTP/1 (section 8.2.2)
cdef Py_ssize_t size_of(FieldList fields) noexcept   # bytes of these fields as lines of HTTP/1

# The head of an HTTP/1.1 request with the same meaning, appended to `out`, where `RequestHead.parse` judges it by the rules of all requests; or why
# there is none. end: the request has no body. websocket: set if it is an extended CONNECT for one (RFC 8441)
cdef ErrorReason write_request(Buffer out, FieldList fields, bint end, bint *websocket) except *
# The fields of a request, with the pseudo-header fields first, of a head that `RequestHead.write` wrote: `at` up to its empty line. body_at: set to
# what stands behind it. websocket: an extended CONNECT (RFC 8441). They borrow the head; the next call uses the object again.
cdef FieldsOut request_fields(const char *at, Py_ssize_t size, bint https, bint websocket, Py_ssize_t *body_at)
# The key of the WebSocket handshake in such a head; None: there is none
cdef bytes websocket_key(const char *at, Py_ssize_t size)
