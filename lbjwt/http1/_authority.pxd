# The grammar of an authority: uri-host [":" port] (RFC 9110 section 7.2), as strict as names on the wire are: letters,
# digits, ".", "-", "_", "~", or an IPv6 address in brackets. No userinfo, no percent-encoding, no sub-delims, no list.

from libc.stdint cimport uint8_t

from lbjwt.http1._buffer cimport Slice
from lbjwt.http1._scan cimport DIGIT, HEX, HOST_CHARACTER, all_of, byte_class


cdef inline bint is_authority(Slice text) noexcept nogil:
    cdef const char *at = text.at
    cdef const char *end = text.at + text.size
    if text.size > 0 and at[0] == c'[':
        at += 1
        while at < end and (byte_class[<uint8_t> at[0]] & HEX or at[0] == c':' or at[0] == c'.'):
            at += 1
        if at == end or at[0] != c']' or at - text.at < 3:
            return False
        at += 1
    else:
        while at < end and byte_class[<uint8_t> at[0]] & HOST_CHARACTER:
            at += 1
        if at == text.at:
            return False
    if at == end:
        return True
    if at[0] != c':' or end - at > 6:
        return False
    return all_of(at + 1, end - at - 1, DIGIT)
