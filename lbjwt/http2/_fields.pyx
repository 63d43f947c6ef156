"""
Heads between HTTP/2 and HTTP/1. A request of HTTP/2 is written as HTTP/1.1, and read by `RequestHead` like all others, so every rule about requests
stands once and holds for both. What only HTTP/2 can say, or say in another way, is judged here: RFC 9113 sections 8.2 and 8.3, RFC 8441.

The engine refuses most of it before (a stream with such a head is reset); what it lets through, and what it could let through in another version, is
refused here with a reason: nothing is repaired, and no byte can end a line or a name early in what is written.
"""

import base64
import hashlib
import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcmp

from lbjwt.http1._buffer cimport Field
from lbjwt.http1._grammar cimport is_authority, same_text, without_default_port
from lbjwt.http1._names cimport FORWARD
from lbjwt.http1._scan cimport TARGET, TOKEN, all_of, byte_class

cdef dict _STATUS = {number: b"%d" % number for number in range(100, 600)}
cdef dict _lowered = {}          # names in lower case, as many as there are in use; see `_lower`

cdef enum:
    MAX_LOWERED = 1024           # names kept


cdef inline Slice _slice(bytes text) noexcept:
    return Slice(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))


cdef inline bint _is(Slice text, const char *other, Py_ssize_t size) noexcept:
    return text.size == size and memcmp(text.at, other, size) == 0


cdef bint _is_name(Slice name) noexcept:
    """A token without upper case (RFC 9113 section 8.2.1)."""
    cdef Py_ssize_t at
    if name.size == 0:
        return False
    for at in range(name.size):
        if not byte_class[<uint8_t>name.at[at]] & TOKEN or c"A" <= name.at[at] <= c"Z":
            return False
    return True


cdef bint _is_value(Slice value) noexcept:
    """Without controls but tabs inside, and without white space at its ends."""
    cdef Py_ssize_t at
    cdef uint8_t c
    for at in range(value.size):
        c = <uint8_t>value.at[at]
        if (c < 0x20 and c != 9) or c == 0x7f:
            return False
    return value.size == 0 or (value.at[0] not in (c" ", c"\t") and value.at[value.size - 1] not in (c" ", c"\t"))


cdef bint _ends_here(Slice name) noexcept:
    """A field that is of a connection of HTTP/1 (RFC 9113 section 8.2.2)."""
    return (_is(name, b"connection", 10) or _is(name, b"keep-alive", 10) or _is(name, b"proxy-connection", 16)
            or _is(name, b"transfer-encoding", 17) or _is(name, b"upgrade", 7))


cdef int _put_line(Buffer out, Slice name, Slice value) except -1:
    out.put(name.at, name.size)
    out.put(b": ", 2)
    out.put(value.at, value.size)
    out.put(b"\r\n", 2)
    return 0


cdef enum:                       # the pseudo-header fields of a request
    METHOD = 0
    SCHEME = 1
    AUTHORITY = 2
    PATH = 3
    PROTOCOL = 4
    UNKNOWN = 5


cdef ErrorReason _put_request_line(Buffer out, Slice *pseudo, bint websocket) except *:
    if not all_of(pseudo[METHOD].at, pseudo[METHOD].size, TOKEN) or pseudo[METHOD].size == 0:
        return ErrorReason.REQUEST_LINE
    if not (_is(pseudo[SCHEME], b"https", 5) or _is(pseudo[SCHEME], b"http", 4)):
        return ErrorReason.PSEUDO_FIELD
    if pseudo[PATH].size == 0 or not all_of(pseudo[PATH].at, pseudo[PATH].size, TARGET):
        return ErrorReason.TARGET_CHARACTER
    if pseudo[PATH].at[0] != c"/" and not (_is(pseudo[PATH], b"*", 1) and _is(pseudo[METHOD], b"OPTIONS", 7)):
        return ErrorReason.TARGET_FORM
    if websocket:
        out.put(b"GET", 3)
    else:
        out.put(pseudo[METHOD].at, pseudo[METHOD].size)
    out.put(b" ", 1)
    out.put(pseudo[PATH].at, pseudo[PATH].size)
    out.put(b" HTTP/1.1\r\n", 11)
    return ErrorReason.NO_ERROR


cdef int _pseudo(Slice name) noexcept:
    if _is(name, b":method", 7):
        return METHOD
    if _is(name, b":scheme", 7):
        return SCHEME
    if _is(name, b":authority", 10):
        return AUTHORITY
    if _is(name, b":path", 5):
        return PATH
    return PROTOCOL if _is(name, b":protocol", 9) else UNKNOWN


