# The small grammars of a head's parts: authority, request id, names compared without regard to case.

from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcmp

from lbjwt.http1._buffer cimport Slice
from lbjwt.http1._scan cimport ALNUM, DIGIT, HEX, HOST_CHARACTER, all_of, byte_class


cdef inline bint is_authority(Slice text) noexcept nogil:
    """uri-host [":" port] (RFC 9110 section 7.2), as strict as names on the wire are: letters, digits, ".", "-", "_", "~",
    or an IPv6 address in brackets. No userinfo, no percent-encoding, no sub-delims, no list."""
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


cdef inline Slice without_default_port(Slice authority, bint https) noexcept nogil:
    """
    An authority, of which `is_authority` is true, without a port that is empty or the scheme's own.

    RFC 9110 section 4.2.3: with and without it names the same origin, so no two servers can take the two for different hosts.
    """
    cdef Py_ssize_t end = authority.size
    if https and end > 4 and memcmp(authority.at + end - 4, b":443", 4) == 0:
        end -= 4
    elif not https and end > 3 and memcmp(authority.at + end - 3, b":80", 3) == 0:
        end -= 3
    elif authority.at[end - 1] == c':':
        end -= 1
    return Slice(authority.at, end)


cdef inline Slice before_query(Slice target) noexcept nogil:
    """The path of a target. A query may carry secrets: no log has it."""
    cdef const char *query = <const char *> memchr(target.at, c'?', target.size)
    return target if query == NULL else Slice(target.at, query - target.at)


cdef inline char lower(char c) noexcept nogil:
    return <char> (c | 0x20) if c'A' <= c <= c'Z' else c


cdef inline bint same_text(Slice one, Slice other) noexcept nogil:
    """Equal but for the case of ASCII letters."""
    cdef Py_ssize_t i
    if one.size != other.size:
        return False
    for i in range(one.size):
        if lower(one.at[i]) != lower(other.at[i]):
            return False
    return True


cdef inline bint is_request_id(Slice text) noexcept nogil:
    """1 to 128 of [A-Za-z0-9._-]: safe in a header, a log line and a shell."""
    cdef Py_ssize_t i
    if text.size < 1 or text.size > 128:
        return False
    for i in range(text.size):
        if not (byte_class[<uint8_t> text.at[i]] & ALNUM or text.at[i] in (c'.', c'_', c'-')):
            return False
    return True
