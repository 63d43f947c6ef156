from libc.stdint cimport uint32_t

from lbjwt.http1._buffer cimport Slice


cdef struct Field:
    Slice name
    Slice value          # without the white space around it
    uint32_t kind        # what the field is to the proxy, see _names.pxd; 0 is "just forward"
