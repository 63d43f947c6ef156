"""
X-Forwarded-For, -Proto and -Host, and Forwarded (RFC 7239). What a trusted proxy sent stays in front of ours, what any other peer sent goes (P12).

Each function writes into memory already reserved and returns where the next byte goes.
"""

from libc.stdint cimport uint8_t

from lbjwt.http1._grammar cimport is_authority
from lbjwt.http1._names cimport FORWARDED_FOR, FORWARDED_OTHER
from lbjwt.http1._scan cimport HEX, byte_class, equals, next_element
from lbjwt.http1._writing cimport put_line_end, put_slice, put_text

cdef enum:
    ENTRIES = 29                 # of X-Forwarded-For that are sent on before ours: AWS load balancers take 30


cdef Py_ssize_t forwarded_for(Field *fields, Field *end, Slice *entries, Py_ssize_t room) noexcept:
    cdef Field *field = fields
    cdef Slice rest, element
    cdef Py_ssize_t count = 0
    while field < end:
        if field.kind == FORWARDED_FOR:
            rest = field.value
            while next_element(&rest, &element):
                entries[count % room] = element
                count += 1
        field += 1
    return count


cdef char *put_forwarded_for(char *at, Slice peer, Field *fields, Field *end) noexcept:
    """The newest 29 entries of `fields`, then the peer. No line when the peer has no address (a Unix socket)."""
    cdef Slice entries[ENTRIES]
    cdef Py_ssize_t count, number
    if peer.size == 0:
        return at
    at = put_text(at, b"X-Forwarded-For: ", 17)
    count = 0 if fields == NULL else forwarded_for(fields, end, entries, ENTRIES)
    for number in range(max(0, count - ENTRIES), count):
        at = put_text(put_slice(at, entries[number % ENTRIES]), b", ", 2)
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


cdef char *put_forwarded(char *at, Slice peer, bint https, Slice host, Field *fields, Field *end, Slice proto, Slice claimed_host) noexcept:
    at = put_text(at, b"Forwarded: ", 11)
    if fields != NULL:
        at = _put_earlier(at, fields, end, proto, claimed_host)
    return put_line_end(_put_element(at, peer, Slice(b"https", 5) if https else Slice(b"http", 4), host))


cdef bint is_forwarded(Field *field) noexcept:
    return field.kind == FORWARDED_OTHER and equals(field.name, b"forwarded", 9)


cdef char *_put_earlier(char *at, Field *fields, Field *end, Slice proto, Slice claimed_host) noexcept:
    """The elements of the proxies before: their own, or X-Forwarded-For in the form of RFC 7239 section 7.4, the newest with what else is claimed."""
    cdef Slice entries[ENTRIES]
    cdef Slice nothing = Slice(NULL, 0)
    cdef Field *field = fields
    cdef bint found = False
    cdef Py_ssize_t number, count
    while field < end:
        if is_forwarded(field):
            found = True
            if field.value.size and _is_closed(field.value):
                at = put_text(put_slice(at, field.value), b", ", 2)
        field += 1
    if found:
        return at
    count = forwarded_for(fields, end, entries, ENTRIES)
    if not (equals(proto, b"http", 4) or equals(proto, b"https", 5)):
        proto = nothing
    if not is_authority(claimed_host):
        claimed_host = nothing
    for number in range(max(0, count - ENTRIES), count):
        if number < count - 1:
            at = _put_element(at, entries[number % ENTRIES], nothing, nothing)
        else:
            at = _put_element(at, entries[number % ENTRIES], proto, claimed_host)
        at = put_text(at, b", ", 2)
    return at


cdef char *_put_element(char *at, Slice node, Slice proto, Slice host) noexcept:
    at = _put_node(put_text(at, b"for=", 4), node)
    if proto.size:
        at = put_slice(put_text(at, b";proto=", 7), proto)
    if host.size:
        at = put_text(put_slice(put_text(at, b';host="', 7), host), b'"', 1)
    return at


cdef char *_put_node(char *at, Slice node) noexcept:
    """A node of RFC 7239 section 6: IPv6 in brackets, whatever has a colon in quotes, `unknown` for what is no address."""
    cdef Py_ssize_t index
    cdef int colons = 0
    cdef char c
    for index in range(node.size):
        c = node.at[index]
        if c == c':':
            colons += 1
        elif not (byte_class[<uint8_t> c] & HEX or c == c'.' or (c == c'[' and index == 0) or c == c']'):
            node.size = 0
            break
    if node.size == 0:
        return put_text(at, b"unknown", 7)
    if colons == 0:
        return put_slice(at, node)
    if colons == 1 or node.at[0] == c'[':        # IPv4 with a port; IPv6 as it should be
        return put_text(put_slice(put_text(at, b'"', 1), node), b'"', 1)
    return put_text(put_slice(put_text(at, b'"[', 2), node), b']"', 2)


cdef bint _is_closed(Slice value) noexcept:
    """Every quoted string in it ends: what is put behind it is not a part of it."""
    cdef Py_ssize_t index = 0
    cdef bint quoted = False
    while index < value.size:
        if value.at[index] == c'"':
            quoted = not quoted
        elif quoted and value.at[index] == c'\\':
            index += 1
        index += 1
    return not quoted
