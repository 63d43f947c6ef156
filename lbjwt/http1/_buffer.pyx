"""A growable C buffer, used again for one head after another. Knows no meaning of the bytes it holds; raises MemoryError and nothing else."""

from libc.stdlib cimport free, realloc
from libc.string cimport memcpy


cdef class Buffer:

    def __dealloc__(self):
        free(self.data)

    cdef int reserve(self, Py_ssize_t extra) except -1:
        cdef Py_ssize_t wanted = self.size + extra
        cdef Py_ssize_t capacity
        cdef char *grown
        if wanted <= self.capacity:
            return 0
        capacity = max(2 * self.capacity, 4096, wanted)
        grown = <char *> realloc(self.data, capacity)
        if grown == NULL:
            raise MemoryError()
        self.data = grown
        self.capacity = capacity
        return 0

    cdef int put(self, const char *at, Py_ssize_t size) except -1:
        if size > self.capacity - self.size:
            self.reserve(size)
        if size:
            memcpy(self.data + self.size, at, size)
            self.size += size
        return 0
