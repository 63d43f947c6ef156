cimport cython

from lbjwt.http1._buffer cimport Slice
from lbjwt.http2._nghttp2 cimport NameValue


@cython.final
cdef class FieldsOut:
    """The fields of one head to be sent, in their order. Names and values are borrowed until the session has copied them."""
    cdef NameValue *at
    cdef Py_ssize_t count
    cdef Py_ssize_t _capacity
    cdef char number[24]         # holds one value that is made while the fields are written

    cdef int put(self, const char *name, Py_ssize_t name_size, Slice value) except -1
    # A value that no other head will have: it would only push others out of the table of HPACK.
    cdef int put_once(self, const char *name, Py_ssize_t name_size, Slice value) except -1
    cdef int put_number(self, const char *name, Py_ssize_t name_size, unsigned long long value) except -1
    cdef void set(self, Py_ssize_t number, Slice value) noexcept     # the value of a field that was put
    cdef void drop(self, Py_ssize_t number) noexcept
    cdef inline void clear(self) noexcept:
        self.count = 0


# The fields of these pairs of bytes, which have to live as long. The next call uses the object again.
cdef FieldsOut fields_of(list pairs)
