"""Heads and trailers of responses between HTTP/1 and HTTP/2; `_fields` has requests, and the rules for names and values."""

import base64
import hashlib

from libc.string cimport memchr

from lbjwt.http1._buffer cimport Field
from lbjwt.http1._names cimport FORWARD
from lbjwt.http1._scan cimport equals
from lbjwt.http1._writing cimport put_field, put_line_end, put_slice, put_text
from lbjwt.http2._fields cimport ends_here, is_name, is_text, is_value, size_of

cdef enum:
    ADDED = 256                  # bytes that may be written beside fields and the four characters of each line

cdef bytes _digits = b"".join(b"%d" % number for number in range(100, 600))      # of all statuses
cdef const char *_STATUS = _digits
cdef FieldsOut _response = FieldsOut.__new__(FieldsOut)


cdef inline int _put_status(FieldsOut fields, int status) except -1:
    fields.clear()
    return fields.put(b":status", 7, Slice(_STATUS + 3 * (status - 100), 3))


cdef int _put_lines(FieldsOut fields, const char *at, Py_ssize_t size) except -1:
    """Field lines of ours, each with its CRLF."""
    cdef const char *end = at + size
    cdef const char *colon
    cdef const char *stop
    while at < end:
        stop = <const char *>memchr(at, c"\r", end - at)
        colon = <const char *>memchr(at, c":", stop - at)
        fields.put(at, colon - at, Slice(colon + 2, stop - colon - 2))
        at = stop + 2
    return 0


cdef inline int _put_date(FieldsOut fields, bytes date) except -1:
    return fields.put(b"date", 4, Slice(<const char *>date + 6, len(date) - 8))


cdef FieldsOut response_fields(ResponseHead head, Slice request_id, bytes date, const char *extra, Py_ssize_t extra_size):
    cdef Field *field = head._fields
    cdef Field *end = field + head._count
    cdef FieldsOut fields = _response
    cdef bint switches = head.status == 101
    _put_status(fields, 200 if switches else head.status)
    while field < end:
        # What accepts the key of a handshake answers ours (RFC 8441 section 5).
        if field.kind == FORWARD and not (switches and equals(field.name, b"sec-websocket-accept", 20)):
            fields.put(field.name.at, field.name.size, field.value)
        field += 1
    if head.content_length >= 0:
        fields.put_number(b"content-length", 14, head.content_length)
    if request_id.size:
        if not head._dated:
            _put_date(fields, date)
        fields.put_once(b"x-request-id", 12, request_id)
    if extra_size:
        _put_lines(fields, extra, extra_size)
    return fields


cdef FieldsOut answer_fields(Answer answer, bytes date, Slice request_id):
    cdef const char *head = answer.head
    cdef Py_ssize_t size = len(answer.head)
    cdef const char *lines = <const char *>memchr(head, c"\n", size) + 1
    _put_status(_response, answer.status)
    _put_lines(_response, lines, head + size - lines)
    _put_date(_response, date)
    _response.put_once(b"x-request-id", 12, request_id)
    return _response


# --- from endpoints -----------------------------------------------------------------------------------------------------

cdef bytes _WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"      # RFC 6455 section 1.3


cdef bint write_response(Buffer out, FieldList fields, bint end, bytes accept) except -1:
    cdef Field *field = fields.at
    cdef Field *last = field + fields.count
    cdef Slice status
    cdef bytes answer
    cdef bint measured
    cdef char *at
    if field == last or not is_text(field.name, b":status", 7) or field.value.size != 3:
        return False
    status = field.value
    field += 1
    out.reserve(size_of(fields) + ADDED)
    at = out.data + out.size
    if accept is not None and is_text(status, b"200", 3):
        at = put_text(at, b"HTTP/1.1 101 \r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ", 78)
        answer = base64.b64encode(hashlib.sha1(accept + _WEBSOCKET).digest())
        at = put_line_end(put_text(at, answer, len(answer)))
        measured = True
    elif is_text(status, b"101", 3):             # RFC 9113 section 8.6
        return False
    else:
        at = put_text(put_slice(put_text(at, b"HTTP/1.1 ", 9), status), b" \r\n", 3)
        measured = end or status.at[0] == c"1"
    while field < last:
        if not is_name(field.name) or not is_value(field.value) or ends_here(field.name):
            return False
        measured = measured or is_text(field.name, b"content-length", 14)
        at = put_field(at, field.name, field.value)
        field += 1
    if not measured:
        at = put_text(at, b"transfer-encoding: chunked\r\n", 28)
    at = put_line_end(at)
    out.size = at - out.data
    return True


cdef frozenset _NOT_IN_TRAILERS = frozenset({
    b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"te", b"trailer", b"host",
    b"authorization", b"proxy-authorization", b"cookie", b"set-cookie", b"content-encoding", b"content-type", b"content-range", b"expect",
    b"max-forwards", b"cache-control", b"x-request-id"})


cdef list passed_trailers(FieldList fields):
    cdef list passed = []
    cdef Field *field = fields.at
    cdef Field *end = field + fields.count
    cdef bytes name
    while field < end:
        if not is_name(field.name) or not is_value(field.value):
            return None
        name = field.name.at[:field.name.size]
        if name not in _NOT_IN_TRAILERS:
            passed.append((name, field.value.at[:field.value.size]))
        field += 1
    return passed
