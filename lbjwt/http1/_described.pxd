from lbjwt.http1._buffer cimport Buffer, Slice

# Begin a head. False: the method or the target cannot stand in a request line.
cdef bint begin_described(Buffer out, Slice method, Slice target) except -1
# Append a field, or leave it out. False: it cannot stand on a line.
cdef bint put_described(Buffer out, Slice name, Slice value) except -1
cdef int end_described(Buffer out) except -1
