"""
Heads between HTTP/2 and HTTP/1. A request of HTTP/2 is written as HTTP/1.1, and read by `RequestHead` like all others, so every rule about requests
stands once and holds for both. What only HTTP/2 can say, or say in another way, is judged here: RFC 9113 sections 8.2 and 8.3, RFC 8441. Responses
are in `_response_fields`.

The engine refuses most of it before (a stream with such a head is reset); what it lets through, and what it could let through in another version, is
refused here with a reason: nothing is repaired, and no byte can end a line or a name early in what is written.
"""

import base64
import os

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memchr

from lbjwt.http1._buffer cimport Field
from lbjwt.http1._grammar cimport is_authority, same_text, without_default_port
from lbjwt.http1._scan cimport TARGET, TOKEN, all_of, byte_class, equals, next_control
from lbjwt.http1._writing cimport put_field, put_line_end, put_slice, put_text

cdef enum:
    ADDED = 256                  # bytes that may be written beside fields and the four characters of each line


cdef bint is_name(Slice name) noexcept:
    cdef Py_ssize_t at
    if name.size == 0:
        return False
    for at in range(name.size):
        if not byte_class[<uint8_t>name.at[at]] & TOKEN or c"A" <= name.at[at] <= c"Z":
            return False
    return True


cdef bint is_value(Slice value) noexcept:
    cdef const char *at = value.at
    cdef const char *end = at + value.size
    if value.size == 0:
        return True
    if at[0] == c" " or at[0] == c"\t" or end[-1] == c" " or end[-1] == c"\t":
        return False
    while True:
        at = next_control(at, end)
        if at == end:
            return True
        if at[0] != c"\t":
            return False
        at += 1


cdef bint ends_here(Slice name) noexcept:
    return (equals(name, b"connection", 10) or equals(name, b"keep-alive", 10) or equals(name, b"proxy-connection", 16)
            or equals(name, b"transfer-encoding", 17) or equals(name, b"upgrade", 7))


cdef Py_ssize_t size_of(FieldList fields) noexcept:
    cdef Field *field = fields.at
    cdef Field *end = field + fields.count
    cdef Py_ssize_t size = 0
    while field < end:
        size += field.name.size + field.value.size + 4
        field += 1
    return size


cdef enum:                       # the pseudo-header fields of a request
    METHOD = 0
    SCHEME = 1
    AUTHORITY = 2
    PATH = 3
    PROTOCOL = 4
    UNKNOWN = 5


cdef ErrorReason _check_request_line(Slice *pseudo) noexcept:
    if not all_of(pseudo[METHOD].at, pseudo[METHOD].size, TOKEN) or pseudo[METHOD].size == 0:
        return ErrorReason.REQUEST_LINE
    if not (is_text(pseudo[SCHEME], b"https", 5) or is_text(pseudo[SCHEME], b"http", 4)):
        return ErrorReason.PSEUDO_FIELD
    if pseudo[PATH].size == 0 or not all_of(pseudo[PATH].at, pseudo[PATH].size, TARGET):
        return ErrorReason.TARGET_CHARACTER
    if pseudo[PATH].at[0] != c"/" and not (is_text(pseudo[PATH], b"*", 1) and is_text(pseudo[METHOD], b"OPTIONS", 7)):
        return ErrorReason.TARGET_FORM
    return ErrorReason.NO_ERROR


cdef int _pseudo(Slice name) noexcept:
    if is_text(name, b":method", 7):
        return METHOD
    if is_text(name, b":scheme", 7):
        return SCHEME
    if is_text(name, b":authority", 10):
        return AUTHORITY
    if is_text(name, b":path", 5):
        return PATH
    return PROTOCOL if is_text(name, b":protocol", 9) else UNKNOWN


