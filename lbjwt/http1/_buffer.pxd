cimport cython


cdef struct Slice:
    const char *at       # borrowed: valid only as long as the bytes it points into
    Py_ssize_t size


@cython.final
cdef class Buffer:
    cdef char *data
    cdef Py_ssize_t size
    cdef Py_ssize_t capacity

    cdef int reserve(self, Py_ssize_t extra) except -1
    cdef int put(self, const char *at, Py_ssize_t size) except -1
    cdef inline void clear(self) noexcept:
        self.size = 0
