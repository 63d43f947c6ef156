cimport cython


@cython.final
cdef class FrameMeter:
    """Counts the frames of a peer before the engine reads them."""
    cdef int _preface                        # bytes of the client's preface that have not come (RFC 9113 section 3.4)
    cdef unsigned char _head[9]              # of the frame that is coming
    cdef int _seen                           # bytes of that head
    cdef Py_ssize_t _left                    # bytes of the frame that have not come
    cdef bint _in_block                      # a field block is open: CONTINUATION follows
    cdef double _second                      # when this second's counts began
    cdef int _resets
    cdef int _control
    cdef int _max_resets
    cdef int _max_control
    cdef Py_ssize_t _credit                  # WINDOW_UPDATE and PING frames that are paid for by what we sent

    # Bytes up to the end of the frame after which the engine is to be given time, or all; -1: the peer sent too much of what costs it nothing.
    cdef Py_ssize_t take(self, const char *at, Py_ssize_t size, double now) noexcept
    cdef bint count_reset(self, double now) noexcept     # a stream that the peer made end; False: one too many
    cdef void sent(self, Py_ssize_t size) noexcept       # bytes of bodies: the peer may widen its windows for them
    cdef bint is_inside(self) noexcept                   # a frame, or a head, is not whole yet
    cdef void _roll(self, double now) noexcept
    cdef void _earn(self, Py_ssize_t frames) noexcept
    cdef bint _count(self) noexcept


# max_resets, max_control: frames a second
cdef FrameMeter new_meter(int max_resets, int max_control, bint server)
