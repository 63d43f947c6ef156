"""
Finding the end of a head, its lines and their parts.

Every refusal here is bound to one byte position and the bytes are walked in order, so a head gets the same verdict in
whatever pieces it arrives (H20). Knows nothing of what a field means; makes no Python object; keeps no state of its own.
"""

from libc.stdint cimport INT64_MAX
from libc.stdlib cimport realloc
from libc.string cimport memchr

from lbjwt._error_reason cimport ErrorReason


cdef Py_ssize_t scan_head(const char *data, Py_ssize_t size, Py_ssize_t start, Py_ssize_t seen, Py_ssize_t max_line,
                          Py_ssize_t max_head, Py_ssize_t max_fields, Slice *first, Field **fields, Py_ssize_t *count,
                          Py_ssize_t *capacity) noexcept:
    """
    The size of the head that starts at `start` (counted from data); 0 when it is not whole; minus an ErrorReason when it is refused.

    `first` becomes the first line, fields[i].name the whole i-th field line; lines past max_fields are only counted.
    max_line and max_head are bytes counted from `start`, the line without its CRLF; max_line < max_head.
    """
    cdef const char *begin = data + start
    cdef const char *end = data + size
    cdef const char *at = begin
    cdef const char *line = begin
    cdef bint first_line_over = False
    cdef bint resumed = seen > start
    cdef Py_ssize_t offset
    cdef char c
    count[0] = 0
    if resumed:
        at = data + seen
        if (at - 1)[0] == c'\r':
            at -= 1
        first_line_over = memchr(begin, c'\n', at - begin) != NULL
    while True:
        at = next_control(at, end)
        offset = at - begin
        if offset > max_line and not first_line_over:
            return -ErrorReason.LINE_TOO_LONG
        if offset > max_head - 2:
            return -ErrorReason.HEAD_TOO_LARGE
        if at == end:
            return 0
        c = at[0]
        if c == c'\r':
            if at + 1 == end:
                return 0
            if at[1] != c'\n':
                return -ErrorReason.BARE_CR
            if at > begin and (at - 1)[0] == c'\n':
                break
            if not first_line_over:
                first_line_over = True
                first.at = line
                first.size = at - line
            elif not resumed:
                if count[0] < max_fields:
                    if count[0] == capacity[0] and not _grow(fields, capacity):
                        return -ErrorReason.INTERNAL_ERROR
                    fields[0][count[0]].name.at = line
                    fields[0][count[0]].name.size = at - line
                count[0] += 1
            at += 2
            line = at
        elif c == c'\t':
            at += 1                              # allowed in values; wherever else it stands, it is refused there
        else:
            return -ErrorReason.BARE_LF if c == c'\n' else -ErrorReason.CONTROL_CHARACTER
    if resumed:                                  # the lines of a dripped head are taken once all of it is there
        return scan_head(data, size, start, 0, max_line, max_head, max_fields, first, fields, count, capacity)
    return at + 2 - data


cdef bint _grow(Field **fields, Py_ssize_t *capacity) noexcept:
    cdef Py_ssize_t wanted = capacity[0] * 2 if capacity[0] else 24
    cdef Field *grown = <Field *> realloc(fields[0], wanted * sizeof(Field))
    if grown == NULL:
        return False
    fields[0] = grown
    capacity[0] = wanted
    return True


cdef int split_field(Field *field, bint *odd) noexcept:
    """
    Split the line in field.name into name and value, the white space around the value left out. -1: not a field line.

    odd: the name has a character outside [A-Za-z0-9-]. A line that begins with white space (obs-fold, RFC 9112 section
    5.2) and white space before the colon (section 5.1) are refused, for neither is a token character.
    """
    cdef const char *begin = field.name.at
    cdef const char *end = begin + field.name.size
    cdef const char *at = plain_end(begin, end)
    odd[0] = False
    while at < end and byte_class[<uint8_t> at[0]] & TOKEN:
        odd[0] = True
        at += 1
    if at == end or at == begin or at[0] != c':':
        return -1
    field.name.size = at - begin
    at += 1
    while at < end and (at[0] == c' ' or at[0] == c'\t'):
        at += 1
    while end > at and ((end - 1)[0] == c' ' or (end - 1)[0] == c'\t'):
        end -= 1
    field.value.at = at
    field.value.size = end - at
    field.kind = 0
    return 0


cdef bint next_element(Slice *rest, Slice *element) noexcept:
    """Take the next non-empty element of a comma-separated list (RFC 9110 section 5.6.1.2). False at the end of the list."""
    cdef const char *end = rest.at + rest.size
    cdef const char *at = rest.at
    cdef const char *stop
    while at < end and (at[0] == c',' or at[0] == c' ' or at[0] == c'\t'):
        at += 1
    if at == end:
        return False
    stop = at
    while stop < end and stop[0] != c',':
        stop += 1
    rest.at = stop
    rest.size = end - stop
    while (stop - 1)[0] == c' ' or (stop - 1)[0] == c'\t':
        stop -= 1
    element.at = at
    element.size = stop - at
    return True


cdef int64_t parse_length(Slice digits) noexcept:
    """Content-Length = 1*DIGIT up to 2^63-1 (RFC 9110 section 8.6), or -1. No sign, no list, no empty value."""
    cdef int64_t total = 0
    cdef Py_ssize_t i
    cdef int digit
    if digits.size == 0:
        return -1
    for i in range(digits.size):
        if not byte_class[<uint8_t> digits.at[i]] & DIGIT:
            return -1
        digit = digits.at[i] - c'0'
        if total > (INT64_MAX - digit) // 10:
            return -1
        total = total * 10 + digit
    return total


cdef bint is_stacked_coding(Slice value) noexcept:
    """True for a list of coding names that ends in chunked and has it nowhere else: understood, but not offered (501)."""
    cdef Slice rest = value
    cdef Slice coding
    cdef bint last_is_chunked = False
    if value.size and (value.at[0] == c',' or value.at[value.size - 1] == c','):
        return False
    while next_element(&rest, &coding):
        if last_is_chunked or not all_of(coding.at, coding.size, TOKEN):
            return False
        last_is_chunked = equals(coding, b"chunked", 7)
    return last_is_chunked
