cimport cython
from libc.stdint cimport uint64_t

from lbjwt._fastverify cimport DenyReason
from lbjwt.http1._buffer cimport Buffer, Field, Slice
from lbjwt.http1._request cimport RequestHead
from lbjwt.http1._response cimport ResponseHead


cdef struct Place:
    Slice name               # of a header: in lower case
    Slice scheme             # of a header, in lower case; size 0: the whole value is the token
    bint forward


cdef struct Found:
    # what one search has come across
    Slice token              # at is NULL: none yet
    uint64_t seen            # bit per place: it occurred
    bint awaited             # the subprotocol "bearer" was offered, the next one is the token
    bint encoded             # a subprotocol was the token in base64url
    bint others              # a subprotocol was something else


@cython.final
cdef class TokenPlaces:
    """Where a request may carry its token. Compiled once, shared by all connections of a worker; one search at a time."""
    cdef list _texts             # owns what the places point to
    cdef Place *_places          # headers, then cookies, then parameters
    cdef int _cookies            # index of the first cookie …
    cdef int _params             # … of the first parameter …
    cdef int _count              # … and how many places there are
    cdef bint _subprotocol
    cdef bint _plain             # Authorization: Bearer, and nothing else
    cdef bint _strips            # there may be something to take out
    cdef Buffer _decoded         # a token that came in base64url

    # Sets token and size when the result is NONE. Other results: MISSING, MULTIPLE_TOKENS, MALFORMED_CREDENTIALS, INTERNAL (no memory).
    # The token, whose characters are not checked, is borrowed from the head or from this object until the next `find`; `strip` does not touch it.
    # Sets head.token_in_query and head.subprotocol_answer.
    cdef DenyReason find(self, RequestHead head, const char **token, Py_ssize_t *size) noexcept

    # Remove from what `head` writes all places that are not forwarded, and names that fold to the name of a place. Needs no `find` before it;
    # to be called for every request that is forwarded, whether it has no token, one, or several.
    cpdef int strip(self, RequestHead head) except -1

    cdef int _search(self, RequestHead head, Found *found) except -1
    cdef int _search_target(self, RequestHead head, Found *found) noexcept
    cdef int _search_field(self, RequestHead head, Field *field, Found *found) except -1
    cdef int _search_cookies(self, Slice value, Found *found) noexcept
    cdef int _search_subprotocols(self, RequestHead head, Slice value, Found *found) except -1
    cdef int _decode(self, Slice text, Found *found) except -1
    cdef bint _is_dropped(self, Field *field) noexcept
    cdef bint _is_cut(self, Slice piece, char separator, bint *awaited) noexcept
    cdef int _cut(self, RequestHead head, Slice *text, Py_ssize_t start, char separator, bint *awaited) except -1


# The field lines that a response needs because of the location of the request's token, or NULL and 0. The flags are those of the request's head.
cdef const char *fields_owed(ResponseHead head, bint subprotocol_answer, bint token_in_query, Py_ssize_t *size) noexcept
