"""
Canonical paths: the path that is matched is the path that is forwarded (THREATS R1, R2, R9).

The canonical path is that of RFC 3986 section 6.2.2: escapes of unreserved characters are decoded, other escapes get capital
digits, dot segments are resolved, runs of slashes become one. What a back end might read as another path is refused:
backslashes, encoded slashes and controls, double encoding, bytes that are no UTF-8, disguised dot segments (`..;x`, `..%20`, `...`).
Canonicalising twice changes nothing.

Some valid paths are read differently by different back ends: a servlet container takes `/a;v=1` for `/a`, Windows takes `/a.`, Express takes
`/A`, and a program that decodes before it looks for the query takes `/a%3Fx`. The loose reading of all these is `/a`. The router refuses a path whose
loose reading belongs to a more specific route than the path itself.

Source: RFC 3986 sections 2.1, 2.3, 5.2.4 and 6.2.2, RFC 3629 section 4, RFC 9112 section 3.2.
"""

from libc.stdint cimport uint8_t

from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http1._grammar cimport lower
from lbjwt.http1._scan cimport HEX, HOST_CHARACTER, TARGET, byte_class

cdef enum:
    UNRESERVED = HOST_CHARACTER              # RFC 3986 section 2.3: the same characters as in a host name

cdef dict _PROBLEMS = {
    NOT_ABSOLUTE: "path-not-absolute",
    CHARACTER: "path-character",
    BACKSLASH: "path-backslash",
    PERCENT: "path-percent",
    ENCODED_SLASH: "path-encoded-slash",
    ENCODED_CONTROL: "path-encoded-control",
    DOUBLE_ENCODING: "path-double-encoding",
    NOT_UTF8: "path-not-utf8",
    DOTS: "path-dots",
}


cdef bint is_plain(Slice path) noexcept nogil:
    """Only lower-case letters, digits and marks without a meaning; no empty segment, no dot where a segment begins or ends."""
    cdef const char *at = path.at
    cdef const char *end = at + path.size
    cdef char before = 0
    cdef char c
    if at == end or at[0] != c'/':
        return False
    while at < end:
        c = at[0]
        if not byte_class[<uint8_t> c] & TARGET or c in (c'%', c'\\', c';', c'?') or c'A' <= c <= c'Z':
            return False
        if c == c'/' and (before == c'/' or before == c'.'):
            return False
        if c == c'.' and before == c'/':
            return False
        before = c
        at += 1
    return before != c'.'


cdef inline int digit_of(char c) noexcept nogil:
    """The value of a hexadecimal digit; -1 for any other character."""
    if not byte_class[<uint8_t> c] & HEX:
        return -1
    return c - c'0' if c <= c'9' else (c | 0x20) - c'a' + 10


cdef inline int escaped(const char *at, const char *end) noexcept nogil:
    """The byte that the escape at `at` stands for; -1 when there is no whole escape."""
    cdef int high, low
    if end - at < 3 or at[0] != c'%':
        return -1
    high = digit_of(at[1])
    low = digit_of(at[2])
    return high << 4 | low if high >= 0 and low >= 0 else -1


cdef inline char *put_escape(char *out, int value) noexcept nogil:
    cdef const char *digits = b"0123456789ABCDEF"
    out[0] = c'%'
    out[1] = digits[value >> 4]
    out[2] = digits[value & 15]
    return out + 3


cdef int utf8_tail(int lead, const char *at, const char *end) noexcept nogil:
    """How many escapes at `at` complete the character that `lead` begins: 1 to 3, or -1 (RFC 3629 section 4: no overlong form)."""
    cdef int low = 0x80
    cdef int high = 0xbf
    cdef int count, step
    if 0xc2 <= lead <= 0xdf:
        count = 1
    elif 0xe0 <= lead <= 0xef:
        count = 2
        if lead == 0xe0:
            low = 0xa0
        elif lead == 0xed:
            high = 0x9f
    elif 0xf0 <= lead <= 0xf4:
        count = 3
        if lead == 0xf0:
            low = 0x90
        elif lead == 0xf4:
            high = 0x8f
    else:
        return -1
    for step in range(count):
        if not low <= escaped(at + 3 * step, end) <= high:
            return -1
        low = 0x80
        high = 0xbf
    return count


