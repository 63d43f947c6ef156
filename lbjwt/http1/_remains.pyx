"""
What the log says of a head that was refused or never came whole: method, path and host, as far as they were read.

The bytes may be a token or a password in the wrong place. So whatever does not look like its part is left out: a method is short, a path begins
with a slash and ends before its query, and an authority with "@" is not logged.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memchr

from lbjwt.http1._buffer cimport Field, Slice
from lbjwt.http1._names cimport DROPPED, HOST
from lbjwt.http1._scan cimport TOKEN, byte_class, next_control, same, scan_head, split_field

cdef enum:
    MAX_METHOD = 24              # bytes: every token is longer
    MAX_HOST = 255               # bytes


cdef void read_remains(RequestHead head, const char *data, Py_ssize_t size, RequestPolicy policy) noexcept:
    cdef const char *end = data + size
    cdef const char *at = data
    head.method_name = head.target = head.host = Slice(NULL, 0)
    while at < end and (at[0] == c'\r' or at[0] == c'\n'):
        at += 1
    _take_fields(head, data, size, at - data, policy)
    end = next_control(at, at + min(end - at, policy.max_request_line))
    head.http10 = end - at > 8 and same(end - 8, b"HTTP/1.0", 8)
    _take_request_line(head, at, end)


cdef void _take_fields(RequestHead head, const char *data, Py_ssize_t size, Py_ssize_t start, RequestPolicy policy) noexcept:
    cdef Slice line
    cdef Field *field
    cdef bint odd = False
    scan_head(data, size, start, 0, policy.max_request_line, policy.max_head, policy.max_fields, &line, &head._fields, &head._count, &head._capacity)
    head._count = min(head._count, policy.max_fields)
    field = head._fields
    while field < head._fields + head._count:
        if split_field(field, &odd) < 0:
            field.name.size = field.value.size = 0
            odd = True
        field.kind = DROPPED if odd else policy._kind_of(field.name, odd)
        if field.kind == HOST and field.value.size <= MAX_HOST and memchr(field.value.at, c'@', field.value.size) == NULL:
            head.host = field.value
        field += 1


cdef void _take_request_line(RequestHead head, const char *at, const char *end) noexcept:
    cdef const char *begin = at
    while at < end and byte_class[<uint8_t> at[0]] & TOKEN:
        at += 1
    if at == end or at[0] != c' ' or at == begin or at - begin > MAX_METHOD:
        return
    head.method_name = Slice(begin, at - begin)
    at += 1
    if end - at > 8 and (same(at, b"http://", 7) or same(at, b"https://", 8)):
        at += 7 + (at[4] != c':')
        while at < end and at[0] not in (c'/', c'?', c' '):
            at += 1
    if at < end and (at[0] == c'/' or at[0] == c'*'):
        begin = at
        while at < end and at[0] not in (c'?', c'#', c' '):
            at += 1
        head.target = Slice(begin, at - begin)
