cimport cython


@cython.final
cdef class Answer:
    cdef readonly int status
    cdef readonly int grpc_status    # in its fields; -1: it has none
    cdef readonly bytes head         # status line and fields with Content-Length, each line with its CRLF
    cdef readonly bytes body
