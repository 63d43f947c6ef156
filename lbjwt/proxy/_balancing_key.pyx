"""
What a balancing rule looks at in a request: read only when the rule of its cluster asks for it.

A claim counts only from a token that was verified. Its hash is remembered with the token, so a client pays for reading it once.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcmp

from lbjwt.http1._buffer cimport Field
from lbjwt.upstream.balancing._key cimport AFFINITY, CLAIM, CLIENT_ADDRESS, HEADER, hash_of

cdef enum:
    MAX_AFFINITY = 64            # bytes of a cookie value that is looked at; ours have 32


cdef void learn(UpstreamRequest request, KeySource source, RequestHead head, Slice client, Grant grant):
    cdef Slice value = Slice(NULL, 0)
    if source.kind == CLAIM:
        if grant is not None:
            request.key = _claim_key(source, grant)
            request.has_key = request.key != 0
        return
    if source.kind == CLIENT_ADDRESS:
        value = client
    elif source.kind == HEADER:
        value = _header(head, source.name)
    else:
        value = _cookie(head, source.name)
    if value.size == 0:
        return
    if source.kind != AFFINITY:
        request.key = hash_of(value.at, value.size)
        request.has_key = True
    elif value.size <= MAX_AFFINITY:
        request.affinity = value.at[:value.size]


cdef uint64_t _claim_key(KeySource source, Grant grant):
    """0: the token has no such claim, or it is no text, number or truth value."""
    cdef bytes text
    if grant.balancing_claim != source.number:
        try:
            value = grant.claims.get(source.claim)
        except Exception:                        # the key is missing then, and the request goes where the load is least
            value = None
        grant.balancing_key = 0
        if isinstance(value, (str, int, float)):
            text = str(value).encode("utf-8", "surrogatepass")
            grant.balancing_key = hash_of(text, len(text)) | 1
        grant.balancing_claim = source.number
    return grant.balancing_key


cdef bint _is_name(Slice name, bytes lower) noexcept:
    cdef const unsigned char *wanted = lower
    cdef Py_ssize_t at
    cdef unsigned char letter
    for at in range(name.size):
        letter = name.at[at]
        if c"A" <= letter <= c"Z":
            letter |= 0x20
        if letter != wanted[at]:
            return False
    return True


cdef Slice _header(RequestHead head, bytes lower) noexcept:
    """The value of the first field of this name."""
    cdef Py_ssize_t at
    for at in range(head._count):
        if head._fields[at].name.size == len(lower) and _is_name(head._fields[at].name, lower):
            return head._fields[at].value
    return Slice(NULL, 0)


cdef Slice _cookie(RequestHead head, bytes name) noexcept:
    """The value of the first cookie of this name (RFC 6265 section 5.4)."""
    cdef Py_ssize_t number, at, end, equals
    cdef Py_ssize_t size = len(name)
    cdef const char *wanted = name
    cdef Field *field
    cdef Slice value
    for number in range(head._count):
        field = &head._fields[number]
        if field.name.size != 6 or not _is_name(field.name, b"cookie"):
            continue
        value = field.value
        at = 0
        while at < value.size:
            while at < value.size and (value.at[at] == c" " or value.at[at] == c"\t"):
                at += 1
            end = at
            while end < value.size and value.at[end] != c";":
                end += 1
            equals = at + size
            if equals < end and value.at[equals] == c"=" and memcmp(value.at + at, wanted, size) == 0:
                while end > equals + 1 and (value.at[end - 1] == c" " or value.at[end - 1] == c"\t"):
                    end -= 1
                return Slice(value.at + equals + 1, end - equals - 1)
            at = end + 1
    return Slice(NULL, 0)
