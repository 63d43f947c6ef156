"""The fields of a head on its way to the engine. It writes names in lower case (RFC 9113 section 8.2.1), as the engine copies them."""

from libc.stdint cimport uint8_t
from libc.stdlib cimport free, realloc
from libc.string cimport memmove

from lbjwt.http1._writing cimport put_number as write_number
from lbjwt.http2._nghttp2 cimport NEVER_INDEXED

cdef enum:
    FEW = 32                     # fields there is room for at first


cdef class FieldsOut:

    def __dealloc__(self):
        free(self.at)

    cdef int put(self, const char *name, Py_ssize_t name_size, Slice value) except -1:
        cdef NameValue *grown
        cdef Py_ssize_t capacity
        if self.count == self._capacity:
            capacity = 2 * self._capacity if self._capacity else FEW
            grown = <NameValue *>realloc(self.at, capacity * sizeof(NameValue))
            if grown == NULL:
                raise MemoryError()
            self.at = grown
            self._capacity = capacity
        self.at[self.count] = NameValue(<uint8_t *>name, <uint8_t *>value.at, name_size, value.size, 0)
        self.count += 1
        return 0

    cdef int put_once(self, const char *name, Py_ssize_t name_size, Slice value) except -1:
        self.put(name, name_size, value)
        self.at[self.count - 1].flags = NEVER_INDEXED
        return 0

    cdef int put_number(self, const char *name, Py_ssize_t name_size, unsigned long long value) except -1:
        cdef char *end = write_number(&self.number[0], value)
        return self.put(name, name_size, Slice(&self.number[0], end - &self.number[0]))

    cdef void set(self, Py_ssize_t number, Slice value) noexcept:
        self.at[number].value = <uint8_t *>value.at
        self.at[number].value_size = value.size

    cdef void drop(self, Py_ssize_t number) noexcept:
        self.count -= 1
        memmove(&self.at[number], &self.at[number + 1], (self.count - number) * sizeof(NameValue))


cdef FieldsOut _few = FieldsOut.__new__(FieldsOut)


cdef FieldsOut fields_of(list pairs):
    cdef bytes name, value
    _few.clear()
    for name, value in pairs:
        _few.put(name, len(name), Slice(value, len(value)))
    return _few
