"""
Which form of answer a refused client understands, from its request head.

A client that pretends to be a browser or a gRPC client gets the same refusal in another form.

Source: RFC 9110 sections 8.3 and 12.5.1, the gRPC protocol over HTTP.
"""

from lbjwt.http1._buffer cimport Field, Slice
from lbjwt.http1._request cimport GET, HEAD, RequestHead
from lbjwt.http1._scan cimport equals, next_element, same


cpdef Caller caller_of(RequestHead head) noexcept:
    """What the first Content-Type says: `application/grpc` or gRPC-Web, bare or with a suffix (`+proto`, parameters)."""
    cdef Field *field = head._fields
    cdef Field *end = field + head._count
    while field < end:
        if equals(field.name, b"content-type", 12):
            return caller_by_type(field.value)
        field += 1
    return Caller.NO_GRPC


cdef Caller caller_by_type(Slice value) noexcept:
    if value.size < 16 or not same(value.at, b"application/grpc", 16) or not _ends(value, 16, True):
        return Caller.NO_GRPC
    if value.size >= 25 and same(value.at + 16, b"-web-text", 9) and _ends(value, 25, False):
        return Caller.GRPC_WEB_TEXT
    if value.size >= 20 and same(value.at + 16, b"-web", 4) and _ends(value, 20, False):
        return Caller.GRPC_WEB
    return Caller.GRPC


cdef inline bint _ends(Slice value, Py_ssize_t size, bint dash) noexcept:
    """A name of so many bytes ends there: a suffix or parameters follow, or nothing."""
    return value.size == size or value.at[size] in (c'+', c';', c' ') or (dash and value.at[size] == c'-')


cpdef bint is_browser(RequestHead head) noexcept:
    """True for GET and HEAD that accept text/html and bring no Authorization: somebody looking at a page, whom a login page helps."""
    cdef Field *field = head._fields
    cdef Field *end = field + head._count
    cdef Slice rest, element
    if (head.method != GET and head.method != HEAD) or head.authorization_count:
        return False
    while field < end:
        if equals(field.name, b"accept", 6):
            rest = field.value
            while next_element(&rest, &element):
                if equals(_media_type(element), b"text/html", 9):
                    return True
        field += 1
    return False


cdef Slice _media_type(Slice element) noexcept:
    """An element of Accept without its parameters."""
    cdef Py_ssize_t size = 0
    while size < element.size and element.at[size] not in (c';', c' ', c'\t'):
        size += 1
    return Slice(element.at, size)
