# The grammars of token locations: the pieces of a list, and whether a piece is the one that is looked for.

from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcmp

from lbjwt.http1._buffer cimport Slice
from lbjwt.http1._grammar cimport lower
from lbjwt.http1._scan cimport HEX, TOKEN, byte_class, equals, fold


cdef enum Match:
    ANOTHER = 0              # not this place
    HERE = 1
    DOUBTFUL = 2             # another reader might find another value


cdef inline bint next_piece(Slice *rest, char separator, Slice *piece) noexcept nogil:
    """Take the piece before the next separator, possibly an empty one. False after the last. Every call advances (THREATS S15)."""
    cdef const char *stop
    if rest.at == NULL:
        return False
    piece[0] = rest[0]
    stop = <const char *> memchr(rest.at, separator, rest.size)
    if stop == NULL:
        rest.at = NULL
    else:
        piece.size = stop - rest.at
        rest.at = stop + 1
        rest.size -= piece.size + 1
    return True


cdef inline bint is_space(char c) noexcept nogil:
    return c == c" " or c == c"\t"


cdef inline Slice trimmed(Slice text) noexcept nogil:
    while text.size and is_space(text.at[0]):
        text.at += 1
        text.size -= 1
    while text.size and is_space(text.at[text.size - 1]):
        text.size -= 1
    return text


cdef inline bint begins_with(Slice text, const char *prefix, Py_ssize_t size) noexcept nogil:
    """True when `text` begins with `prefix`, which is in lower case, in any case."""
    cdef Py_ssize_t i
    if text.size < size:
        return False
    for i in range(size):
        if lower(text.at[i]) != prefix[i]:
            return False
    return True


cdef inline Slice query_of(Slice target) noexcept nogil:
    """What follows the first question mark; at is NULL when there is none."""
    cdef const char *mark = <const char *> memchr(target.at, c"?", target.size)
    return Slice(NULL, 0) if mark == NULL else Slice(mark + 1, target.at + target.size - mark - 1)


cdef inline Match match_credentials(Slice value, Slice scheme, Slice *token) noexcept nogil:
    """
    auth-scheme 1*SP token (RFC 9110 section 11.4), the scheme in any case (THREATS P7). DOUBTFUL: the scheme and anything but spaces, or
    nothing: a field value has no white space at its end.
    """
    cdef Py_ssize_t at = scheme.size
    if not begins_with(value, scheme.at, scheme.size):
        return Match.ANOTHER
    if at:
        if at < value.size and byte_class[<uint8_t> value.at[at]] & TOKEN:
            return Match.ANOTHER
        while at < value.size and value.at[at] == c" ":
            at += 1
        if at == scheme.size:
            return Match.DOUBTFUL
    token.at = value.at + at
    token.size = value.size - at
    return Match.HERE


cdef inline Match match_cookie(Slice pair, Slice name, Slice *value) noexcept nogil:
    """cookie-name "=" cookie-value (RFC 6265 section 4.1.1). DOUBTFUL: white space before the "=", or a quoted value."""
    cdef const char *end = pair.at + pair.size
    cdef const char *at = pair.at
    cdef bint spaced
    while at < end and is_space(at[0]):
        at += 1
    if end - at <= name.size or memcmp(at, name.at, name.size) != 0:
        return Match.ANOTHER
    at += name.size
    spaced = is_space(at[0])
    while at < end and is_space(at[0]):
        at += 1
    if at == end or at[0] != c"=":
        return Match.ANOTHER
    value.at = at + 1
    value.size = end - value.at
    return Match.DOUBTFUL if spaced or memchr(value.at, c'"', value.size) != NULL else Match.HERE


cdef inline Match match_param(Slice pair, Slice name, Slice *value) noexcept nogil:
    """name ["=" value] of a query. Nothing is decoded. DOUBTFUL: a name that would decode to this one, or a value with an escape."""
    cdef const char *mark = <const char *> memchr(pair.at, c"=", pair.size)
    cdef Slice key = pair
    value[0] = Slice(NULL, 0)
    if mark != NULL:
        key.size = mark - pair.at
        value.at = mark + 1
        value.size = pair.size - key.size - 1
    if key.size == name.size and memcmp(key.at, name.at, name.size) == 0:
        return Match.DOUBTFUL if value.size and memchr(value.at, c"%", value.size) != NULL else Match.HERE
    return Match.DOUBTFUL if key.size > name.size and decodes_to(key, name) else Match.ANOTHER


cdef inline bint decodes_to(Slice text, Slice name) noexcept nogil:
    """True when `text` with its escapes decoded is `name`."""
    cdef Py_ssize_t i, at = 0
    cdef int c
    for i in range(name.size):
        if at >= text.size:
            return False
        c = <uint8_t> text.at[at]
        if (c == c"%" and at + 2 < text.size and byte_class[<uint8_t> text.at[at + 1]] & HEX
                and byte_class[<uint8_t> text.at[at + 2]] & HEX):
            c = hex_value(text.at[at + 1]) * 16 + hex_value(text.at[at + 2])
            at += 2
        if c != <uint8_t> name.at[i]:
            return False
        at += 1
    return at == text.size


cdef inline int hex_value(char c) noexcept nogil:
    return c - c"0" if c <= c"9" else (c | 0x20) - c"a" + 10


cdef inline bint poses_as(Slice text, const char *name, Py_ssize_t size) noexcept nogil:
    """True for another spelling that a folding backend takes for `name`, which is in lower case (THREATS P2)."""
    cdef Py_ssize_t i
    if text.size != size or equals(text, name, size):
        return False
    for i in range(size):
        if fold(text.at[i]) != name[i]:
            return False
    return True
