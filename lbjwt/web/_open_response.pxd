cimport cython


@cython.final
cdef class OpenResponse:
    cdef readonly object grant
    cdef readonly double grace
    cdef object _send
    cdef object _streams
    cdef object _task            # of the middleware: the application may send from another one. None in a loop that is not asyncio's
    cdef object _headers
    cdef int _state
    cdef int _cancelled          # how often the task was cancelled by others before
