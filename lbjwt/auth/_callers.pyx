"""
Which form of answer a refused client understands, from its request head.

A client that pretends to be a browser or a gRPC client gets the same refusal in another form.

Source: RFC 9110 sections 8.3 and 12.5.1, the gRPC protocol over HTTP.
"""

from lbjwt.http1._buffer cimport Field, Slice
from lbjwt.http1._request cimport GET, HEAD, RequestHead
from lbjwt.http1._scan cimport equals, next_element, same


cpdef bint is_grpc(RequestHead head) noexcept:
    """True when the first Content-Type is `application/grpc`, bare or with a suffix (`+proto`, `-web`, parameters)."""
    cdef Field *field = head._fields
    cdef Field *end = field + head._count
    while field < end:
        if equals(field.name, b"content-type", 12):
            return (field.value.size >= 16 and same(field.value.at, b"application/grpc", 16)
                    and (field.value.size == 16 or field.value.at[16] in (c'+', c'-', c';', c' ')))
        field += 1
    return False


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
