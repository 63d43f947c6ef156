cimport cython

from lbjwt.http2._session cimport Session


@cython.final
cdef class OneRequest:
    """One request to an HTTP/2 server on a connection of its own, and what came back."""
    cdef Session _session
    cdef int _number
    cdef readonly int status
    cdef readonly dict fields
    cdef readonly bytes body
    cdef readonly bint opened
    cdef readonly bint ended
