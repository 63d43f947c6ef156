from lbjwt.http1._answer cimport Answer
from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http1._response cimport ResponseHead
from lbjwt.http2._fields_out cimport FieldsOut
from lbjwt.http2._inbox cimport FieldList

# The fields of a response for HTTP/2, with `:status` first: what `ResponseHead.write` writes for HTTP/1, with the same arguments. They borrow what
# was given; the next call of either function uses the object again.
cdef FieldsOut response_fields(ResponseHead head, Slice request_id, bytes date, const char *extra, Py_ssize_t extra_size)
# The fields of a response of our own.
cdef FieldsOut answer_fields(Answer answer, bytes date, Slice request_id)
# The head of an HTTP/1.1 response with the same meaning, appended to `out`, where `ResponseHead.parse` judges it; False: it is malformed (RFC 9113
# section 8.3.2). end: no body follows. accept: the key of a WebSocket handshake that it agrees to; None for all other requests
cdef bint write_response(Buffer out, FieldList fields, bint end, bytes accept) except -1
# The fields of trailers that may be passed on (RFC 9110 section 6.5.1); None: one is malformed.
cdef list passed_trailers(FieldList fields)