cdef Py_ssize_t put_canonical(char *out, Slice path) noexcept nogil:
    cdef const char *at = path.at
    cdef const char *end = at + path.size
    cdef char *to = out
    cdef char *segment = out                     # the slash that begins the segment at hand
    cdef bint directory = False                  # the last segment was a dot segment: its path ends with a slash
    cdef int value, tail
    cdef char c
    if at == end or at[0] != c'/':
        return NOT_ABSOLUTE
    while at < end:
        while at < end and at[0] == c'/':
            at += 1
        segment = to
        to[0] = c'/'
        to += 1
        while at < end and at[0] != c'/':
            c = at[0]
            if c != c'%':
                if c == c'\\':
                    return BACKSLASH
                if c == c'?' or not byte_class[<uint8_t> c] & TARGET:
                    return CHARACTER             # the query was cut off by the caller (THREATS R1)
                to[0] = c
                to += 1
                at += 1
                continue
            value = escaped(at, end)
            at += 3
            if value < 0:
                return PERCENT
            if value == c'/' or value == c'\\':
                return ENCODED_SLASH
            if value < 0x20 or value == 0x7f:
                return ENCODED_CONTROL
            if value < 0x80:
                if byte_class[value] & UNRESERVED:
                    to[0] = <char> value
                    to += 1
                else:
                    to = put_escape(to, value)
                continue
            tail = utf8_tail(value, at, end)
            if tail < 0:
                return NOT_UTF8
            to = put_escape(to, value)
            while tail > 0:
                to = put_escape(to, escaped(at, end))
                at += 3
                tail -= 1
        if hides_escape(segment, to):
            return DOUBLE_ENCODING
        directory = False
        if to - segment == 2 and segment[1] == c'.':
            to = segment
            directory = True
        elif to - segment == 3 and segment[1] == c'.' and segment[2] == c'.':
            to = segment
            while to > out:
                to -= 1
                if to[0] == c'/':
                    break
            directory = True
    if directory:
        to[0] = c'/'
        to += 1
    return to - out


cdef bint hides_escape(const char *at, const char *end) noexcept nogil:
    """True when a canonical segment holds a percent sign that begins another escape once it is decoded: `%252F`, `%25%32F`."""
    while at < end:
        if at[0] != c'%':
            at += 1
            continue
        if at[1] == c'2' and at[2] == c'5' and end - at > 4 and digit_of(at[3]) >= 0 and digit_of(at[4]) >= 0:
            return True
        at += 3
    return False


cdef Py_ssize_t put_loose(char *out, Slice path, Py_ssize_t *cut) noexcept nogil:
    cdef const char *at = path.at
    cdef const char *end = at + path.size
    cdef char *to = out
    cdef char *segment
    cdef bint parameters
    cdef int value
    cdef Py_ssize_t stop
    cut[0] = -1
    while at < end:
        at += 1                                  # its slash
        segment = to
        to[0] = c'/'
        to += 1
        parameters = False
        while at < end and at[0] != c'/':
            value = <uint8_t> at[0]
            if value == c'%':
                value = escaped(at, end)
                at += 2
            at += 1
            if value == c'?' or value == c'#':   # only an escape gets here
                stop = trimmed(out, segment, to)
                if stop < 0:
                    return stop
                if cut[0] < 0:
                    cut[0] = stop
            if value == c';':
                parameters = True
            elif not parameters:
                to[0] = lower(<char> value)
                to += 1
        stop = trimmed(out, segment, to)
        if stop < 0:
            return stop
        to = out + stop
    return to - out


cdef Py_ssize_t trimmed(const char *out, const char *segment, const char *to) noexcept nogil:
    """Bytes of `out` up to `to` without dots and spaces at the end of the last segment, and without the segment when nothing is left."""
    cdef bint dots = False
    while (to - 1)[0] == c'.' or (to - 1)[0] == c' ':
        dots = dots or (to - 1)[0] == c'.'
        to -= 1
    if to - segment == 1:
        return DOTS if dots else segment - out
    return to - out


def both_readings(bytes path not None):
    """
    The canonical path, its loose reading, and the loose reading up to an encoded "?" or "#" (None when it has neither). Two paths that some
    back end may confuse are equal in one of the loose readings.

    Raises:
        ValueError: A path that is refused (400); the message is a stable short code, such as ``path-encoded-slash``.
    """
    cdef Py_ssize_t cut
    cdef Py_ssize_t size
    cdef Py_ssize_t loose
    cdef Buffer room = Buffer()
    room.reserve(2 * len(path))
    size = put_canonical(room.data, Slice(path, len(path)))
    loose = put_loose(room.data + size, Slice(room.data, size), &cut) if size > 0 else size
    if loose < 0:
        raise ValueError(_PROBLEMS[loose])
    return room.data[:size], room.data[size:size + loose], None if cut < 0 else room.data[size:size + cut]
