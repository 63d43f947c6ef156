"""
The actions of an ACK frame: variables of HAProxy's transaction, which its rules then read (SPOE.txt section 3.4).

HAProxy puts its own prefix in front of each name and ignores variables that its configuration does not mention.
"""

from lbjwt.spop._frames cimport BOOLEAN, STRING, UINT32, put_text, put_varint

cdef enum:
    SET_VAR = 1
    ARGUMENTS = 3                # scope, name, value
    TRANSACTION = 2              # scope: until the response has been sent
    TRUE = 0x10


cdef int _begin(Buffer out, bytes name) except -1:
    cdef char[3] head = [SET_VAR, ARGUMENTS, TRANSACTION]
    out.put(head, 3)
    return put_text(out, name, len(name))


cdef int put_flag(Buffer out, bytes name, bint value) except -1:
    cdef char kind = BOOLEAN | TRUE if value else BOOLEAN
    _begin(out, name)
    return out.put(&kind, 1)


cdef int put_number(Buffer out, bytes name, uint64_t value) except -1:
    cdef char kind = UINT32
    _begin(out, name)
    out.put(&kind, 1)
    return put_varint(out, value)


cdef int put_string(Buffer out, bytes name, bytes value) except -1:
    cdef char kind = STRING
    _begin(out, name)
    out.put(&kind, 1)
    return put_text(out, value, len(value))


cdef bytes variable_of(bytes header):
    return header.lower().replace(b"-", b"_")
