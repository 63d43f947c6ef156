from lbjwt._error_reason cimport ErrorReason
from lbjwt.http1._answer cimport Answer
from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http1._response cimport ResponseHead

# The head of an HTTP/1.1 request with the same meaning, appended to `out`, where `RequestHead.parse` judges it by the rules of all requests; or why
# there is none. fields: (name, value) as they came. end: the request has no body. websocket: set if it is an extended CONNECT for one (RFC 8441)
cdef ErrorReason write_request(Buffer out, tuple fields, bint end, bint *websocket) except *
# The fields of a response for HTTP/2, with `:status` first: what `ResponseHead.write` writes for HTTP/1, with the same arguments.
cdef list response_fields(ResponseHead head, Slice request_id, bytes date, const char *extra, Py_ssize_t extra_size)
# The fields of a response of our own.
cdef list answer_fields(Answer answer, bytes date, Slice request_id)
# The fields of a request, with the pseudo-header fields first, of a head that `RequestHead.write` wrote: `at` up to its empty line. body_at: set to
# what stands behind it. websocket: an extended CONNECT (RFC 8441)
cdef list request_fields(const char *at, Py_ssize_t size, bint https, bint websocket, Py_ssize_t *body_at)
# The key of the WebSocket handshake in such a head; None: there is none
cdef bytes websocket_key(const char *at, Py_ssize_t size)
# The head of an HTTP/1.1 response with the same meaning, appended to `out`, where `ResponseHead.parse` judges it; False: it is malformed (RFC 9113
# section 8.3.2). end: no body follows. accept: the key of a WebSocket handshake that it agrees to; None for all other requests
cdef bint write_response(Buffer out, tuple fields, bint end, bytes accept) except -1
# The fields of trailers that may be passed on (RFC 9110 section 6.5.1); None: one is malformed.
cdef list passed_trailers(tuple fields)
