from libc.stdint cimport uint64_t

from lbjwt.http1._buffer cimport Buffer


# Variables of the transaction, each of them set whatever it was before. name: of [a-z0-9._]
cdef int put_flag(Buffer out, bytes name, bint value) except -1
cdef int put_number(Buffer out, bytes name, uint64_t value) except -1
cdef int put_string(Buffer out, bytes name, bytes value) except -1
# The name of the variable for a header: in lower case, with `_` for each hyphen
cdef bytes variable_of(bytes header)
