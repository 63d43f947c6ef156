cimport cython
from libc.stdint cimport uint64_t

cdef enum:
    GOODBYE_SIZE = 4             # of either Close frame


@cython.final
cdef class FrameTracker:
    cdef uint64_t left               # bytes of the payload at hand that have not passed
    cdef unsigned char head[10]      # of the frame that begins
    cdef int seen                    # bytes of it
    cdef readonly bint closed        # a Close frame began: the endpoint has ended the WebSocket itself
    cdef bint lost                   # the stream is no sequence of frames: there is no telling where one begins

    cpdef void feed(self, const char *data, Py_ssize_t size) noexcept
    # The bytes up to the end of the frame at hand, and only those are counted. All of them when it does not end here.
    cpdef Py_ssize_t feed_frame(self, const char *data, Py_ssize_t size) noexcept
    # True when what passed last ended with a frame: a frame of ours may follow, unless it was a Close frame.
    cpdef bint between(self) noexcept


cdef const char *GOODBYE             # a Close frame with code 1008
cdef const char *GOING_AWAY          # a Close frame with code 1001
