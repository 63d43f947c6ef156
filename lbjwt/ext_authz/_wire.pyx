"""
The wire format of Protocol Buffers, as far as the messages here need it: fields one after another, each with its number and length. Groups, which
proto3 has not, are malformed.

Source: "Encoding" in the documentation of Protocol Buffers.
"""

from libc.stdint cimport uint8_t

cdef enum:
    MORE = 0x80                  # of a byte of a number: another one follows
    WIDEST = 63                  # bits before the last byte of a number


cdef bint _take_varint(Slice *rest, uint64_t *value) noexcept:
    cdef uint64_t byte
    cdef int shift = 0
    value[0] = 0
    while rest.size and shift <= WIDEST:
        byte = <uint8_t>rest.at[0]
        rest.at += 1
        rest.size -= 1
        value[0] |= (byte & 0x7f) << shift
        if byte < MORE:
            return True
        shift += 7
    return False


cdef bint take_entry(Slice *rest, Entry *entry) noexcept:
    cdef uint64_t tag, size
    if not _take_varint(rest, &tag):
        return False
    entry.number = tag >> 3
    entry.type = <int>(tag & 7)
    entry.integer = 0
    entry.text = Slice(NULL, 0)
    if entry.number == 0:
        return False
    if entry.type == VARINT:
        return _take_varint(rest, &entry.integer)
    if entry.type == LENGTH_DELIMITED:
        if not _take_varint(rest, &size):
            return False
    elif entry.type == FIXED64:
        size = 8
    elif entry.type == FIXED32:
        size = 4
    else:
        return False
    if size > <uint64_t>rest.size:
        return False
    entry.text = Slice(rest.at, <Py_ssize_t>size)
    rest.at += size
    rest.size -= size
    return True


cdef bytes varint(uint64_t value):
    cdef char[10] out
    cdef int size = 0
    while value >= MORE:
        out[size] = <char>(value | MORE)
        value >>= 7
        size += 1
    out[size] = <char>value
    return out[:size + 1]


cdef bytes text_field(int number, bytes text):
    return varint(number << 3 | LENGTH_DELIMITED) + varint(len(text)) + text


cdef bytes integer_field(int number, uint64_t value):
    return varint(number << 3 | VARINT) + varint(value)
