"""
X-Forwarded-For, -Proto and -Host: ours, behind what a trusted proxy said or instead of what anybody else said (P12).

Writes into memory already reserved and returns where the next byte goes. Knows no policy: who is trusted is told.
"""

from lbjwt.http1._buffer cimport Slice
from lbjwt.http1._field cimport Field
from lbjwt.http1._grammar cimport is_authority
from lbjwt.http1._names cimport FORWARDED_FOR
from lbjwt.http1._scan cimport equals, next_element
from lbjwt.http1._writing cimport put_line_end, put_slice, put_text

cdef enum:
    ENTRIES = 30                 # of X-Forwarded-For as sent on, ours included: what AWS load balancers take


cdef char *put_forwarded_for(char *at, Slice peer, Field *fields, Field *end) noexcept:
    """The newest 29 entries of `fields`, then the peer. No line when the peer has no address (a Unix socket)."""
    cdef Field *field
    cdef Slice rest, element
    cdef Py_ssize_t entries = 0
    cdef int turn
    if peer.size == 0:
        return at
    at = put_text(at, b"X-Forwarded-For: ", 17)
    if fields != NULL:
        for turn in range(2):                    # count them all, then write the newest
            field = fields
            while field < end:
                if field.kind == FORWARDED_FOR:
                    rest = field.value
                    while next_element(&rest, &element):
                        if turn == 0:
                            entries += 1
                            continue
                        entries -= 1
                        if entries < ENTRIES - 1:
                            at = put_text(put_slice(at, element), b", ", 2)
                field += 1
    return put_line_end(put_slice(at, peer))


cdef char *put_forwarded_proto(char *at, Slice claimed, bint trusted, bint https) noexcept:
    if not (trusted and (equals(claimed, b"http", 4) or equals(claimed, b"https", 5))):
        claimed = Slice(b"https", 5) if https else Slice(b"http", 4)
    return put_line_end(put_slice(put_text(at, b"X-Forwarded-Proto: ", 19), claimed))


cdef char *put_forwarded_host(char *at, Slice claimed, bint trusted, Slice host) noexcept:
    if not (trusted and is_authority(claimed)):
        claimed = host
    if claimed.size == 0:
        return at
    return put_line_end(put_slice(put_text(at, b"X-Forwarded-Host: ", 18), claimed))
