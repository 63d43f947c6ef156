cimport cython


@cython.final
cdef class Answer:
    """An answer of our own, ready but for date, request id and connection fields."""
    cdef readonly int status
    cdef readonly bytes head         # status line and fields, each line with its CRLF
    cdef readonly bytes body
