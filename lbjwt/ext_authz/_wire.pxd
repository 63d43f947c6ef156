from libc.stdint cimport uint64_t

from lbjwt.http1._buffer cimport Slice


cdef struct Entry:
    # One field of a message.
    uint64_t number
    int type                     # of the wire: how its value is encoded
    uint64_t integer             # of a VARINT
    Slice text                   # of a LENGTH_DELIMITED: a string, bytes or a message


cdef enum:
    VARINT = 0
    FIXED64 = 1
    LENGTH_DELIMITED = 2
    FIXED32 = 5

# Read the field at the beginning of `rest`, which then begins behind it. False: it is malformed, or not whole.
cdef bint take_entry(Slice *rest, Entry *entry) noexcept

cdef bytes varint(uint64_t value)
# A field with a text, bytes or a message; numbers up to 15.
cdef bytes text_field(int number, bytes text)
cdef bytes integer_field(int number, uint64_t value)