cdef ErrorReason write_request(Buffer out, tuple fields, bint end, bint *websocket) except *:
    cdef Slice pseudo[5]
    cdef Slice name, value
    cdef Slice host = Slice(NULL, 0)
    cdef list crumbs = None
    cdef int at
    cdef Py_ssize_t first = 0
    cdef int kind
    cdef bint measured = False
    cdef bint connect, https
    cdef ErrorReason problem
    cdef bytes joined
    cdef object field
    for at in range(5):
        pseudo[at] = Slice(NULL, 0)
    for field in fields:                         # pseudo-header fields come first (RFC 9113 section 8.3)
        name = _slice(<bytes>(<tuple>field)[0])
        if name.size == 0 or name.at[0] != c":":
            break
        kind = _pseudo(name)
        if kind == UNKNOWN or pseudo[kind].at != NULL:
            return ErrorReason.PSEUDO_FIELD
        pseudo[kind] = _slice(<bytes>(<tuple>field)[1])
        first += 1
    connect = _is(pseudo[METHOD], b"CONNECT", 7)
    websocket[0] = connect and _is(pseudo[PROTOCOL], b"websocket", 9)
    if connect != websocket[0]:
        return ErrorReason.METHOD_NOT_ALLOWED
    if pseudo[PROTOCOL].at != NULL and not connect:
        return ErrorReason.PSEUDO_FIELD
    problem = _put_request_line(out, pseudo, websocket[0])
    if problem:
        return problem
    for field in fields[first:]:
        name = _slice(<bytes>(<tuple>field)[0])
        value = _slice(<bytes>(<tuple>field)[1])
        if not _is_name(name):
            return ErrorReason.PSEUDO_FIELD if name.size and name.at[0] == c":" else ErrorReason.FIELD_LINE
        if not _is_value(value):
            return ErrorReason.FIELD_LINE
        if _ends_here(name):
            return ErrorReason.CONNECTION_FIELD
        if _is(name, b"te", 2):
            if not same_text(value, Slice(b"trailers", 8)):
                return ErrorReason.CONNECTION_FIELD
            continue
        if _is(name, b"cookie", 6):              # cut into pieces for HPACK (RFC 9113 section 8.2.3)
            if crumbs is None:
                crumbs = []
            crumbs.append((<tuple>field)[1])
            continue
        if _is(name, b"host", 4):
            if host.at != NULL:
                return ErrorReason.TWO_HOSTS
            host = value
            continue
        measured = measured or _is(name, b"content-length", 14)
        _put_line(out, name, value)
    if pseudo[AUTHORITY].at != NULL:
        if not is_authority(pseudo[AUTHORITY]):
            return ErrorReason.INVALID_HOST
        if host.at != NULL:
            https = _is(pseudo[SCHEME], b"https", 5)
            if not is_authority(host):
                return ErrorReason.INVALID_HOST
            if not same_text(without_default_port(host, https), without_default_port(pseudo[AUTHORITY], https)):
                return ErrorReason.TARGET_NOT_HOST
        host = pseudo[AUTHORITY]
    if host.at != NULL:
        _put_line(out, Slice(b"host", 4), host)
    if crumbs is not None:
        joined = b"; ".join(crumbs)
        _put_line(out, Slice(b"cookie", 6), _slice(joined))
    if websocket[0]:
        out.put(b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: ", 60)
        joined = base64.b64encode(os.urandom(16))
        out.put(joined, 24)
        out.put(b"\r\n", 2)
    elif not end and not measured:
        out.put(b"transfer-encoding: chunked\r\n", 28)
    out.put(b"\r\n", 2)
    return ErrorReason.NO_ERROR


def request_text(tuple fields, bint end):
    """
    The head of HTTP/1.1 that `write_request` makes of these fields, or the number of the `ErrorReason` to refuse them, for tests of what the engine would
    stop before.
    """
    cdef Buffer out = Buffer.__new__(Buffer)
    cdef bint websocket = False
    cdef ErrorReason problem = write_request(out, fields, end, &websocket)
    return int(problem) if problem else out.data[:out.size]


# --- responses ---------------------------------------------------------------------------------------------------------

cdef bytes _lower(Slice name):
    """A field name in lower case. An endpoint sends few names, so each is made once."""
    cdef bytes given = PyBytes_FromStringAndSize(name.at, name.size)
    cdef bytes known = <bytes>_lowered.get(given)
    if known is None:
        if len(_lowered) >= MAX_LOWERED:
            _lowered.clear()
        known = _lowered[given] = given.lower()
    return known


cdef bytes _text(Slice value):
    return PyBytes_FromStringAndSize(value.at, value.size)


cdef int _add_lines(list fields, const char *at, Py_ssize_t size) except -1:
    """Field lines of ours, each with its CRLF."""
    cdef const char *end = at + size
    cdef const char *colon
    cdef const char *stop
    while at < end:
        stop = <const char *>memchr(at, c"\r", end - at)
        colon = <const char *>memchr(at, c":", stop - at)
        fields.append((_lower(Slice(at, colon - at)), PyBytes_FromStringAndSize(colon + 2, stop - colon - 2)))
        at = stop + 2
    return 0


cdef list response_fields(ResponseHead head, Slice request_id, bytes date, const char *extra, Py_ssize_t extra_size):
    cdef Field *field = head._fields
    cdef Field *end = field + head._count
    cdef list fields = [(b":status", <bytes>_STATUS[200 if head.status == 101 else head.status])]
    cdef bytes name
    while field < end:
        if field.kind == FORWARD:
            name = _lower(field.name)
            if head.status != 101 or name != b"sec-websocket-accept":    # it answers the key of ours (RFC 8441 section 5)
                fields.append((name, _text(field.value)))
        field += 1
    if head.content_length >= 0:
        fields.append((b"content-length", b"%d" % head.content_length))
    if request_id.size:
        if not head._dated:
            fields.append((b"date", date[6:len(date) - 2]))
        fields.append((b"x-request-id", _text(request_id)))
    if extra_size:
        _add_lines(fields, extra, extra_size)
    return fields


cdef list answer_fields(Answer answer, bytes date, Slice request_id):
    cdef list fields
    cdef Py_ssize_t line
    if answer.fields is None:
        line = answer.head.index(b"\r\n") + 2
        fields = [(b":status", <bytes>_STATUS[answer.status])]
        _add_lines(fields, <const char *>answer.head + line, len(answer.head) - line)
        answer.fields = fields
    fields = answer.fields.copy()
    fields.append((b"date", date[6:len(date) - 2]))
    fields.append((b"x-request-id", _text(request_id)))
    return fields


# --- to and from endpoints ----------------------------------------------------------------------------------------------

cdef list request_fields(const char *at, Py_ssize_t size, bint https, bint websocket, Py_ssize_t *body_at):
    cdef const char *begin = at
    cdef const char *end = at + size
    cdef const char *stop = <const char *>memchr(at, c" ", size)
    cdef const char *line
    cdef const char *colon
    cdef bytes method = PyBytes_FromStringAndSize(at, stop - at)
    cdef bytes path, name
    cdef Slice key
    cdef list fields = []
    at = stop + 1
    stop = <const char *>memchr(at, c" ", end - at)
    path = PyBytes_FromStringAndSize(at, stop - at)
    line = <const char *>memchr(stop, c"\n", end - stop) + 1
    if websocket:
        fields.append((b":method", b"CONNECT"))
        fields.append((b":protocol", b"websocket"))
    else:
        fields.append((b":method", method))
    fields.append((b":scheme", b"https" if https else b"http"))
    fields.append((b":path", path))
    while line[0] != c"\r":
        stop = <const char *>memchr(line, c"\r", end - line)
        colon = <const char *>memchr(line, c":", stop - line)
        key = Slice(line, colon - line)
        name = _lower(key)
        if name == b"host":
            if stop > colon + 2:
                fields.insert(3 if websocket else 2, (b":authority", PyBytes_FromStringAndSize(colon + 2, stop - colon - 2)))
        elif not _ends_here(_slice(name)) and name != b"sec-websocket-key":
            fields.append((name, PyBytes_FromStringAndSize(colon + 2, stop - colon - 2)))
        line = stop + 2
    if not websocket:
        fields.append((b"te", b"trailers"))      # what comes behind a body is passed on where it can be
    body_at[0] = line + 2 - begin
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


cdef bytes _WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"      # RFC 6455 section 1.3


cdef bint write_response(Buffer out, tuple fields, bint end, bytes accept) except -1:
    cdef Slice name, value
    cdef bytes answer
    cdef bint measured = False
    cdef bint first = True
    cdef object field
    for field in fields:
        name = _slice(<bytes>(<tuple>field)[0])
        value = _slice(<bytes>(<tuple>field)[1])
        if first:
            first = False
            if not _is(name, b":status", 7) or value.size != 3:
                return False
            if accept is not None and _is(value, b"200", 3):
                out.put(b"HTTP/1.1 101 \r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ", 78)
                answer = base64.b64encode(hashlib.sha1(accept + _WEBSOCKET).digest())
                out.put(answer, len(answer))
                out.put(b"\r\n", 2)
                measured = True
                continue
            if _is(value, b"101", 3):            # RFC 9113 section 8.6
                return False
            out.put(b"HTTP/1.1 ", 9)
            out.put(value.at, 3)
            out.put(b" \r\n", 3)
            measured = end or value.at[0] == c"1"
            continue
        if not _is_name(name) or not _is_value(value) or _ends_here(name):
            return False
        measured = measured or _is(name, b"content-length", 14)
        _put_line(out, name, value)
    if first:
        return False
    if not measured:
        out.put(b"transfer-encoding: chunked\r\n", 28)
    out.put(b"\r\n", 2)
    return True


# --- trailers -----------------------------------------------------------------------------------------------------------

cdef frozenset _NOT_IN_TRAILERS = frozenset({
    b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"te", b"trailer", b"host", b"authorization",
    b"proxy-authorization", b"cookie", b"set-cookie", b"content-encoding", b"content-type", b"content-range", b"expect", b"max-forwards",
    b"cache-control", b"x-request-id"})


cdef list passed_trailers(tuple fields):
    cdef list passed = []
    cdef Slice name
    for field in fields:
        name = _slice(<bytes>(<tuple>field)[0])
        if not _is_name(name) or not _is_value(_slice(<bytes>(<tuple>field)[1])):
            return None
        if field[0] not in _NOT_IN_TRAILERS:
            passed.append((<bytes>(<tuple>field)[0], <bytes>(<tuple>field)[1]))
    return passed