cdef ErrorReason write_request(Buffer out, FieldList fields, bint end, bint *websocket) except *:
    cdef Field *field = fields.at
    cdef Field *last = field + fields.count
    cdef Slice pseudo[5]
    cdef Slice host = Slice(NULL, 0)
    cdef Py_ssize_t crumbs = 0
    cdef int kind
    cdef bint measured = False
    cdef bint connect, https
    cdef ErrorReason problem
    cdef bytes key
    cdef char *at
    for kind in range(5):
        pseudo[kind] = Slice(NULL, 0)
    while field < last and field.name.size and field.name.at[0] == c":":     # pseudo-header fields come first (RFC 9113 section 8.3)
        kind = _pseudo(field.name)
        if kind == UNKNOWN or pseudo[kind].at != NULL:
            return ErrorReason.PSEUDO_FIELD
        pseudo[kind] = field.value
        field += 1
    connect = is_text(pseudo[METHOD], b"CONNECT", 7)
    websocket[0] = connect and is_text(pseudo[PROTOCOL], b"websocket", 9)
    if connect != websocket[0]:
        return ErrorReason.METHOD_NOT_ALLOWED
    if pseudo[PROTOCOL].at != NULL and not connect:
        return ErrorReason.PSEUDO_FIELD
    problem = _check_request_line(pseudo)
    if problem:
        return problem
    out.reserve(size_of(fields) + ADDED)
    at = out.data + out.size
    at = put_text(at, b"GET", 3) if websocket[0] else put_slice(at, pseudo[METHOD])
    at[0] = c" "
    at = put_text(put_slice(at + 1, pseudo[PATH]), b" HTTP/1.1\r\n", 11)
    while field < last:
        out.size = at - out.data                 # a head that is refused is recorded as far as it was written
        if not is_name(field.name):
            return ErrorReason.PSEUDO_FIELD if field.name.size and field.name.at[0] == c":" else ErrorReason.FIELD_LINE
        if not is_value(field.value):
            return ErrorReason.FIELD_LINE
        if ends_here(field.name):
            return ErrorReason.CONNECTION_FIELD
        if is_text(field.name, b"te", 2):
            if not same_text(field.value, Slice(b"trailers", 8)):
                return ErrorReason.CONNECTION_FIELD
        elif is_text(field.name, b"cookie", 6):
            crumbs += 1
        elif is_text(field.name, b"host", 4):
            if host.at != NULL:
                return ErrorReason.TWO_HOSTS
            host = field.value
        else:
            measured = measured or is_text(field.name, b"content-length", 14)
            at = put_field(at, field.name, field.value)
        field += 1
    out.size = at - out.data
    if pseudo[AUTHORITY].at != NULL:
        if not is_authority(pseudo[AUTHORITY]):
            return ErrorReason.INVALID_HOST
        if host.at != NULL:
            https = is_text(pseudo[SCHEME], b"https", 5)
            if not is_authority(host):
                return ErrorReason.INVALID_HOST
            if not same_text(without_default_port(host, https), without_default_port(pseudo[AUTHORITY], https)):
                return ErrorReason.TARGET_NOT_HOST
        host = pseudo[AUTHORITY]
    if host.at != NULL:
        at = put_field(at, Slice(b"host", 4), host)
    if crumbs:
        at = _put_cookies(at, fields)
    if websocket[0]:
        at = put_text(at, b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: ", 60)
        key = base64.b64encode(os.urandom(16))
        at = put_line_end(put_text(at, key, 24))
    elif not end and not measured:
        at = put_text(at, b"transfer-encoding: chunked\r\n", 28)
    at = put_line_end(at)
    out.size = at - out.data
    return ErrorReason.NO_ERROR


cdef char *_put_cookies(char *at, FieldList fields) noexcept:
    """In one line: they were cut into pieces for HPACK (RFC 9113 section 8.2.3)."""
    cdef Field *field = fields.at
    cdef Field *end = field + fields.count
    cdef bint first = True
    at = put_text(at, b"cookie: ", 8)
    while field < end:
        if is_text(field.name, b"cookie", 6):
            if not first:
                at = put_text(at, b"; ", 2)
            at = put_slice(at, field.value)
            first = False
        field += 1
    return put_line_end(at)


def request_text(tuple fields, bint end):
    """
    The head of HTTP/1.1 that `write_request` makes of these fields, or the number of the `ErrorReason` to refuse them: for tests of what the engine
    would stop before.
    """
    cdef Buffer out = Buffer.__new__(Buffer)
    cdef bint websocket = False
    cdef ErrorReason problem
    cdef Py_ssize_t number = 0
    cdef bytes name, value
    cdef Field *list_of = <Field *>calloc(len(fields) + 1, sizeof(Field))
    if list_of == NULL:
        raise MemoryError()
    try:
        for name, value in fields:
            list_of[number].name = Slice(name, len(name))
            list_of[number].value = Slice(value, len(value))
            number += 1
        problem = write_request(out, FieldList(list_of, number), end, &websocket)
    finally:
        free(list_of)
    return int(problem) if problem else out.data[:out.size]


# --- to endpoints -------------------------------------------------------------------------------------------------------

cdef FieldsOut _request = FieldsOut.__new__(FieldsOut)


cdef FieldsOut request_fields(const char *at, Py_ssize_t size, bint https, bint websocket, Py_ssize_t *body_at):
    cdef const char *begin = at
    cdef const char *end = at + size
    cdef const char *stop = <const char *>memchr(at, c" ", size)
    cdef const char *colon
    cdef Slice method = Slice(at, stop - at)
    cdef Slice name, value
    cdef Slice host = Slice(NULL, 0)
    cdef Py_ssize_t authority
    cdef FieldsOut fields = _request
    fields.clear()
    if websocket:
        fields.put(b":method", 7, Slice(b"CONNECT", 7))
        fields.put(b":protocol", 9, Slice(b"websocket", 9))
    else:
        fields.put(b":method", 7, method)
    fields.put(b":scheme", 7, Slice(b"https", 5) if https else Slice(b"http", 4))
    authority = fields.count
    fields.put(b":authority", 10, host)
    at = stop + 1
    stop = <const char *>memchr(at, c" ", end - at)
    fields.put(b":path", 5, Slice(at, stop - at))
    at = <const char *>memchr(stop, c"\n", end - stop) + 1
    while at[0] != c"\r":
        stop = <const char *>memchr(at, c"\r", end - at)
        colon = <const char *>memchr(at, c":", stop - at)
        name = Slice(at, colon - at)
        value = Slice(colon + 2, stop - colon - 2)
        if equals(name, b"host", 4):
            host = value
        elif equals(name, b"x-request-id", 12):
            fields.put_once(name.at, name.size, value)
        elif not ends_here(name) and not equals(name, b"sec-websocket-key", 17):
            fields.put(name.at, name.size, value)
        at = stop + 2
    if host.size:
        fields.set(authority, host)
    else:
        fields.drop(authority)
    if not websocket:
        fields.put(b"te", 2, Slice(b"trailers", 8))      # what comes behind a body is passed on where it can be
    body_at[0] = at + 2 - begin
    return fields


cdef bytes websocket_key(const char *at, Py_ssize_t size):
    cdef const char *end = at + size
    cdef const char *line = <const char *>memchr(at, c"\n", size) + 1
    cdef const char *stop
    cdef const char *colon
    while line[0] != c"\r":
        stop = <const char *>memchr(line, c"\r", end - line)
        colon = <const char *>memchr(line, c":", stop - line)
        if same_text(Slice(line, colon - line), Slice(b"sec-websocket-key", 17)):
            return PyBytes_FromStringAndSize(colon + 2, stop - colon - 2)
        line = stop + 2
    return None
