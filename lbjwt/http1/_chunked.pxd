cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t

from lbjwt._error_reason cimport ErrorReason


@cython.final
cdef class ChunkedDecoder:
    cdef readonly bint done                      # the last CRLF of the trailer section was read
    cdef readonly ErrorReason problem            # set once feed returned -1
    cdef readonly uint64_t body_bytes            # decoded so far
    cdef readonly Py_ssize_t body_at             # after feed: where decoded bytes of this call start in data …
    cdef readonly Py_ssize_t body_size           # … and how many they are (several chunks are moved together in place)
    cdef int _state
    cdef int _digits                             # of the chunk size read so far
    cdef uint64_t _left                          # of the chunk's data; while its size is read: the size so far
    cdef uint64_t _max_body
    cdef Py_ssize_t _extension                   # bytes of this chunk's extension
    cdef Py_ssize_t _extensions                  # bytes of all extensions
    cdef Py_ssize_t _trailer                     # bytes of the trailer section
    cdef Py_ssize_t _trailer_fields

    # max_body: bytes; negative: no limit
    cpdef void start(self, int64_t max_body) noexcept
    # data is changed in place: decoded bytes are moved together. Returns bytes consumed (all of size unless done), or -1.
    cpdef Py_ssize_t feed(self, char *data, Py_ssize_t size) noexcept
    cdef Py_ssize_t _refuse(self, ErrorReason problem) noexcept
    cdef bint _take_extension(self, uint8_t c) noexcept
    cdef bint _take_trailer(self, uint8_t c) noexcept
