cimport cython
from libc.stdint cimport uint64_t

cdef enum:
    GOODBYE_SIZE = 4


@cython.final
cdef class FrameTracker:
    cdef uint64_t left               # bytes of the payload at hand that have not passed
    cdef unsigned char head[10]      # of the frame that begins
    cdef int seen                    # bytes of it
    cdef bint lost                   # the stream is no sequence of frames: there is no telling where one begins

    cpdef void feed(self, const char *data, Py_ssize_t size) noexcept
    # True when what passed last ended with a frame: a frame of ours may follow.
    cpdef bint between(self) noexcept


cdef const char *GOODBYE             # a Close frame with code 1008
