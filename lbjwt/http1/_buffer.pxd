cimport cython
from libc.stdint cimport uint32_t


cdef struct Slice:
    const char *at       # borrowed: valid only as long as the bytes it points into
    Py_ssize_t size


cdef struct Field:
    Slice name
    Slice value          # without the white space around it
    uint32_t kind        # what the field is to the proxy, see _names.pxd; 0 is "just forward"


@cython.final
cdef class Buffer:
    cdef char *data
    cdef Py_ssize_t size
    cdef Py_ssize_t capacity

    cdef int reserve(self, Py_ssize_t extra) except -1
    cdef int put(self, const char *at, Py_ssize_t size) except -1
    cdef inline void clear(self) noexcept:
        self.size = 0
